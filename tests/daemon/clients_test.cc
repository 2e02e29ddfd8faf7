// SPDX-License-Identifier: MIT
// Who may claim old pools: each rule of daemon/guests/clients.h.
#include "daemon/guests/clients.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tmem {
namespace {

using Outcome = Admission::Outcome;
using testing::ElementsAre;
using testing::IsEmpty;

ClientHello hello_of(uint8_t who, uint64_t nonce, uint64_t epoch, uint32_t queues = 2) {
  ClientHello hello;
  hello.uuid.byte[0] = who;
  hello.nonce = {nonce, 0};
  hello.epoch = epoch;
  hello.name = "guest";
  hello.transport = "memfd";
  hello.queues = queues;
  return hello;
}

class Registry : public testing::Test {
 protected:
  Registry() : registry_(limits(), ClientPolicy(), 1) {}
  static ClientRegistry::Limits limits() { return {4, 1, 60, 600}; }

  // The service died: what the shards know of the client is all that is left.
  static ClientInfo info_of(const ClientEntry& entry) {
    ClientInfo info;
    info.id = entry.id;
    info.uuid = entry.uuid;
    info.nonce = entry.nonce;
    info.epoch = entry.identity().epoch;
    info.owner = entry.owner;
    entry.name.copy(info.name.data(), info.name.size() - 1);
    return info;
  }
  static ClientRegistry restarted(const std::vector<ClientInfo>& infos) {
    ClientRegistry out(limits(), ClientPolicy(), 1);
    for (const ClientInfo& info : infos) out.recovered(info);
    EXPECT_THAT(out.recovery_done(1000), IsEmpty());
    return out;
  }

  ClientRegistry registry_;
};

TEST_F(Registry, ANewClientStartsWithNoPoolsAndEpochOne) {
  const Admission admission = registry_.admit(hello_of(1, 9, 0));
  EXPECT_EQ(admission.outcome, Outcome::kFresh);
  EXPECT_FALSE(admission.freed);
  EXPECT_GE(admission.id.value(), kLocalClientIdFirst);
  EXPECT_EQ(registry_.find(admission.id)->epoch, 1u);
}

TEST_F(Registry, ARecoveredDedupGroupIsCalledByItsNumberWhichIsTheSameGroup) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  ClientInfo info = info_of(*registry_.find(id));
  info.policy.dedup_group = dedup_number(id, "web");
  ClientRegistry after = restarted({info, info});
  const std::string called = after.find(id)->dedup_group;
  EXPECT_EQ(called[0], '#');
  EXPECT_EQ(dedup_number(ClientId(77), called), info.policy.dedup_group);
  EXPECT_NE(dedup_number(id, "group"), info.policy.dedup_group);
  info.policy.dedup_group = dedup_number(id, "self");
  EXPECT_EQ(restarted({info, info}).find(id)->dedup_group, "self");
}

TEST_F(Registry, AUuidBelongsToTheUserWhoBroughtItForAsLongAsAnythingOfItIsHere) {
  const auto of = [](uint32_t owner, uint64_t epoch) {
    ClientHello hello = hello_of(1, 9, epoch);
    hello.owner = owner;
    return hello;
  };
  const ClientId id = registry_.admit(of(1000, 0)).id;
  EXPECT_EQ(registry_.admit(of(1001, 0)).outcome, Outcome::kNotOwner);
  ClientRegistry after = restarted({info_of(*registry_.find(id)), info_of(*registry_.find(id))});
  EXPECT_EQ(after.admit(of(1001, 1)).outcome, Outcome::kNotOwner) << "a crash forgets nothing";
  EXPECT_EQ(after.admit(of(1001, 0)).outcome, Outcome::kNotOwner) << "nor may another user have the pools freed";
  EXPECT_EQ(after.admit(of(0, 1)).outcome, Outcome::kResumed) << "root acts for anybody";
  EXPECT_EQ(after.find(id)->owner, 1000u) << "and owns nothing by that";
  EXPECT_TRUE(after.disconnected(id, false, 1001));
  EXPECT_EQ(after.admit(of(1001, 0)).outcome, Outcome::kNotOwner) << "its pools are being freed";
  EXPECT_EQ(after.admit(of(1000, 0)).outcome, Outcome::kFresh);
  EXPECT_EQ(after.admit(of(1001, 0)).outcome, Outcome::kNotOwner);
  for (const ClientId each : {id, ClientId(after.entries().rbegin()->first)}) after.erase(each);
  EXPECT_EQ(after.admit(of(1001, 0)).outcome, Outcome::kFresh) << "nothing of it is left";
}

