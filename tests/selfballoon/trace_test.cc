// SPDX-License-Identifier: MIT
// Both policies over loads of a day and over one that was recorded. Pressure follows, does not swing, and never leaves a guest short
// for long; committed follows as its formula says, and turns no more often than the load.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <random>
#include <sstream>

#include "selfballoon/guest_model.h"

namespace tmem::selfballoon {
namespace {

constexpr int kMinute = 60, kHour = 3600;

// Runs a load second by second; at every second the laws of the controller hold.
GuestModel run(int seconds, const std::function<Demand(int)>& load, GuestModel::Shape shape = {}, const Params& params = {}) {
  GuestModel guest(shape, params);
  for (int s = 0; s < seconds; ++s) {
    guest.second(load(s));
    EXPECT_LE(guest.target_kib(), guest.limit_kib()) << "second " << s;
    EXPECT_GE(guest.target_kib(), guest.floor_kib()) << "second " << s;
  }
  return guest;
}

Demand anon(uint64_t mib, uint64_t hot_mib = 20) { return {mib * kMib, hot_mib * kMib, false}; }

// The five loads.
Demand step(int s) { return anon(s < 20 * kMinute ? 60 : 700); }
Demand fast_sawtooth(int s) { return anon(100 + static_cast<uint64_t>(s % 20) * 20); }
Demand leak(int s) { return anon(100 + static_cast<uint64_t>(s) / 4); }  // 1000 MiB after an hour
Demand idle_night(int s) { return anon(60 + (s % kHour < 20 ? 25 : 0)); }  // a small job each hour
std::function<Demand(int)> fork_storm() {
  return [random = std::mt19937_64(7)](int s) mutable {
    const bool storm = s % (10 * kMinute) > 9 * kMinute;  // a minute of every ten
    return anon(storm ? 200 + random() % 600 : 80);
  };
}

// The formula counts nothing that the kernel itself needs: reserved_mb covers it.
Params committed(uint32_t reserved_mb = 64) {
  Params params;
  params.policy = Policy::kCommitted;
  params.selfballoon_reserved_mb = reserved_mb;
  return params;
}

TEST(Trace, AnIdleGuestGivesMostOfItsMemoryWithinThreeMinutes) {
  const GuestModel guest = run(3 * kMinute, [](int) { return anon(60); });
  EXPECT_LT(guest.current_kib(), guest.limit_kib() * 4 / 10);
  EXPECT_EQ(guest.hurt_seconds(), 0u);
  EXPECT_EQ(guest.reversals(), 0);
}

TEST(Trace, AnIdleNightIsQuiet) {
  const GuestModel guest = run(10 * kHour, idle_night);
  EXPECT_LT(guest.current_kib(), guest.limit_kib() * 4 / 10);
  EXPECT_EQ(guest.hurt_seconds(), 0u) << "the reserve covers small jobs";
  EXPECT_LE(guest.reversals(), 4);
}

TEST(Trace, AStepIsFollowedAtOnceAndOnce) {
  const GuestModel guest = run(40 * kMinute, step);
  EXPECT_LE(guest.hurt_seconds(), 6u);
  EXPECT_LE(guest.reversals(), 2);
  EXPECT_GE(guest.current_kib(), (700 + 60) * kMib);
}

TEST(Trace, AFastSawtoothKeepsItsPeak) {
  const GuestModel guest = run(2 * kHour, fast_sawtooth);
  EXPECT_LE(guest.reversals(), 2);
  EXPECT_LE(guest.hurt_seconds(), 4u);
}

TEST(Trace, ASlowSawtoothCostsTwoReversalsATooth) {
  const int teeth = 12;
  const GuestModel guest = run(teeth * 10 * kMinute, [](int s) { return anon(100 + static_cast<uint64_t>(s % (10 * kMinute))); });
  EXPECT_LE(guest.reversals(), 2 * teeth);
  EXPECT_LE(guest.hurt_seconds(), 2u * teeth);
}

TEST(Trace, ALeakIsFollowedUpToTheLimitWithoutAnyReversal) {
  const GuestModel guest = run(kHour, leak);
  EXPECT_EQ(guest.target_kib(), guest.limit_kib());
  EXPECT_LE(guest.reversals(), 1);
  EXPECT_EQ(guest.hurt_seconds(), 0u);
}

TEST(Trace, AForkStormIsSurvived) {
  const GuestModel guest = run(2 * kHour, fork_storm());
  EXPECT_LE(guest.hurt_seconds(), 12u * 8);
  EXPECT_LE(guest.reversals(), 12 * 4);
}

TEST(Trace, HotFilesAreLeftAloneAfterTheFirstMistake) {
  const int hours = 12;
  const GuestModel guest = run(hours * kHour, [](int) { return anon(100, 500); });  // file pages count as available, but are hot
  EXPECT_LE(guest.reversals(), 2 * (6 + hours)) << "each attempt waits twice as long as the one before, up to an hour";
  EXPECT_LE(guest.hurt_seconds(), 60u);
}

TEST(Trace, ABurstThatNeverHadEnoughIsOverWhenItIsOver) {
  GuestModel guest({});
  // A minute of more than the guest may have, as a job that swaps looks: short, then for some seconds not, again and again.
  const auto burst = [](int s) { return s < 20 * kMinute || s >= 21 * kMinute ? anon(60) : anon(s % 20 < 4 ? 1200 : 800); };
  int s = 0;
  for (; s < 21 * kMinute; ++s) guest.second(burst(s));
  EXPECT_EQ(guest.target_kib(), guest.limit_kib());
  for (; s < 24 * kMinute; ++s) guest.second(burst(s));
  EXPECT_LT(guest.current_kib(), guest.limit_kib() * 4 / 10) << "what it needed was never taken from it";
}

TEST(Trace, WithoutPressureStallInformationRefaultsAndSwapInsSuffice) {
  GuestModel::Shape shape;
  shape.pressure_stalls = false;
  const GuestModel guest = run(40 * kMinute, step, shape);
  EXPECT_LE(guest.hurt_seconds(), 6u);
  EXPECT_GE(guest.current_kib(), (700 + 60) * kMib);
}

TEST(Trace, ASlowBalloonDoesNotMakeItSwing) {
  GuestModel::Shape shape;
  shape.balloon_kib_per_second = 4 * kMib;
  const GuestModel guest = run(kHour, [](int s) { return anon(s % (20 * kMinute) < 10 * kMinute ? 60 : 300); }, shape);
  EXPECT_LE(guest.reversals(), 8);
}

TEST(Trace, TheToolstacksTargetIsObeyedWhileItRuns) {
  GuestModel guest({});
  for (int s = 0; s < 600; ++s) guest.second(anon(60));
  guest.set_limit(150 * kMib);
  guest.second(anon(60));
  EXPECT_LE(guest.target_kib(), 150 * kMib);
  for (int s = 0; s < 60; ++s) guest.second(anon(120));
  EXPECT_EQ(guest.target_kib(), 150 * kMib) << "wants more, gets what it may have";
}

TEST(Trace, TheCommittedPolicyTurnsNoMoreOftenThanTheLoadDoes) {
  const struct {
    const char* name;
    int seconds;
    std::function<Demand(int)> load;
    int reversals_max;
  } traces[] = {
      {"step", 40 * kMinute, step, 2},                                   // down, up, and what lay in tmem meanwhile
      {"sawtooth", 2 * kHour, fast_sawtooth, 2 * 2 * kHour / 20},       // two a tooth
      {"leak", kHour, leak, 1},
      {"idle night", 10 * kHour, idle_night, 2 * 10},                   // two a job
      {"fork storm", 2 * kHour, fork_storm(), 12 * (kMinute / 5 + 1)},  // one an interval while it lasts
  };
  for (const auto& trace : traces) {
    SCOPED_TRACE(trace.name);
    EXPECT_LE(run(trace.seconds, trace.load, {}, committed()).reversals(), trace.reversals_max);
  }
}

// What lies in tmem is part of the formula's goal: the target follows it up, it comes back, and the target follows it down.
TEST(Trace, TheCommittedPolicyThatCoversNoKernelTurnsAtMostEveryOtherInterval) {
  EXPECT_LE(run(kHour, leak, {}, committed(0)).reversals(), kHour / 5 / 2);
}

// A guest of 6 GiB that needs, stalls and reads back what a real machine did, whatever its balloon does.
class Replay {
 public:
  explicit Replay(const Params& params) : params_(params) {}

