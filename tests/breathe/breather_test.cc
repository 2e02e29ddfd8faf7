// SPDX-License-Identifier: MIT
// Rounds of the breather on a host in memory.
#include "breathe/breather_fixture.h"

namespace tmem::breathe {
namespace {

TEST_F(BreatherTest, TheDomainGrowsFirstAndItsServiceWhenTheMemoryIsThere) {
  EXPECT_TRUE(round());
  EXPECT_THAT(host_.order, ElementsAre("domain 596")) << "an eighth of what is free above the reserve";
  host_.order.clear();
  host_.settle();
  round();
  ASSERT_FALSE(host_.order.empty());
  EXPECT_EQ(host_.order.front(), "service 496");
}

TEST_F(BreatherTest, WhatIsStillToComeIsNotGivenTwice) {
  round();
  host_.order.clear();
  round();
  EXPECT_THAT(host_.order, ElementsAre("domain 680")) << "an eighth of what is left above the reserve: 1024 - 256 - 96";
}

TEST_F(BreatherTest, TheServiceShrinksFirstAndTheDomainByWhatItHasLetGo) {
  host_.free = 0;
  EXPECT_TRUE(round());
  EXPECT_THAT(host_.order, ElementsAre("service 144", "domain 400")) << "300 are in use still";
  host_.settle();
  host_.order.clear();
  round();
  EXPECT_EQ(host_.target(kTmem), 244 * kMib);
  EXPECT_GE(host_.service.target_kib, 144 * kMib);
}

TEST_F(BreatherTest, NothingIsTakenBelowWhatTheServiceMayNotLose) {
  host_.free = 0;
  host_.service.needed_kib = 350 * kMib;
  host_.service.now_kib = 380 * kMib;
  rounds(10);
  EXPECT_EQ(host_.service.target_kib, 350 * kMib);
  EXPECT_EQ(host_.domain(kTmem).current_kib, 450 * kMib);
}

TEST_F(BreatherTest, ItGrowsToItsLimitsAndThenRests) {
  host_.free = 4096 * kMib;
  rounds(60);
  EXPECT_EQ(host_.domain(kTmem).current_kib, 1000 * kMib);
  EXPECT_EQ(host_.service.target_kib, 900 * kMib);
  host_.order.clear();
  EXPECT_FALSE(round());
  EXPECT_THAT(host_.order, IsEmpty());
}

// Special pages of a PVH domain come on top of its target.
TEST_F(BreatherTest, ADomainThatHasALittleMoreThanItsTargetDoesNotCreepUp) {
  host_.special_kib = 32;
  host_.free = 4096 * kMib;
  rounds(60);
  EXPECT_EQ(host_.target(kTmem), 1000 * kMib) << "what it can have, or libxl refuses";
  host_.free = 0;
  rounds(20);
  const uint64_t rests = host_.target(kTmem);
  host_.free = 256 * kMib;
  host_.service.now_kib = host_.service.target_kib;
  rounds(20);
  EXPECT_EQ(host_.target(kTmem), rests);
}

TEST_F(BreatherTest, AServiceThatDoesNotAnswerStaysAsItIs) {
  host_.answers = false;
  rounds(3);
  host_.free = 0;
  rounds(3);
  EXPECT_THAT(host_.order, IsEmpty());
  EXPECT_EQ(host_.target(kTmem), 500 * kMib);
}

TEST_F(BreatherTest, RoomIsNotCalledShortBecauseAnAnswerIsLate) {
  host_.answers = false;
  ask("7", 1100);
  rounds(3);
  EXPECT_EQ(word(answer("7"), "state"), "making");
  EXPECT_THAT(told_, IsEmpty());
  host_.answers = true;
  rounds(5);
  EXPECT_EQ(word(answer("7"), "state"), "made") << answer("7");
}

TEST_F(BreatherTest, AServiceThatNeverAnswersIsNotWaitedForForEver) {
  host_.answers = false;
  ask("7", 1100);
  rounds(32);
  EXPECT_EQ(word(answer("7"), "state"), "short");
  EXPECT_THAT(told_, ElementsAre("room-short "));
}

TEST_F(BreatherTest, ARestartOfTheAgentKnowsWhatTheDomainNeedsForItself) {
  host_.free = 0;
  host_.service.now_kib = 390 * kMib;
  round();  // the service is told to shrink, the domain has not followed
  Breather second(host_.store, host_, host_, {{}, "tmem", [](Domid, const std::string&) { return false; }}, [](const Event&) {});
  second.round(now_ += 1000);
  EXPECT_EQ(word_number(*host_.store.read(TMEM_XS_FLOW_STATE), "own-kib"), 100 * kMib);
}

TEST_F(BreatherTest, WhatTheServiceWasToldNotToUseIsNotTheDomainsOwnNeed) {
  host_.service.target_kib = host_.service.now_kib = 150 * kMib;  // by set-memory, before memory was moved
  round();
  EXPECT_EQ(word_number(*host_.store.read(TMEM_XS_FLOW_STATE), "own-kib"), 100 * kMib + 1000 * kMib / 16);
  host_.free = 0;
  rounds(5);
  EXPECT_LT(host_.domain(kTmem).current_kib, 350 * kMib);
}

TEST_F(BreatherTest, RoomIsMadeAndKeptForTheOneWhoComesAndForNobodyElse) {
  ask("7", 1100);
  round();
  EXPECT_EQ(word(answer("7"), "state"), "making");
  rounds(4);
  EXPECT_EQ(word(answer("7"), "state"), "made") << answer("7");
  EXPECT_GE(host_.free, 1100 * kMib);
  const uint64_t kept = host_.free;
  rounds(5);
  EXPECT_EQ(host_.free, kept) << "the room is not given to tmem";

  host_.add(9, "big", 1100);
  host_.free -= 1100 * kMib;
  const uint64_t tmem = host_.domain(kTmem).current_kib;
  rounds(3);
  EXPECT_GE(host_.domain(kTmem).current_kib, tmem) << "nothing more is taken for a room that is used up";
}

TEST_F(BreatherTest, ARoomThatNobodyUsesIsLetGo) {
  ask("7", 100, 5);
  rounds(3);
  EXPECT_EQ(word(answer("7"), "state"), "made");
  rounds(6);
  EXPECT_FALSE(host_.store.read(TMEM_XS_FLOW_ROOM "/7"));
  EXPECT_THAT(host_.store.list(TMEM_XS_FLOW_ROOM), IsEmpty());
}

TEST_F(BreatherTest, RoomThatCannotBeMadeIsToldWithWhatIsMissing) {
  ask("7", 8000);
  rounds(12);
  EXPECT_EQ(word(answer("7"), "state"), "short");
  EXPECT_EQ(word_number(answer("7"), "missing-kib"), 8000 * kMib - host_.free);
  EXPECT_THAT(told_, ElementsAre("room-short ")) << "once";
}

TEST_F(BreatherTest, AWrongRequestIsRemoved) {
  host_.store.write(TMEM_XS_FLOW_ROOM "/7", "much", {});
  round();
  EXPECT_FALSE(host_.store.read(TMEM_XS_FLOW_ROOM "/7"));
}

TEST_F(BreatherTest, ADomainThatIsBeingBuiltFindsItsMemory) {
  DomainView& built = host_.add(5, "web1", 1100);
  built.paused = true;
  built.has_run = false;
  built.current_kib = 200 * kMib;
  rounds(3);
  EXPECT_GE(host_.free, 900 * kMib + 256 * kMib) << "900 are missing, and the reserve stays";
  host_.domain(5).current_kib = 1100 * kMib;
  host_.free -= 900 * kMib;
  const uint64_t tmem = host_.domain(kTmem).current_kib;
  rounds(3);
  EXPECT_GE(host_.domain(kTmem).current_kib, tmem);
}

TEST_F(BreatherTest, WhoIsBuiltAndComesNoFurtherIsNotWaitedForForEver) {
  DomainView& built = host_.add(5, "web1", 1100);
  built.paused = true;
  built.has_run = false;
  built.current_kib = 200 * kMib;
  rounds(40);
  EXPECT_LT(host_.free, 900 * kMib);
}

TEST_F(BreatherTest, Dom0sFallingTargetIsSomebodyWhoWaits) {
  host_.free = 256 * kMib;
  host_.ignores = 0;
  host_.store.write(node(0, "memory/target"), std::to_string(312 * kMib), {});  // xl wants 200
  rounds(3);
  EXPECT_EQ(host_.free, 456 * kMib);
  EXPECT_EQ(host_.target(0), 312 * kMib) << "dom0's memory is xl's business";
}

TEST_F(BreatherTest, OnlyGuestsWithAMinimumAreAskedAndTheirLimitComesBack) {
  host_.service.needed_kib = host_.service.now_kib = 400 * kMib;  // tmem can give nothing
  willing(2, 800, 300);
  host_.add(3, "g3", 800);
  willing(4, 800, 300);
  host_.store.write(node(4, "memory/dynamic-min"), "1", {});
  ask("7", 1000, 5);
  rounds(3);
  EXPECT_EQ(host_.target(2), (800 - 232) * kMib) << "256 + 1000 - 1024";
  EXPECT_EQ(host_.target(3), 800 * kMib);
  EXPECT_EQ(host_.target(4), 800 * kMib) << "another manager is at work there";
  EXPECT_EQ(word(answer("7"), "state"), "made");
  rounds(10);
  EXPECT_EQ(host_.target(2), 800 * kMib) << "what the administrator had set";
  EXPECT_THAT(host_.store.list(TMEM_XS_FLOW_LIMIT), IsEmpty());
}

TEST_F(BreatherTest, WhatTheAdministratorSetsMeanwhileIsHisNewWord) {
  limit_guest_2(5);
  host_.store.write(node(2, "memory/target"), std::to_string(500 * kMib), {});
  rounds(20);
  EXPECT_EQ(host_.target(2), 500 * kMib);
}

// What xl does: it keeps the target as the guest's memory, and takes the number away with the domain.
TEST_F(BreatherTest, AGuestThatRebootsWhileItIsLimitedGetsItsMemoryBack) {
  limit_guest_2(30);
  const uint64_t limited = host_.target(2);
  host_.all.pop_back();
  host_.free += limited;
  rounds(2);
  host_.store.write(node(12, "memory/tmem/flow/min"), "300", {});
  host_.add(12, "g2", limited / kMib);  // whose uuid is that of 2
  host_.free -= limited;
  rounds(40);
  EXPECT_EQ(host_.target(12), 800 * kMib);
  EXPECT_THAT(host_.store.list(TMEM_XS_FLOW_LIMIT), IsEmpty());
}

TEST_F(BreatherTest, VideoMemoryIsNoWordOfTheAdministrators) {
  host_.store.write(node(2, "memory/videoram"), std::to_string(16 * kMib), {});
  limit_guest_2(5);
  EXPECT_EQ(word(answer("7"), "state"), "made");
  rounds(10);
  EXPECT_EQ(host_.target(2), 800 * kMib);
  EXPECT_THAT(host_.store.list(TMEM_XS_FLOW_LIMIT), IsEmpty());
}

TEST_F(BreatherTest, AGuestIsNotGivenMoreThanItMayHave) {
  host_.add(2, "g2", 300);
  host_.store.write(node(2, "memory/static-max"), std::to_string(400 * kMib), {});
  host_.store.write(TMEM_XS_FLOW_LIMIT "/" + uuid_of(2), "max=" + std::to_string(800 * kMib) + " written=" + std::to_string(300 * kMib), {});
  rounds(3);
  EXPECT_EQ(host_.target(2), 400 * kMib);
}

TEST_F(BreatherTest, AnAgentThatDiesBeforeAMoveIsDoneForgetsNothing) {
  limit_guest_2(30);
  ask("8", 100, 30);
  host_.refuses = 2;
  EXPECT_THROW(round(), HostError);
  EXPECT_THROW(round(), HostError);
  host_.refuses.reset();
  rounds(50);
  EXPECT_EQ(host_.target(2), 800 * kMib);
  EXPECT_THAT(host_.store.list(TMEM_XS_FLOW_LIMIT), IsEmpty());
}

TEST_F(BreatherTest, AGuestWhoseTargetCannotBeSetStopsNobodyElse) {
  willing(2, 800, 300);
  willing(3, 800, 300);
  host_.refuses = 2;
  ask("7", 2000);
  EXPECT_THROW(round(), HostError);
  EXPECT_LT(host_.target(3), 800 * kMib);
  EXPECT_LT(host_.service.target_kib, 400 * kMib) << "the tmem domain gives too";
}

TEST_F(BreatherTest, WhenMemoryIsMovedNoMoreTargetsAreTheAdministratorsAgain) {
  host_.service.needed_kib = host_.service.now_kib = 400 * kMib;
  willing(2, 800, 300);
  willing(3, 800, 300);
  ask("7", 1000, 30);
  rounds(3);
  ASSERT_LT(host_.target(2), 800 * kMib);
  host_.store.write(node(3, "memory/target"), std::to_string(500 * kMib), {});  // his word since
  let_go(host_.store, host_);
  EXPECT_EQ(host_.target(2), 800 * kMib);
  EXPECT_EQ(host_.target(3), 500 * kMib);
  EXPECT_THAT(host_.store.list(TMEM_XS_FLOW_LIMIT), IsEmpty());
}

TEST_F(BreatherTest, AGuestThatIsRestoredWhenMemoryIsMovedNoMoreGetsItsMemoryBack) {
  limit_guest_2(30);
  const uint64_t limited = host_.target(2);
  host_.all.pop_back();
  host_.store.remove("/local/domain/2");
  let_go(host_.store, host_);
  host_.store.remove(TMEM_XS_FLOW_STATE);
  EXPECT_FALSE(holds_any(host_.store)) << "nothing that can be done now";
  host_.add(12, "g2", limited / kMib).has_run = false;  // whose uuid is that of 2
  host_.store.write(node(12, "memory/static-max"), std::to_string(700 * kMib), {});
  EXPECT_TRUE(holds_any(host_.store));
  let_go(host_.store, host_);
  EXPECT_EQ(host_.target(12), limited) << "it is being built";
  host_.domain(12).has_run = true;
  let_go(host_.store, host_);
  EXPECT_EQ(host_.target(12), 700 * kMib) << "more than it may have now would be refused";
  EXPECT_FALSE(holds_any(host_.store));
}

TEST_F(BreatherTest, RecordsOfGuestsThatAreNotHereHaveAnEnd) {
  for (int i = 0; i < 1100; ++i) host_.store.write(TMEM_XS_FLOW_LIMIT "/u" + std::to_string(i), "max=2 written=1", {});
  host_.add(2, "g2", 300);
  host_.store.write(TMEM_XS_FLOW_LIMIT "/" + uuid_of(2), "max=" + std::to_string(300 * kMib) + " written=" + std::to_string(300 * kMib), {});
  round();
  EXPECT_THAT(host_.store.list(TMEM_XS_FLOW_LIMIT), ElementsAre(uuid_of(2)));
}

TEST_F(BreatherTest, ZeroIsNoMinimumAndNoMaximum) {
  host_.service.needed_kib = host_.service.now_kib = 400 * kMib;
  willing(2, 800, 0);
  host_.store.write(node(2, "memory/tmem/flow/max"), "0", {});
  ask("7", 1000);
  rounds(5);
  EXPECT_EQ(host_.target(2), 800 * kMib);
}

TEST_F(BreatherTest, TheServiceIsNotToldLessThanItTakes) {
  host_.free = 0;
  host_.service.needed_kib = host_.service.now_kib = 0;
  host_.service.least_kib = 200 * kMib;
  ask("7", 2000);
  rounds(5);
  EXPECT_EQ(host_.service.target_kib, 200 * kMib);
}

TEST_F(BreatherTest, WhatOneRoomHasIsNotPromisedToAnother) {
  host_.free = 1000 * kMib;
  host_.service.needed_kib = host_.service.now_kib = 400 * kMib;
  ask("7", 700);
  rounds(8);
  ASSERT_EQ(word(answer("7"), "state"), "made") << answer("7");
  ask("6", 700);
  rounds(8);
  EXPECT_EQ(word(answer("7"), "state"), "made");
  EXPECT_EQ(word(answer("6"), "state"), "short");
  EXPECT_EQ(word_number(answer("6"), "missing-kib"), 400 * kMib) << answer("6");
}

TEST_F(BreatherTest, ANewcomerUsesUpTheOldestRoomAndNotEachOfThem) {
  ask("7", 400, 600);
  rounds(3);
  ask("6", 400, 600);
  rounds(3);
  ASSERT_EQ(word(answer("6"), "state"), "made") << answer("6");
  host_.add(9, "big", 500);
  host_.free -= 500 * kMib;
  rounds(3);
  EXPECT_EQ(word_number(*host_.store.read(TMEM_XS_FLOW_STATE), "room-kib"), 300 * kMib) << "100 of the second room are used";
  host_.domain(9).dying = true;
  round();
  EXPECT_EQ(word_number(*host_.store.read(TMEM_XS_FLOW_STATE), "room-kib"), 800 * kMib);
}

TEST_F(BreatherTest, WhoUsedUpARoomThatIsOverUsesUpNoOther) {
  ask("7", 400, 20);
  rounds(3);
  ask("6", 400, 600);
  host_.add(9, "big", 400);
  host_.free -= 400 * kMib;
  rounds(30);
  EXPECT_EQ(answer("7"), "");
  EXPECT_EQ(word_number(*host_.store.read(TMEM_XS_FLOW_STATE), "room-kib"), 400 * kMib);
  EXPECT_THAT(*host_.store.read(TMEM_XS_FLOW_ROOM "/6/" TMEM_XS_FLOW_BEFORE), testing::HasSubstr("9")) << "also for an agent that is started then";
}

TEST_F(BreatherTest, WhoIsBuiltLargerThanTheRoomThatIsKeptIsWaitedForToo) {
  ask("7", 100, 600);
  rounds(3);
  DomainView& built = host_.add(5, "web1", 1100);
  built.paused = true;
  built.has_run = false;
  built.current_kib = 0;
  rounds(4);
  EXPECT_GE(host_.free, 1100 * kMib);
}

TEST_F(BreatherTest, ARoomWhoseAskerIsGoneIsNotMadeForEver) {
  host_.store.write(TMEM_XS_FLOW_ROOM "/7", "kib=" + std::to_string(2000 * kMib) + " hold=60 timeout=20", {});
  willing(2, 4000, 300);
  for (int i = 0; i < 30; ++i) {  // which comes nearer all the time, and never near enough
    round();
    host_.domain(2).current_kib -= 20 * kMib;
  }
  EXPECT_FALSE(host_.store.read(TMEM_XS_FLOW_ROOM "/7"));
}

TEST_F(BreatherTest, ARestartOfTheAgentKnowsWhoHasUsedARoom) {
  ask("7", 1000);
  rounds(4);
  host_.add(9, "big", 1000);
  host_.free -= 1000 * kMib;
  Breather second(host_.store, host_, host_, {{}, "tmem", [](Domid, const std::string&) { return false; }}, [](const Event&) {});
  second.round(now_ += 1000);
  EXPECT_EQ(word_number(*host_.store.read(TMEM_XS_FLOW_STATE), "room-kib"), 0u);
}

TEST_F(BreatherTest, ADom0ThatStandsStillFarFromItsTargetIsNotWaitedForForEver) {
  host_.free = 256 * kMib;
  host_.ignores = 0;
  host_.store.write(node(0, "memory/target"), std::to_string(112 * kMib), {});
  for (int i = 0; i < 60; ++i) {
    host_.domain(0).current_kib += i % 2 == 0 ? 4 : -4;
    rounds(1);
  }
  EXPECT_LT(host_.free, 300 * kMib);
}

TEST_F(BreatherTest, AGuestHasItsMaximumAtMostAndWhatTheAdministratorSetOnceItIsGone) {
  host_.add(2, "g2", 800);
  host_.store.write(node(2, "memory/tmem/flow/max"), "500", {});
  rounds(5);
  EXPECT_EQ(host_.target(2), 500 * kMib);
  host_.store.remove(node(2, "memory/tmem/flow/max"));
  rounds(5);
  EXPECT_EQ(host_.target(2), 800 * kMib);
  EXPECT_THAT(host_.store.list(TMEM_XS_FLOW_LIMIT), IsEmpty());
}

TEST_F(BreatherTest, NothingIsSqueezedBeforeAMigration) {
  host_.service.needed_kib = host_.service.now_kib = 400 * kMib;
  willing(2, 800, 300);
  moving_ = "g2";
  ask("7", 1000);
  rounds(10);
  EXPECT_EQ(host_.target(2), 800 * kMib);
  EXPECT_EQ(word(answer("7"), "state"), "made") << "out of the reserve";
}

TEST_F(BreatherTest, AGuestThatIgnoresItsTargetIsMarkedToldOfAndLeftOut) {
  host_.service.needed_kib = host_.service.now_kib = 400 * kMib;
  willing(2, 800, 300);
  host_.ignores = 2;
  ask("7", 1100);
  rounds(20);
  EXPECT_THAT(told_, testing::Contains("guest-stuck g2"));
  EXPECT_EQ(word_number(*host_.store.read(TMEM_XS_FLOW_STATE), "stuck"), 2u);
  EXPECT_EQ(word(answer("7"), "state"), "short");
}

}  // namespace
}  // namespace tmem::breathe