TEST_F(Registry, AGuestsUuidIsNoLocalUsersToClaim) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  ClientRegistry after = restarted({info_of(*registry_.find(id)), info_of(*registry_.find(id))});
  ClientHello local = hello_of(1, 9, 1);
  local.owner = 1000;
  EXPECT_EQ(after.admit(local).outcome, Outcome::kNotOwner);
}

TEST_F(Registry, ALocalUserWhoShowedAGuestsUuidBeforeIsNotTheOwnerOfWhatTheGuestStores) {
  ClientHello local = hello_of(1, 9, 0);
  local.owner = 1000;
  const ClientId users = registry_.admit(local).id;
  registry_.confirm(users);
  registry_.disconnected(users, true, 0);
  ClientHello guest = hello_of(1, 9, registry_.find(users)->epoch);
  guest.by_host = true;
  const Admission admission = registry_.admit(guest);
  EXPECT_EQ(admission.outcome, Outcome::kFresh) << "what a user stored is no guest's";
  EXPECT_EQ(admission.freed, users);
  EXPECT_EQ(registry_.find(admission.id)->owner, 0u);
  registry_.disconnected(admission.id, true, 0);
  local.epoch = registry_.find(admission.id)->epoch;
  EXPECT_EQ(registry_.admit(local).outcome, Outcome::kNotOwner);
  registry_.erase(users);
  EXPECT_EQ(registry_.admit(local).outcome, Outcome::kNotOwner);
  guest.epoch = local.epoch;
  EXPECT_EQ(registry_.admit(guest).outcome, Outcome::kResumed);
}

TEST_F(Registry, AConnectedUuidIsInUse) {
  const Admission first = registry_.admit(hello_of(1, 9, 0));
  const Admission second = registry_.admit(hello_of(1, 9, 1));
  EXPECT_EQ(second.outcome, Outcome::kInUse);
  EXPECT_EQ(second.id, first.id);
}

TEST_F(Registry, AClientThatVanishesIsFreedAtOnce) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  EXPECT_TRUE(registry_.disconnected(id, false, 0));
  EXPECT_FALSE(registry_.disconnected(id, false, 0)) << "once";
  const Admission again = registry_.admit(hello_of(1, 9, 1));
  EXPECT_EQ(again.outcome, Outcome::kFresh);
  EXPECT_FALSE(again.freed);
  EXPECT_NE(again.id, id);
}

TEST_F(Registry, ARecoveredClientWithNonceAndEpochResumesAndTheEpochMovesOn) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  registry_.confirm(id);
  const ClientInfo info = info_of(*registry_.find(id));
  ClientRegistry after = restarted({info, info});
  EXPECT_EQ(after.find(id)->state, ClientState::kRecovered);
  const Admission admission = after.admit(hello_of(1, 9, 1));
  EXPECT_EQ(admission.outcome, Outcome::kResumed);
  EXPECT_EQ(admission.id, id);
  EXPECT_EQ(after.find(id)->epoch, 2u);
}

TEST_F(Registry, AResumeThatFailsLeavesThePoolsWaitingForTheSameClaim) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  registry_.confirm(id);
  const ClientInfo info = info_of(*registry_.find(id));
  ClientRegistry later = restarted({info, info});
  ASSERT_EQ(later.admit(hello_of(1, 9, 1)).outcome, Outcome::kResumed);
  later.resume_failed(id, 2000);
  EXPECT_THAT(later.expired(2059), IsEmpty());
  EXPECT_EQ(later.admit(hello_of(1, 9, 1)).outcome, Outcome::kResumed) << "the client knows only the old epoch";
}

TEST_F(Registry, HoweverOftenAResumeFailsTheOldEpochIsTakenAndSoIsTheOneThatWasHandedOut) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  registry_.confirm(id);
  const ClientInfo info = info_of(*registry_.find(id));
  ClientRegistry later = restarted({info, info});
  for (int failed = 0; failed < 3; ++failed) {
    ASSERT_EQ(later.admit(hello_of(1, 9, 1)).outcome, Outcome::kResumed) << failed;
    EXPECT_EQ(later.find(id)->epoch, 2u) << failed;
    later.resume_failed(id, 2000);
  }
  ASSERT_EQ(later.admit(hello_of(1, 9, 2)).outcome, Outcome::kResumed) << "it heard the last welcome";
  EXPECT_EQ(later.find(id)->epoch, 3u);
  later.resume_failed(id, 2000);
  EXPECT_EQ(later.admit(hello_of(1, 9, 1)).outcome, Outcome::kFresh) << "older than that";
}

