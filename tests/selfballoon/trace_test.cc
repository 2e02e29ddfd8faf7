// SPDX-License-Identifier: MIT
// The pressure policy over loads of a day: it follows, it does not swing, and it never leaves a guest short for long.
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "selfballoon/guest_model.h"

namespace tmem::selfballoon {
namespace {

constexpr int kMinute = 60, kHour = 3600;

// Runs a load second by second; at every second the laws of the controller hold.
GuestModel run(int seconds, const std::function<Demand(int)>& load, GuestModel::Shape shape = {}) {
  GuestModel guest(shape);
  for (int s = 0; s < seconds; ++s) {
    guest.second(load(s));
    EXPECT_LE(guest.target_kib(), guest.limit_kib()) << "second " << s;
    EXPECT_GE(guest.target_kib(), guest.floor_kib()) << "second " << s;
  }
  return guest;
}

Demand anon(uint64_t mib, uint64_t hot_mib = 20) { return {mib * kMib, hot_mib * kMib, false}; }

TEST(Trace, AnIdleGuestGivesMostOfItsMemoryWithinThreeMinutes) {
  const GuestModel guest = run(3 * kMinute, [](int) { return anon(60); });
  EXPECT_LT(guest.current_kib(), guest.limit_kib() * 4 / 10);
  EXPECT_EQ(guest.hurt_seconds(), 0u);
  EXPECT_EQ(guest.reversals(), 0);
}

TEST(Trace, AnIdleNightIsQuiet) {
  const GuestModel guest = run(10 * kHour, [](int s) { return anon(60 + (s % kHour < 20 ? 25 : 0)); });  // a small job each hour
  EXPECT_LT(guest.current_kib(), guest.limit_kib() * 4 / 10);
  EXPECT_EQ(guest.hurt_seconds(), 0u) << "the reserve covers small jobs";
  EXPECT_LE(guest.reversals(), 4);
}

TEST(Trace, AStepIsFollowedAtOnceAndOnce) {
  const GuestModel guest = run(40 * kMinute, [](int s) { return anon(s < 20 * kMinute ? 60 : 700); });
  EXPECT_LE(guest.hurt_seconds(), 6u);
  EXPECT_LE(guest.reversals(), 2);
  EXPECT_GE(guest.current_kib(), (700 + 60) * kMib);
}

TEST(Trace, AFastSawtoothKeepsItsPeak) {
  const GuestModel guest = run(2 * kHour, [](int s) { return anon(100 + static_cast<uint64_t>(s % 20) * 20); });
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
  const GuestModel guest = run(kHour, [](int s) { return anon(100 + static_cast<uint64_t>(s) / 4); });  // 1000 MiB at the end
  EXPECT_EQ(guest.target_kib(), guest.limit_kib());
  EXPECT_LE(guest.reversals(), 1);
  EXPECT_EQ(guest.hurt_seconds(), 0u);
}

TEST(Trace, AForkStormIsSurvived) {
  std::mt19937_64 random(7);
  const GuestModel guest = run(2 * kHour, [&](int s) {
    const bool storm = s % (10 * kMinute) > 9 * kMinute;  // a minute of every ten
    return anon(storm ? 200 + random() % 600 : 80);
  });
  EXPECT_LE(guest.hurt_seconds(), 12u * 8);
  EXPECT_LE(guest.reversals(), 12 * 4);
}

TEST(Trace, HotFilesAreLeftAloneAfterTheFirstMistake) {
  const int hours = 12;
  const GuestModel guest = run(hours * kHour, [](int) { return anon(100, 500); });  // file pages count as available, but are hot
  EXPECT_LE(guest.reversals(), 2 * (6 + hours)) << "each attempt waits twice as long as the one before, up to an hour";
  EXPECT_LE(guest.hurt_seconds(), 60u);
}

TEST(Trace, WithoutPressureStallInformationRefaultsAndSwapInsSuffice) {
  GuestModel::Shape shape;
  shape.pressure_stalls = false;
  const GuestModel guest = run(40 * kMinute, [](int s) { return anon(s < 20 * kMinute ? 60 : 700); }, shape);
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

}  // namespace
}  // namespace tmem::selfballoon
