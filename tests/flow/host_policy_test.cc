// SPDX-License-Identifier: MIT
// Single plans of the host's policy, and its laws on random hosts.
#include "flow/host_policy.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace tmem::flow {
namespace {

constexpr uint64_t kMib = 1024;

GuestView guest(GuestId id, uint64_t limit_mib, uint64_t current_mib, uint64_t min_mib = 64) {
  GuestView g;
  g.id = id;
  g.min_kib = min_mib * kMib;
  g.max_kib = g.limit_kib = limit_mib * kMib;
  g.current_kib = current_mib * kMib;
  return g;
}

// 1 GiB free, a tmem domain of 500 MiB that may not go below 200, the reserve of 256.
HostSample host(std::vector<GuestView> guests = {}) {
  HostSample s;
  s.free_kib = 1024 * kMib;
  s.tmem_current_kib = 500 * kMib;
  s.tmem_persistent_kib = 200 * kMib;
  s.guests = std::move(guests);
  return s;
}

bool told(const HostPlan& plan, HostEvent event) {
  for (const auto& [what, id] : plan.events) {
    if (what == event) return true;
  }
  return false;
}

TEST(HostPolicy, TmemGetsAnEighthOfTheSurplus) { EXPECT_EQ(plan({}, {}, host()).tmem_target_kib, (500 + (1024 - 256) / 8) * kMib); }

TEST(HostPolicy, TmemGrowsOnceInAWhileHoweverOftenIsLooked) {
  HostParams params;
  params.tmem_growth_ms = 2000;
  HostSample sample = host();
  HostPlan now = plan(params, {}, sample);
  const uint64_t first = sample.tmem_current_kib = now.tmem_target_kib;
  for (uint64_t passed = 200; passed < 2000; passed += 200) {
    sample.time_ms += 200;
    now = plan(params, now.next, sample);
    EXPECT_EQ(now.tmem_target_kib, first) << passed;
  }
  sample.time_ms += 200;
  EXPECT_GT(plan(params, now.next, sample).tmem_target_kib, first);
}

TEST(HostPolicy, WhatGuestsMayWakeIntoIsNotSurplus) {
  // a fifth of 400 is kept for the first; the second misses 20 only; the third is at its limit
  const HostPlan p = plan({}, {}, host({guest(1, 1000, 400), guest(2, 500, 480), guest(3, 300, 300)}));
  EXPECT_EQ(p.tmem_target_kib, 500 * kMib + (1024 - 256 - 80 - 20) * kMib / 8);
}

TEST(HostPolicy, TmemGivesBackAtOnceDownToItsPersistentPages) {
  HostSample s = host();
  s.free_kib = 100 * kMib;
  EXPECT_EQ(plan({}, {}, s).tmem_target_kib, (500 - 156) * kMib);
  s.tmem_persistent_kib = 450 * kMib;
  EXPECT_EQ(plan({}, {}, s).tmem_target_kib, 450 * kMib);
}

TEST(HostPolicy, ASteadyHostGetsASteadyPlan) {
  HostSample s = host({guest(1, 500, 500)});
  HostState state;
  for (int i = 0; i < 200; ++i) {
    s.time_ms += 1000;
    const HostPlan p = plan({}, state, s);
    state = p.next;
    EXPECT_GE(p.tmem_target_kib, s.tmem_current_kib);
    s.free_kib -= p.tmem_target_kib - s.tmem_current_kib;
    s.tmem_current_kib = p.tmem_target_kib;
  }
  EXPECT_LE(s.free_kib, (256 + 16) * kMib);
  EXPECT_GE(s.free_kib, 256 * kMib);
}

TEST(HostPolicy, RoomIsMadeFromTmemFirst) {
  HostSample s = host({guest(1, 800, 800)});
  s.room_kib = 900 * kMib;
  const HostPlan p = plan({}, {}, s);
  EXPECT_EQ(p.tmem_target_kib, (500 - 132) * kMib);  // 256 + 900 - 1024
  EXPECT_TRUE(p.limits_kib.empty());
}

TEST(HostPolicy, ThenFromGuestsByWeightNeverBelowTheirMinimum) {
  HostSample s = host({guest(1, 800, 800), guest(2, 800, 800), guest(3, 100, 100, 90)});
  s.guests[1].weight = 200;
  s.room_kib = 1368 * kMib;  // 300 from tmem, 300 more
  const HostPlan p = plan({}, {}, s);
  EXPECT_EQ(p.tmem_target_kib, 200 * kMib);
  const uint64_t one = 800 * kMib - p.limits_kib.at(1), two = 800 * kMib - p.limits_kib.at(2), three = 100 * kMib - p.limits_kib.at(3);
  EXPECT_EQ(one + two + three, 300 * kMib);
  EXPECT_EQ(three, 10 * kMib) << "all that it has above its minimum";
  EXPECT_NEAR(static_cast<double>(one), 2.0 * static_cast<double>(two), 64.0 * kMib) << "the heavier gives half";
  EXPECT_FALSE(told(p, HostEvent::kRoomShort));
}

// Of 500 MiB of the tmem domain 450 hold persistent pages, half a page in a KiB; 200 more are waited for than it can drop.
HostSample host_full_of_pages() {
  HostSample s = host({guest(1, 800, 800, 800), guest(2, 800, 800, 800), guest(3, 800, 800)});
  s.tmem_persistent_kib = 450 * kMib;
  for (GuestView& g : s.guests) g.pages = 150 * kMib / 2, g.pages_kib = 150 * kMib;
  s.guests[2].pages = s.guests[2].pages_kib = 0;
  s.room_kib = (768 + 50 + 200) * kMib;  // 200 beyond
  return s;
}

TEST(HostPolicy, GuestsTakePagesBackBeforeAnyGivesMemory) {
  HostSample s = host_full_of_pages();
  s.guests[1].pages_weight = 300;
  const HostPlan p = plan({}, {}, s);
  EXPECT_EQ(p.tmem_target_kib, 450 * kMib);
  EXPECT_TRUE(p.limits_kib.empty());
  EXPECT_EQ(p.pages_targets, (std::map<GuestId, uint64_t>{{1, 0}, {2, 100 * kMib / 2}})) << "the heavier gives a third, the other all that it has";
  EXPECT_FALSE(told(p, HostEvent::kRoomShort));
}

TEST(HostPolicy, NoGuestIsAskedForPagesBelowItsMinimumAndTheRestIsAskedOfBalloons) {
  HostSample s = host_full_of_pages();
  s.guests[0].pages_min = 50 * kMib / 2;
  s.guests[1].pages_min = 140 * kMib / 2;
  const HostPlan p = plan({}, {}, s);
  EXPECT_EQ(p.pages_targets, (std::map<GuestId, uint64_t>{{1, 50 * kMib / 2}, {2, 140 * kMib / 2}}));
  EXPECT_EQ(p.limits_kib, (std::map<GuestId, uint64_t>{{3, (800 - 90) * kMib}}));
}

TEST(HostPolicy, WhatAGuestsOwnBalloonTakesForItsPagesIsNoRoom) {
  HostSample s = host_full_of_pages();
  s.guests[0].current_kib = 700 * kMib;  // it takes up to 100 for its 150 of tmem
  HostPlan p = plan({}, {}, s);
  EXPECT_EQ(p.pages_targets, (std::map<GuestId, uint64_t>{{1, 0}, {2, 0}})) << "50 and 150";
  EXPECT_TRUE(p.limits_kib.empty());
  s.guests[0].current_kib = 600 * kMib;
  p = plan({}, {}, s);
  EXPECT_EQ(p.pages_targets, (std::map<GuestId, uint64_t>{{2, 0}})) << "the first would take more than it brings";
  EXPECT_EQ(p.limits_kib, (std::map<GuestId, uint64_t>{{3, 750 * kMib}}));
}

TEST(HostPolicy, NoPagesAreAskedForWhereNobodyWaits) {
  HostSample s = host_full_of_pages();
  s.room_kib = 0;
  s.free_kib = 0;
  EXPECT_TRUE(plan({}, {}, s).pages_targets.empty());
}

TEST(HostPolicy, ARequestForPagesStandsUnchangedUntilItIsOver) {
  HostSample s = host_full_of_pages();
  HostPlan p = plan({}, {}, s);
  const auto asked = p.pages_targets;
  ASSERT_EQ(asked.size(), 2u);
  for (int i = 0; i < 3; ++i) {  // ten MiB from each, and the domain follows
    s.time_ms += 1000;
    for (GuestView& g : s.guests) g.pages -= std::min<uint64_t>(g.pages, 10 * kMib / 2), g.pages_kib -= std::min(g.pages_kib, 10 * kMib);
    s.tmem_persistent_kib -= 20 * kMib;
    p = plan({}, p.next, s);
    EXPECT_EQ(p.pages_targets, asked);
    EXPECT_EQ(p.tmem_target_kib, s.tmem_persistent_kib);
  }
  s.room_kib = 0;
  s.time_ms += 1000;
  p = plan({}, p.next, s);
  EXPECT_TRUE(p.pages_targets.empty());
  EXPECT_TRUE(p.next.asked.empty());
}

TEST(HostPolicy, AGuestThatTakesNoPagesBackIsNotWaitedForForEver) {
  HostSample s = host_full_of_pages();
  HostPlan p = plan({}, {}, s);
  s.time_ms += HostParams{}.stuck_ms;
  p = plan({}, p.next, s);
  EXPECT_TRUE(p.pages_targets.empty());
  EXPECT_EQ(p.limits_kib, (std::map<GuestId, uint64_t>{{3, 600 * kMib}})) << "the others make the room";
  s.time_ms += 1000;
  EXPECT_TRUE(plan({}, p.next, s).pages_targets.empty()) << "not asked again";
}

TEST(HostPolicy, AGuestThatTakesAPageBackNowAndThenIsNotWaitedForEither) {
  HostSample s = host_full_of_pages();
  HostPlan p = plan({}, {}, s);
  for (int i = 0; i <= 10; ++i) {
    s.time_ms += 1000;
    for (GuestView& g : s.guests) g.pages -= g.pages > 0;
    p = plan({}, p.next, s);
  }
  EXPECT_TRUE(p.pages_targets.empty());
  EXPECT_TRUE(p.limits_kib.contains(3)) << "the others make the room";
}

TEST(HostPolicy, AGuestThatMigratesIsNotAskedForPages) {
  HostSample s = host_full_of_pages();
  HostPlan p = plan({}, {}, s);
  s.guests[0].migrating = true;
  EXPECT_FALSE(plan({}, p.next, s).pages_targets.contains(1));
}

TEST(HostPolicy, RoomThatCannotBeMadeIsTold) {
  HostSample s = host({guest(1, 100, 100)});
  s.room_kib = 8192 * kMib;
  const HostPlan p = plan({}, {}, s);
  EXPECT_TRUE(told(p, HostEvent::kRoomShort));
  EXPECT_EQ(p.limits_kib.at(1), 64 * kMib);
}

TEST(HostPolicy, NothingIsSqueezedBeforeAMigration) {
  HostSample s = host({guest(1, 800, 800)});
  s.guests[0].migrating = true;
  s.room_kib = 8192 * kMib;
  EXPECT_TRUE(plan({}, {}, s).limits_kib.empty());
}

TEST(HostPolicy, ALoweredLimitGoesUpAgainBeforeTmemGrows) {
  HostSample s = host({guest(1, 800, 500)});
  s.guests[0].limit_kib = 500 * kMib;
  const HostPlan p = plan({}, {}, s);
  EXPECT_EQ(p.limits_kib.at(1), 800 * kMib);
  EXPECT_EQ(p.tmem_target_kib, 500 * kMib + (1024 - 256 - 300) * kMib / 8);
}

TEST(HostPolicy, ALoweredLimitGoesUpBeforeTmemGrowsAlsoWhileRoomIsKept) {
  HostSample s = host({guest(1, 800, 500)});
  s.guests[0].limit_kib = 500 * kMib;
  s.room_kib = 100 * kMib;
  const HostPlan p = plan({}, {}, s);
  EXPECT_EQ(p.limits_kib.at(1), 800 * kMib);
  EXPECT_EQ(p.tmem_target_kib, 500 * kMib + (1024 - 256 - 100 - 300) * kMib / 8);
}

TEST(HostPolicy, TmemGivesUpWhatItCanDropForALoweredLimitOnceNobodyWaits) {
  HostSample s = host({guest(1, 800, 400)});
  s.guests[0].limit_kib = 400 * kMib;
  s.free_kib = 266 * kMib;
  s.room_kib = 10 * kMib;
  EXPECT_EQ(plan({}, {}, s).tmem_target_kib, 500 * kMib) << "first who waits";
  s.room_kib = 0;
  HostPlan p = plan({}, {}, s);
  EXPECT_EQ(p.tmem_target_kib, 200 * kMib) << "persistent pages stay";
  EXPECT_EQ(p.limits_kib.at(1), 410 * kMib) << "what is there is given";
  s.free_kib += s.tmem_current_kib - p.tmem_target_kib;
  s.tmem_current_kib = p.tmem_target_kib;
  EXPECT_EQ(plan({}, p.next, s).limits_kib.at(1), 710 * kMib);
}

TEST(HostPolicy, WhatAGuestHasNotGivenYetItKeepsWhenNobodyWaits) {
  HostSample s = host({guest(1, 800, 700), guest(2, 800, 400)});
  s.guests[0].limit_kib = s.guests[1].limit_kib = 400 * kMib;
  s.free_kib = 300 * kMib;
  const HostPlan p = plan({}, {}, s);
  EXPECT_EQ(p.limits_kib.at(1), 744 * kMib) << "what it has, and what is free";
  EXPECT_FALSE(p.limits_kib.contains(2));
  EXPECT_EQ(p.tmem_target_kib, 200 * kMib) << "for the rest of the first, and for the second";
  s.tmem_persistent_kib = s.tmem_current_kib = 500 * kMib;
  s.free_kib = 200 * kMib;
  EXPECT_EQ(plan({}, {}, s).limits_kib, (std::map<GuestId, uint64_t>{{1, 700 * kMib}}));
}

TEST(HostPolicy, WhatARaisedLimitPromisesIsNotGivenToTheNextGuest) {
  HostSample s = host({guest(1, 8000, 5000), guest(2, 8000, 5000)});
  for (GuestView& g : s.guests) g.limit_kib = 5000 * kMib, g.buffer_percent = 1;
  s.tmem_current_kib = s.tmem_persistent_kib;
  s.free_kib = (256 + 3000) * kMib;
  HostPlan p = plan({}, plan({}, {}, s).next, s);
  EXPECT_EQ(p.limits_kib, (std::map<GuestId, uint64_t>{{1, 8000 * kMib}}));
  s.guests[0].limit_kib = 8000 * kMib;
  s.time_ms += 200;
  p = plan({}, p.next, s);
  EXPECT_TRUE(p.limits_kib.empty()) << "the first has not taken it yet";
  s.time_ms += HostParams{}.stuck_ms;
  EXPECT_EQ(plan({}, p.next, s).limits_kib, (std::map<GuestId, uint64_t>{{2, 7950 * kMib}})) << "it does not take it; a part of its 5000 is kept";
  s.guests[0].current_kib = 8000 * kMib;
  s.free_kib = 1256 * kMib;
  p = plan({}, p.next, s);
  EXPECT_EQ(p.limits_kib, (std::map<GuestId, uint64_t>{{2, 6000 * kMib}})) << "it has come";
  s.guests[0].current_kib = 7000 * kMib;
  s.time_ms += 200;
  EXPECT_EQ(plan({}, p.next, s).limits_kib, (std::map<GuestId, uint64_t>{{2, 5930 * kMib}})) << "and what it gives back itself is no promise";
}

TEST(HostPolicy, ALimitAboveTheMaximumComesDownButNotBeforeAMigration) {
  HostSample s = host({guest(1, 800, 800), guest(2, 800, 800)});
  for (GuestView& g : s.guests) g.max_kib = 500 * kMib;
  s.guests[1].migrating = true;
  EXPECT_EQ(plan({}, {}, s).limits_kib, (std::map<GuestId, uint64_t>{{1, 500 * kMib}}));
}

TEST(HostPolicy, AGuestThatIgnoresItsLimitIsMarkedOnceAndLeftOut) {
  HostSample s = host({guest(1, 400, 800), guest(2, 800, 800)});
  HostState state;
  int marks = 0;
  for (int i = 0; i <= 30; ++i) {
    s.time_ms = static_cast<uint64_t>(i) * 1000;
    const HostPlan p = plan({}, state, s);
    state = p.next;
    marks += told(p, HostEvent::kGuestStuck);
  }
  EXPECT_EQ(marks, 1);
  s.room_kib = 1368 * kMib;
  s.time_ms += 1000;
  const HostPlan p = plan({}, state, s);
  EXPECT_EQ(p.limits_kib.count(1), 0u) << "not asked again";
  EXPECT_EQ(p.limits_kib.at(2), 500 * kMib) << "the other gives all of it";
  s.guests[0].current_kib = 400 * kMib;
  EXPECT_TRUE(told(plan({}, p.next, s), HostEvent::kGuestObeys));
}

TEST(HostPolicy, ASlowGuestIsNotTakenForAStuckOne) {
  HostSample s = host({guest(1, 400, 800)});
  HostState state;
  for (int i = 0; i <= 60; ++i) {
    s.time_ms += 1000;
    s.guests[0].current_kib -= 4 * kMib;
    const HostPlan p = plan({}, state, s);
    state = p.next;
    EXPECT_FALSE(told(p, HostEvent::kGuestStuck));
  }
}

TEST(HostPolicy, AGuestThatGivesAPageNowAndThenIsStuck) {
  HostSample s = host({guest(1, 400, 800), guest(2, 800, 800)});
  s.room_kib = 1368 * kMib;
  HostState state;
  HostPlan p;
  for (int i = 0; i <= 12; ++i) {
    s.time_ms += 1000;
    s.guests[0].current_kib -= 4;
    p = plan({}, state, s);
    state = p.next;
  }
  EXPECT_TRUE(state.guests.at(1).stuck);
  EXPECT_EQ(p.limits_kib.at(2), 500 * kMib) << "the other makes all of the room";
}

TEST(HostPolicy, AGuestThatIsAskedForMoreHasItsTimeAnew) {
  HostSample s = host({guest(1, 400, 800)});
  HostState state;
  for (int i = 0; i <= 15; ++i) {
    s.time_ms += 1000;
    if (i == 8) s.guests[0].limit_kib = 300 * kMib;
    const HostPlan p = plan({}, state, s);
    state = p.next;
    EXPECT_FALSE(told(p, HostEvent::kGuestStuck)) << i;
  }
}

TEST(HostPolicy, LowMemoryIsToldOnceWhileHalfOfTheReserveIsLeftAndOverWhenAllOfItIsFree) {
  const uint64_t reserve = HostParams{}.reserve_kib;
  const struct {
    uint64_t free_kib;
    bool low, enough;
  } looks[] = {{reserve / 2, false, false}, {reserve / 2 - 1, true, false}, {0, false, false},      {reserve / 2, false, false},
               {reserve - 1, false, false}, {reserve, false, true},         {reserve, false, false}, {reserve / 2 - 1, true, false}};
  HostSample s = host();
  HostState state;
  for (const auto& look : looks) {
    s.time_ms += 1000;
    s.free_kib = look.free_kib;
    const HostPlan p = plan({}, state, s);
    state = p.next;
    EXPECT_EQ(told(p, HostEvent::kMemoryLow), look.low) << look.free_kib;
    EXPECT_EQ(told(p, HostEvent::kMemoryEnough), look.enough) << look.free_kib;
    EXPECT_FALSE(told(p, HostEvent::kRoomShort)) << "nobody is refused anything";
  }
}

RC_GTEST_PROP(HostPolicy, PromisesNothingTwice, ()) {
  HostSample s;
  const auto kib = [](uint64_t max) { return *rc::gen::inRange<uint64_t>(0, max); };
  HostState state;
  const auto count = *rc::gen::inRange<unsigned>(0, 12);
  for (unsigned i = 0; i < count; ++i) {
    GuestView g;
    g.id = i;
    g.max_kib = kib(1 << 22);
    g.min_kib = g.max_kib / 8;
    g.limit_kib = std::max(g.min_kib, g.max_kib - kib(g.max_kib + 1));
    g.current_kib = kib(1 << 22);
    g.weight = *rc::gen::inRange<uint32_t>(0, 1000);
    g.migrating = *rc::gen::arbitrary<bool>();
    g.pages = kib(1 << 20);
    g.pages_min = kib(1 << 20);
    g.pages_kib = g.pages * kib(5);
    g.pages_weight = *rc::gen::inRange<uint32_t>(0, 1000);
    s.guests.push_back(g);
  }
  for (int round = 0; round < 8; ++round) {
    s.time_ms += kib(20000);
    s.free_kib = kib(1 << 23);
    s.tmem_current_kib = kib(1 << 23);
    s.tmem_persistent_kib = kib(s.tmem_current_kib + 1);
    s.room_kib = *rc::gen::arbitrary<bool>() ? kib(1 << 23) : 0;
    const HostPlan p = plan({}, state, s);
    state = p.next;
    if (p.tmem_target_kib > s.tmem_current_kib) {
      uint64_t raised = p.tmem_target_kib - s.tmem_current_kib;
      for (const auto& [id, limit] : p.limits_kib) raised += limit - std::min(limit, std::max(s.guests[id].limit_kib, s.guests[id].current_kib));
      RC_ASSERT(raised + HostParams{}.reserve_kib + s.room_kib <= s.free_kib);
    }
    RC_ASSERT(p.tmem_target_kib >= std::min(s.tmem_persistent_kib, s.tmem_current_kib));
    for (const auto& [id, target] : p.pages_targets) RC_ASSERT(!s.guests[id].migrating && target >= std::min(s.guests[id].pages, s.guests[id].pages_min));
    for (const auto& [id, limit] : p.limits_kib) {
      const GuestView& g = s.guests[id];
      RC_ASSERT(limit <= g.max_kib || limit <= g.limit_kib);
      if (limit < g.limit_kib) RC_ASSERT(limit >= g.min_kib && !g.migrating);
    }
  }
}

// Nobody takes more than his limit, so what was promised is there: in looks that follow each other fast, balloons on their way.
RC_GTEST_PROP(HostPolicy, WhatIsPromisedIsThereUntilItIsTaken, ()) {
  const auto kib = [](uint64_t max) { return *rc::gen::inRange<uint64_t>(0, max + 1); };
  HostSample s = host();
  for (GuestId id = 0; id < 4; ++id) {
    s.guests.push_back(guest(id, 1024, 1024));
    s.guests.back().limit_kib = s.guests.back().current_kib = s.guests.back().min_kib + kib(960 * kMib);
  }
  HostState state;
  for (int round = 0; round < 40; ++round) {
    s.time_ms += 200;
    if (kib(9) == 0) s.room_kib = kib(1) * kib(2048 * kMib);
    if (kib(4) == 0) s.free_kib += kib(512 * kMib);  // somebody ends
    const HostPlan p = plan({}, state, s);
    state = p.next;
    uint64_t promised = HostParams{}.reserve_kib + s.room_kib + p.tmem_target_kib - std::min(p.tmem_target_kib, s.tmem_current_kib);
    bool raises = p.tmem_target_kib > s.tmem_current_kib;
    for (GuestView& g : s.guests) {
      const auto limit = p.limits_kib.find(g.id);
      raises |= limit != p.limits_kib.end() && limit->second > std::max(g.limit_kib, g.current_kib);
      if (limit != p.limits_kib.end()) g.limit_kib = limit->second;
      promised += g.limit_kib - std::min(g.limit_kib, g.current_kib);
    }
    RC_ASSERT(!raises || promised <= s.free_kib);
    s.free_kib = s.free_kib + s.tmem_current_kib - p.tmem_target_kib;
    s.tmem_current_kib = p.tmem_target_kib;
    for (GuestView& g : s.guests) {
      const uint64_t before = g.current_kib;
      g.current_kib = g.limit_kib < before ? before - kib(before - g.limit_kib) : before + kib(std::min(g.limit_kib - before, s.free_kib));
      s.free_kib = s.free_kib + before - g.current_kib;
    }
  }
}

}  // namespace
}  // namespace tmem::flow