TEST_F(Registry, CrashesInARowDuringAResumeDoNotMakeTheEpochOlder) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  registry_.confirm(id);
  ClientInfo info = info_of(*registry_.find(id));
  for (int crash = 0; crash < 3; ++crash) {
    ClientRegistry after = restarted({info, info});
    ASSERT_EQ(after.admit(hello_of(1, 9, 1)).outcome, Outcome::kResumed) << crash;
    info = info_of(*after.find(id));
  }
}

TEST_F(Registry, ASuspendedClientWhoseResumeFailsIsSuspendedAsItWasAndKeepsItsDay) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  registry_.confirm(id);
  registry_.disconnected(id, true, 100);
  for (int failed = 0; failed < 3; ++failed) {
    ASSERT_EQ(registry_.admit(hello_of(1, 9, 1)).outcome, Outcome::kResumed) << failed;
    EXPECT_EQ(registry_.find(id)->identity().epoch, stored_epoch(2, false));
    registry_.resume_failed(id, 200);
    EXPECT_EQ(registry_.find(id)->state, ClientState::kSuspended);
    EXPECT_EQ(registry_.find(id)->identity().epoch, stored_epoch(2, false, true)) << "a later crash finds it suspended";
  }
  EXPECT_THAT(registry_.expired(699), IsEmpty());
  const ClientInfo info = info_of(*registry_.find(id));
  EXPECT_EQ(restarted({info, info}).admit(hello_of(1, 9, 1)).outcome, Outcome::kResumed);
  EXPECT_THAT(registry_.expired(700), ElementsAre(id));
}

TEST_F(Registry, AResumeThatFailsAfterTheDayIsOverLeavesTimeForAnother) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  registry_.confirm(id);
  registry_.disconnected(id, true, 100);
  registry_.admit(hello_of(1, 9, 1));
  registry_.resume_failed(id, 900);
  EXPECT_THAT(registry_.expired(959), IsEmpty());
  EXPECT_THAT(registry_.expired(960), ElementsAre(id));
}

TEST_F(Registry, AnotherNonceEpochOrNumberOfQueuesFreesTheOldPools) {
  for (const ClientHello& claim : {hello_of(1, 8, 1), hello_of(1, 9, 2), hello_of(1, 9, 0), hello_of(1, 9, 1, 1)}) {
    ClientRegistry registry(limits(), ClientPolicy(), 1);
    const ClientId id = registry.admit(hello_of(1, 9, 0)).id;
    registry.confirm(id);
    const ClientInfo info = info_of(*registry.find(id));
    ClientRegistry after = restarted({info, info});
    const Admission admission = after.admit(claim);
    EXPECT_EQ(admission.outcome, Outcome::kFresh);
    EXPECT_EQ(admission.freed, id);
    EXPECT_EQ(after.find(id)->state, ClientState::kClosing);
  }
}

TEST_F(Registry, UntilTheClientHasShownItKnowsTheNewEpochTheOneBeforeIsTakenToo) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  registry_.confirm(id);
  const ClientInfo first = info_of(*registry_.find(id));
  ClientRegistry second = restarted({first, first});
  second.admit(hello_of(1, 9, 1));  // epoch 2; the service dies before the welcome arrives
  const ClientInfo info = info_of(*second.find(id));
  EXPECT_EQ(restarted({info, info}).admit(hello_of(1, 9, 1)).outcome, Outcome::kResumed);
  EXPECT_EQ(restarted({info, info}).admit(hello_of(1, 9, 2)).outcome, Outcome::kResumed);

  second.confirm(id);
  const ClientInfo confirmed = info_of(*second.find(id));
  EXPECT_EQ(restarted({confirmed, confirmed}).admit(hello_of(1, 9, 1)).outcome, Outcome::kFresh) << "an old image of the guest";
  EXPECT_EQ(restarted({confirmed, confirmed}).admit(hello_of(1, 9, 2)).outcome, Outcome::kResumed);
}

TEST_F(Registry, ShardsThatDiedBetweenTwoWritesOfTheEpochAgreeOnTheNewer) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  registry_.confirm(id);
  const ClientInfo old_half = info_of(*registry_.find(id));
  ClientInfo new_half = old_half;
  new_half.epoch = stored_epoch(2, false);
  for (const auto& order : {std::vector{old_half, new_half}, std::vector{new_half, old_half}}) {
    ClientRegistry after = restarted(order);
    EXPECT_EQ(after.find(id)->epoch, 2u);
    EXPECT_EQ(after.admit(hello_of(1, 9, 1)).outcome, Outcome::kResumed);
  }
}