  void line(const std::string& text) {
    std::istringstream fields(text);
    uint64_t time_ms = 0, total = 0, available = 0, stall = 0;
    Sample s;
    char comma = 0;
    fields >> time_ms >> comma >> total >> comma >> available >> comma >> s.committed_kib >> comma >> s.kernel_kib >> comma >> stall >> comma >>
        s.refaults_pages >> comma >> s.swapins_pages;
    ASSERT_TRUE(fields && total > available) << text;
    s.time_ms = time_ms;
    s.between = ++lines_ % params_.selfballoon_interval != 0;
    s.limit_kib = s.span_kib = kLimit;
    s.target_kib = s.current_kib = s.total_kib = target_;
    s.reserve_kib = 64 * kMib;
    s.stall_us = stall;
    const uint64_t need = total - available;
    s.available_kib = target_ > need ? target_ - need : 0;
    short_ += s.available_kib == 0;
    const Decision decision = decide(params_, state_, s);
    EXPECT_GE(decision.target_kib, decision.floor_kib) << text;
    EXPECT_LE(decision.target_kib, kLimit) << text;
    const int direction = decision.target_kib > target_ ? 1 : decision.target_kib < target_ ? -1 : 0;
    reversals_ += direction != 0 && direction_ != 0 && direction != direction_;
    if (direction != 0) direction_ = direction;
    state_ = decision.next;
    target_ = decision.target_kib;
    lowest_ = std::min(lowest_, target_);
  }

  static constexpr uint64_t kLimit = 6144 * kMib;
  int lines_ = 0, short_ = 0, reversals_ = 0;
  uint64_t lowest_ = kLimit;

 private:
  const Params params_;
  State state_;
  uint64_t target_ = kLimit;
  int direction_ = 0;
};

Replay replay(const Params& params) {
  Replay all(params);
  std::ifstream in(RECORDED_TRACE);
  for (std::string text; std::getline(in, text);) {
    if (text[0] != '#') all.line(text);
  }
  EXPECT_GT(all.lines_, 100);
  return all;
}

TEST(Trace, ARecordedLoadIsFollowed) {
  const Replay pressure = replay({});
  EXPECT_LT(pressure.lowest_, Replay::kLimit * 3 / 4) << "something is given";
  EXPECT_LE(pressure.reversals_, 4);
  EXPECT_EQ(pressure.short_, 0) << "the reserve covers what comes between two looks";
  EXPECT_LE(replay(committed()).reversals_, 12);
}

}  // namespace
}  // namespace tmem::selfballoon
