// SPDX-License-Identifier: MIT
// Single decisions of the pressure policy.
#include <gtest/gtest.h>

#include "selfballoon/controller.h"

namespace tmem::selfballoon {
namespace {

constexpr uint64_t kMib = 1024;

// A guest of 1000 MiB, 24 of them the kernel's from boot on, which needs 200 and is quiet.
Sample quiet(uint64_t time_s) {
  Sample s;
  s.time_ms = time_s * 1000;
  s.limit_kib = s.target_kib = s.current_kib = 1000 * kMib;
  s.total_kib = 976 * kMib;
  s.available_kib = 776 * kMib;
  s.reserve_kib = 8 * kMib;
  s.kernel_kib = 40 * kMib;
  s.stall_us = 0;
  return s;
}

State calm(uint32_t intervals, const Sample& sample) {
  State state = decide({}, {}, sample).next;
  state.calm_intervals = intervals;
  return state;
}

TEST(Pressure, WaitsUntilItHasBeenQuietForLongEnough) {
  State state;
  for (uint64_t i = 0; i < 3; ++i) {
    const Decision decision = decide({}, state, quiet(i * 5));
    EXPECT_EQ(decision.target_kib, 1000 * kMib);
    EXPECT_EQ(decision.reason, Reason::kWaits);
    state = decision.next;
  }
  const Decision decision = decide({}, state, quiet(15));
  EXPECT_EQ(decision.reason, Reason::kTakes);
  // goal: need 200, 24 of boot, reserve 100; an eighth of the 676 above it
  EXPECT_EQ(decision.target_kib, 1000 * kMib - 676 * kMib / 8);
}

TEST(Pressure, WaitsForTheBalloon) {
  Sample sample = quiet(5);
  sample.target_kib = 700 * kMib;
  const Decision decision = decide({}, calm(10, quiet(0)), sample);
  EXPECT_EQ(decision.reason, Reason::kBalloonBusy);
  EXPECT_EQ(decision.target_kib, 700 * kMib);
}

TEST(Pressure, StallsGiveAReserveAndEachFurtherOneTwiceAsMuch) {
  Sample sample = quiet(5);
  sample.target_kib = sample.current_kib = 300 * kMib;
  sample.total_kib = 276 * kMib;
  sample.available_kib = 90 * kMib;
  State state = calm(10, sample);
  uint64_t expected = 300;
  for (const uint64_t step : {100, 200, 400}) {
    sample.time_ms += 1000;
    sample.between = true;
    *sample.stall_us += 50000;
    const Decision decision = decide({}, state, sample);
    EXPECT_EQ(decision.reason, Reason::kStalls);
    EXPECT_EQ(decision.target_kib, std::min<uint64_t>(expected += step, 1000) * kMib);
    sample.target_kib = decision.target_kib;
    state = decision.next;
  }
}

TEST(Pressure, StallsOfTheBalloonItselfAreNotTakenForNeed) {
  Sample sample = quiet(100);
  const Decision takes = decide({}, calm(10, quiet(95)), sample);
  ASSERT_EQ(takes.reason, Reason::kTakes);
  sample.between = true;
  sample.time_ms += 1000;
  sample.available_kib = 90 * kMib;
  *sample.stall_us += 400000;
  EXPECT_NE(decide({}, takes.next, sample).reason, Reason::kStalls);
  Sample hard = sample;
  *hard.stall_us += 200000;
  EXPECT_EQ(decide({}, takes.next, hard).reason, Reason::kStalls) << "more than half of the time";
  Sample later = sample;
  later.time_ms += 3000;
  EXPECT_EQ(decide({}, takes.next, later).reason, Reason::kStalls) << "by then the balloon has long arrived";
  Sample read_back = sample;
  read_back.refaults_pages = 200;
  EXPECT_EQ(decide({}, takes.next, read_back).reason, Reason::kRefaults) << "refaults always count";
}

TEST(Pressure, StallsWithMemoryAtHandCountOnlyWherePagesAreReadBackToo) {
  const State state = calm(10, quiet(0));
  Sample sample = quiet(1);
  sample.between = true;
  *sample.stall_us += 300000;
  EXPECT_EQ(decide({}, state, sample).reason, Reason::kSettled) << "a busy host stalls everybody";
  sample.refaults_pages = 32;
  EXPECT_EQ(decide({}, state, sample).reason, Reason::kSettled);
  sample.swapins_pages = 1;
  EXPECT_EQ(decide({}, state, sample).reason, Reason::kStalls) << "more than a quarter of pressure_refaults";
  sample.refaults_pages = sample.swapins_pages = 0;
  sample.available_kib = 99 * kMib;
  EXPECT_EQ(decide({}, state, sample).reason, Reason::kStalls) << "less than the reserve is at hand";
}

TEST(Pressure, AnIdleGuestOnALoadedMachineGivesDownToItsReserve) {
  Sample sample = quiet(0);
  State state;
  for (uint64_t second = 0; second < 180; ++second) {
    sample.time_ms = second * 1000;
    sample.between = second % 5 != 0;
    *sample.stall_us += second % 7 == 0 ? 60000 : 0;  // its own clock ticks and cron, each waiting for a turn
    const Decision decision = decide({}, state, sample);
    state = decision.next;
    sample.target_kib = sample.current_kib = decision.target_kib;
    sample.total_kib = sample.current_kib - 24 * kMib;
    sample.available_kib = sample.total_kib - 200 * kMib;
  }
  EXPECT_LE(sample.current_kib, 400 * kMib);
  EXPECT_GE(sample.current_kib, 324 * kMib) << "need, the kernel and a reserve stay";
}

TEST(Pressure, RefaultsAndSwapInsCountAsOne) {
  Sample sample = quiet(5);
  sample.target_kib = sample.current_kib = 400 * kMib;
  sample.total_kib = 376 * kMib;
  sample.available_kib = 176 * kMib;
  const State state = calm(10, sample);
  sample.time_ms += 1000;
  sample.refaults_pages = 64;
  sample.swapins_pages = 64;
  EXPECT_NE(decide({}, state, sample).reason, Reason::kRefaults);
  sample.swapins_pages = 65;
  EXPECT_EQ(decide({}, state, sample).reason, Reason::kRefaults);
}

TEST(Pressure, NeedIsGivenAtOnceAlsoBetweenIntervals) {
  Sample sample = quiet(5);
  sample.target_kib = sample.current_kib = 324 * kMib;
  sample.total_kib = 300 * kMib;
  sample.available_kib = 50 * kMib;  // needs 250
  sample.between = true;
  const Decision decision = decide({}, calm(10, quiet(0)), sample);
  EXPECT_EQ(decision.reason, Reason::kNeed);
  EXPECT_EQ(decision.target_kib, (250 + 24 + 100) * kMib);
}

TEST(Pressure, WhereItHurtItDoesNotGoBelowForAWhileAndEachTimeLonger) {
  Sample sample = quiet(5);
  sample.target_kib = sample.current_kib = 330 * kMib;
  sample.total_kib = 306 * kMib;
  sample.available_kib = 96 * kMib;
  State state = calm(10, sample);
  uint32_t before = 0;
  for (int round = 0; round < 3; ++round) {
    state.took_ms = sample.time_ms;
    sample.time_ms += 5000;
    *sample.stall_us += 3000000;
    state = decide({}, state, sample).next;
    EXPECT_EQ(state.hold_intervals, before == 0 ? 12 : before * 2);
    before = state.hold_intervals;
    sample.time_ms += 5000;
    Sample after = sample;
    after.target_kib = after.current_kib = state.hold_kib;
    after.total_kib = after.current_kib - 24 * kMib;
    after.available_kib = after.total_kib - 200 * kMib;
    const Decision held = decide({}, state, after);
    EXPECT_EQ(held.target_kib, after.target_kib);
    EXPECT_EQ(held.reason, Reason::kHolds);
    state = held.next;
  }
}

TEST(Pressure, TroubleLongAfterTheLastTakeIsNotPutDownToIt) {
  Sample sample = quiet(1000);
  State state = calm(10, quiet(995));
  state.took_ms = 900000;
  *sample.stall_us += 3000000;
  sample.available_kib = 0;
  EXPECT_EQ(decide({}, state, sample).next.hold_intervals, 0u);
  state.took_ms = 980000;
  EXPECT_GT(decide({}, state, sample).next.hold_intervals, 0u);
}

TEST(Pressure, WhatIsLoweredWhileItCountsCountsFromThereOn) {
  Params params;
  params.pressure_window = 64;
  Sample sample = quiet(100);
  State state = calm(10, quiet(95));
  state.took_ms = 95000;
  *sample.stall_us += 3000000;
  sample.available_kib = 0;
  state = decide(params, state, sample).next;
  ASSERT_EQ(state.hold_intervals, 64u);
  sample.available_kib = quiet(0).available_kib;
  sample.time_ms += 5000;
  params.pressure_window = 2;
  EXPECT_LE(decide(params, state, sample).next.hold_intervals, 2u);

  params.frontswap_inertia = 65536;
  state = calm(10, quiet(95));
  state.shrink_counter = params.frontswap_inertia;
  state.in_tmem_kib = sample.in_tmem_kib = 400 * kMib;
  *sample.stall_us = 0;
  EXPECT_EQ(decide(params, state, sample).unswap_kib, 0u);
  params.frontswap_inertia = 1;
  EXPECT_GT(decide(params, state, sample).unswap_kib, 0u);
}

TEST(Pressure, TheFloorHoldsAgainstAnEmptyGuest) {
  Sample sample = quiet(0);
  State state;
  for (uint64_t i = 0; i < 300; ++i) {
    sample.time_ms += 5000;
    sample.available_kib = sample.total_kib;  // claims to need nothing at all
    const Decision decision = decide({}, state, sample);
    state = decision.next;
    sample.target_kib = sample.current_kib = decision.target_kib;
    sample.total_kib = sample.current_kib - 24 * kMib;
    EXPECT_GE(decision.target_kib, (40 + 24 + 100) * kMib);
  }
  EXPECT_LE(sample.target_kib, (40 + 24 + 100 + 26) * kMib);
}

TEST(Pressure, SwitchedOffItGivesEverythingBack) {
  Params params;
  params.selfballooning = 0;
  Sample sample = quiet(0);
  sample.target_kib = 300 * kMib;
  const Decision decision = decide(params, {}, sample);
  EXPECT_EQ(decision.target_kib, 1000 * kMib);
  EXPECT_EQ(decision.reason, Reason::kOff);
}

TEST(Pressure, PagesComeBackOnlyWhereThereIsRoomForThem) {
  Sample sample = quiet(0);
  sample.in_tmem_kib = 400 * kMib;
  State state;
  uint64_t back = 0;
  for (uint64_t i = 1; i < 10; ++i) {
    sample.time_ms += 5000;
    const Decision decision = decide({}, state, sample);
    state = decision.next;
    back += decision.unswap_kib;
  }
  EXPECT_GT(back, 0u);
  sample.available_kib = 90 * kMib;  // needs 886 of 1000
  back = 0;
  for (uint64_t i = 1; i < 10; ++i) {
    sample.time_ms += 5000;
    const Decision decision = decide({}, state, sample);
    state = decision.next;
    back += decision.unswap_kib;
  }
  EXPECT_EQ(back, 0u);
}

TEST(Pressure, PagesStayInTmemWhereSelfShrinkingIsOff) {
  for (const Policy policy : {Policy::kPressure, Policy::kCommitted}) {
    Params params;
    params.policy = policy;
    Sample sample = quiet(0);
    sample.in_tmem_kib = 400 * kMib;
    State state;
    const auto comes_back = [&] {
      uint64_t back = 0;
      for (int i = 0; i < 10; ++i) {
        sample.time_ms += 5000;
        const Decision decision = decide(params, state, sample);
        state = decision.next;
        back += decision.unswap_kib;
      }
      return back;
    };
    params.frontswap_selfshrinking = 0;
    EXPECT_EQ(comes_back(), 0u) << to_string(policy);
    params.frontswap_selfshrinking = 1;
    EXPECT_GT(comes_back(), 0u) << to_string(policy) << ", from then on";
  }
}

}  // namespace
}  // namespace tmem::selfballoon