TEST_F(Registry, AnEpochOfAClientThatStartsWithNothingWasNeverHadBefore) {
  const ClientId first = registry_.admit(hello_of(1, 9, 0)).id;
  const uint64_t image = registry_.find(first)->epoch;
  registry_.disconnected(first, false, 0);
  registry_.erase(first);
  const ClientId second = registry_.admit(hello_of(1, 9, image)).id;  // the image is restored, too late, and stores anew
  registry_.disconnected(second, true, 0);
  EXPECT_EQ(registry_.admit(hello_of(1, 9, image)).outcome, Outcome::kFresh) << "the same image once more would get newer pages";
}

TEST_F(Registry, ASuspendedClientIsStillSuspendedAfterTheServiceDied) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  registry_.confirm(id);
  EXPECT_FALSE(registry_.disconnected(id, true, 0));
  const ClientInfo info = info_of(*registry_.find(id));
  ClientRegistry after = restarted({info, info});
  EXPECT_EQ(after.find(id)->state, ClientState::kSuspended);
  EXPECT_THAT(after.expired(1599), IsEmpty());
  EXPECT_EQ(after.admit(hello_of(1, 9, 1)).outcome, Outcome::kResumed);
  EXPECT_EQ(after.find(id)->identity().epoch, stored_epoch(2, false)) << "and no longer suspended";
}

TEST_F(Registry, AClientThatSaysItWillBeBackIsSuspendedIfTheServiceDiesBeforeItsConnectionEnds) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  registry_.confirm(id);
  EXPECT_TRUE(registry_.said(id, true));
  EXPECT_FALSE(registry_.said(id, true)) << "no news";
  const ClientInfo info = info_of(*registry_.find(id));
  ClientRegistry after = restarted({info, info});
  EXPECT_EQ(after.find(id)->state, ClientState::kSuspended);
  EXPECT_THAT(after.expired(1599), IsEmpty());
  EXPECT_EQ(after.admit(hello_of(1, 9, 1)).outcome, Outcome::kResumed);
  EXPECT_FALSE(after.said(id, false)) << "a new connection has said nothing";
  EXPECT_TRUE(registry_.said(id, false)) << "it thought better of it";
  EXPECT_EQ(registry_.find(id)->identity().epoch, stored_epoch(1, true));
  registry_.said(id, true);
  EXPECT_TRUE(registry_.disconnected(id, false, 0));
  EXPECT_FALSE(registry_.said(id, true)) << "it is being freed";
}

TEST_F(Registry, OfTwoClientsWithOneUuidTheYoungerIsKept) {
  ClientInfo old_one;
  old_one.id = ClientId(kLocalClientIdFirst);
  old_one.uuid.byte[0] = 1;
  old_one.epoch = stored_epoch(1, true);
  ClientInfo young = old_one;
  young.id = ClientId(kLocalClientIdFirst + 1);
  young.nonce = {5, 5};
  ClientRegistry registry(limits(), ClientPolicy(), 1);
  registry.recovered(old_one);
  registry.recovered(young);
  EXPECT_THAT(registry.recovery_done(0), ElementsAre(old_one.id));
}

TEST_F(Registry, ShardsThatContradictEachOtherAreNotTrusted) {
  ClientInfo info;
  info.id = ClientId(kLocalClientIdFirst);
  info.uuid.byte[0] = 1;
  ClientInfo other = info;
  other.uuid.byte[0] = 2;
  ClientRegistry registry(limits(), ClientPolicy(), 1);
  registry.recovered(info);
  registry.recovered(other);
  EXPECT_THAT(registry.recovery_done(0), ElementsAre(info.id));
}

TEST_F(Registry, RecoveredClientsWaitForTheirOwnerAndNoLonger) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  ClientRegistry after = restarted({info_of(*registry_.find(id)), info_of(*registry_.find(id))});
  EXPECT_THAT(after.expired(1059), IsEmpty());
  EXPECT_THAT(after.expired(1060), ElementsAre(id));
  EXPECT_THAT(after.expired(1060), IsEmpty()) << "once";
}

TEST_F(Registry, AConnectionThatOutlivedTheServiceIsTakenUpOnlyWithAllItsQueues) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  const ClientInfo info = info_of(*registry_.find(id));
  ClientRegistry after = restarted({info, info});
  EXPECT_FALSE(after.reconnected(id, "memfd", 1));
  EXPECT_TRUE(after.reconnected(id, "memfd", 2));
  EXPECT_FALSE(after.reconnected(id, "memfd", 2)) << "it is connected already";
  EXPECT_THAT(after.expired(UINT64_MAX), IsEmpty());
}

TEST_F(Registry, AClientThatSaidItWouldBeBackIsTakenUpWithThatWordAndWaitsByItIfThatFails) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  EXPECT_TRUE(registry_.said(id, true));
  ClientInfo info = info_of(*registry_.find(id));
  ClientRegistry after = restarted({info, info});
  ASSERT_TRUE(after.reconnected(id, "xen", 2));
  EXPECT_EQ(after.find(id)->state, ClientState::kConnected);
  EXPECT_EQ(after.find(id)->identity().epoch, info.epoch) << "a crash now finds it suspended again";
  after.resume_failed(id, 1000);
  EXPECT_EQ(after.find(id)->state, ClientState::kSuspended);
}

TEST_F(Registry, SuspendedClientsAreBoundedAndExpire) {
  const ClientId first = registry_.admit(hello_of(1, 9, 0)).id;
  const ClientId second = registry_.admit(hello_of(2, 9, 0)).id;
  EXPECT_FALSE(registry_.disconnected(first, true, 100));
  EXPECT_TRUE(registry_.disconnected(second, true, 100)) << "one may be suspended at a time";
  EXPECT_THAT(registry_.expired(699), IsEmpty());
  EXPECT_THAT(registry_.expired(700), ElementsAre(first));
}

TEST_F(Registry, SuspendedClientsThatTakeTooMuchMemoryGoInTheOrderOfTheirDeadlines) {
  ClientRegistry registry({8, 8, 60, 600}, ClientPolicy(), 1);
  std::vector<ClientId> id;
  for (uint8_t i = 0; i < 5; ++i) id.push_back(registry.admit(hello_of(static_cast<uint8_t>(i + 1), 9, 0)).id);
  registry.disconnected(id[2], true, 100);
  registry.disconnected(id[0], true, 200);
  registry.disconnected(id[1], true, 300);
  registry.disconnected(id[3], true, 50);  // has nothing that could be freed
  const std::map<ClientId, uint64_t> bytes{{id[0], 30}, {id[1], 30}, {id[2], 30}, {id[3], 0}, {id[4], 500}};
  EXPECT_THAT(registry.over_memory(bytes, 90), IsEmpty()) << "a connected one does not count";
  EXPECT_THAT(registry.over_memory(bytes, 40), ElementsAre(id[2], id[0]));
  EXPECT_EQ(registry.find(id[2])->state, ClientState::kClosing);
  EXPECT_EQ(registry.find(id[1])->state, ClientState::kSuspended);
  EXPECT_EQ(registry.find(id[3])->state, ClientState::kSuspended);
  EXPECT_THAT(registry.over_memory(bytes, 0), ElementsAre(id[1])) << "0: none is kept";
}

TEST_F(Registry, OnlyClientsThatAreNotConnectedCanBeForgotten) {
  const ClientId id = registry_.admit(hello_of(1, 9, 0)).id;
  EXPECT_FALSE(registry_.forget(id));
  registry_.disconnected(id, true, 0);
  EXPECT_TRUE(registry_.forget(id));
  EXPECT_FALSE(registry_.forget(ClientId(1)));
}

TEST_F(Registry, TheLimitOfClientsIsAStatusAndIdsAreNotUsedAgain) {
  ClientId last;
  for (uint8_t who = 1; who <= 4; ++who) last = registry_.admit(hello_of(who, 9, 0)).id;
  EXPECT_EQ(registry_.admit(hello_of(5, 9, 0)).outcome, Outcome::kFull);
  registry_.erase(last);
  const Admission next = registry_.admit(hello_of(5, 9, 0));
  EXPECT_EQ(next.outcome, Outcome::kFresh);
  EXPECT_GT(next.id, last);
}

TEST(PolicyShares, AddUpToTheWholeAndNoLimitBecomesNone) {
  ClientPolicy whole;
  whole.cap_pages = 1001;
  whole.min_pages = 7;
  std::vector<ClientPolicy> shares;
  for (uint32_t queue = 0; queue < 4; ++queue) shares.push_back(policy_share(whole, 4, queue));
  EXPECT_EQ(policy_whole(shares).cap_pages, 1001u);
  EXPECT_EQ(policy_whole(shares).min_pages, 7u);
  whole.cap_pages = 1;
  EXPECT_EQ(policy_share(whole, 4, 3).cap_pages, 1u) << "zero would mean no cap at all";
  whole.cap_pages = 0;
  EXPECT_EQ(policy_share(whole, 4, 0).cap_pages, 0u);
}

}  // namespace
}  // namespace tmem
