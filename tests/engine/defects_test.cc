// SPDX-License-Identifier: MIT
// Defects of the old hypervisor tmem that this design could have again, one test each. 9.2: XSA-15 and what followed; 9.3: found
// by reading its last release. What has another shape here is in defects_analogues_test.cc. Nothing in an engine of one thread
// that does no I/O is like log lines (9.2.7: tests/daemon, tests/e2e), copies that fail (9.2.10: tests/transport, the lab), the
// order of locks (9.2.12: the concurrent tests under TSan) and what the tool made of an answer (9.3.12, 9.3.13: tests/tools).
#include "engine/engine_fixture.h"

#include <algorithm>

namespace tmem::test {

class OldDefect : public EngineTest {
 protected:
  ClientId member(uint32_t id, uint8_t uuid, uint32_t pool = 4) {
    const ClientId c = client(id);
    EXPECT_EQ(engine_->authorise(c, uuid_of(uuid), true), Status::kOk);
    EXPECT_EQ(engine_->join_pool(c, PoolId(pool), kShared, uuid_of(uuid)), Status::kOk);
    return c;
  }
};
TMEM_BOTH_GEOMETRIES(OldDefect);

TEST_P(OldDefect, OldDefect_9_2_1_AClientReachesNoPoolOfAnother) {
  const ClientId owner = client_with_pool(1, kPersistent);
  const ClientId other = client(2);
  ASSERT_EQ(put(owner, handle_of(0, 1, 1), 5), Status::kOk);
  EXPECT_EQ(get(other, handle_of(0, 1, 1), 5), Status::kNoPool);
  EXPECT_EQ(put(other, handle_of(0, 1, 1), 6), Status::kNoPool);
  EXPECT_EQ(engine_->flush_page(other, handle_of(0, 1, 1)), Status::kNoPool);
  EXPECT_EQ(engine_->destroy_pool(other, PoolId(0)), Status::kNoPool);
  ASSERT_EQ(engine_->new_pool(other, PoolId(0), kPersistent), Status::kOk);
  EXPECT_EQ(get(other, handle_of(0, 1, 1), 5), Status::kMiss);
  EXPECT_EQ(get(owner, handle_of(0, 1, 1), 5), Status::kOk);
}

TEST_P(OldDefect, OldDefect_9_2_4_EveryPoolIdIsCheckedByEveryOp) {
  const ClientId c = client_with_pool(1, kPersistent);
  for (const uint32_t id : {1u, 15u, 16u, kPoolsPerClientMax - 1, kPoolsPerClientMax, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    EXPECT_EQ(put(c, handle_of(id, 1, 1), 1), Status::kNoPool) << id;
    EXPECT_EQ(get(c, handle_of(id, 1, 1), 1), Status::kNoPool) << id;
    EXPECT_EQ(engine_->flush_page(c, handle_of(id, 1, 1)), Status::kNoPool) << id;
    EXPECT_EQ(engine_->flush_object(c, PoolId(id), ObjectId{{1, 0, 0}}), Status::kNoPool) << id;
    EXPECT_EQ(engine_->destroy_pool(c, PoolId(id)), Status::kNoPool) << id;
    EXPECT_EQ(engine_->leave_pool(c, PoolId(id)), Status::kNoPool) << id;
    engine_->prefetch(c, handle_of(id, 1, 1));
    if (id >= kPoolsPerClientMax) {
      EXPECT_EQ(engine_->new_pool(c, PoolId(id), kEphemeral), Status::kNoPoolSlots) << id;
    }
  }
  EXPECT_EQ(engine_->new_pool(c, PoolId(kPoolsPerClientMax - 1), kEphemeral), Status::kOk);
  const Handle reserved{PoolId(0), ObjectId{{~0ull, ~0ull, ~0ull}}, PageIndex(0)};
  EXPECT_EQ(put(c, reserved, 1), Status::kBadObject);
  EXPECT_EQ(get(c, reserved, 1), Status::kBadObject);
  EXPECT_EQ(engine_->flush_object(c, PoolId(0), reserved.object), Status::kBadObject);
  EXPECT_EQ(put(c, handle_of(0, ~0ull, ~0u), 1), Status::kOk);
  EXPECT_EQ(get(c, handle_of(0, ~0ull, ~0u), 1), Status::kOk);
}

TEST_P(OldDefect, OldDefect_9_2_6_EveryCallAnswersForAClientThatIsNotThere) {
  const ClientId nobody(77);
  EXPECT_EQ(put(nobody, handle_of(0, 1, 1), 1), Status::kNoClient);
  EXPECT_EQ(put(nobody, handle_of(0, 1, 1), 1, true), Status::kNoClient);
  EXPECT_EQ(get(nobody, handle_of(0, 1, 1), 1), Status::kNoClient);
  EXPECT_EQ(engine_->flush_page(nobody, handle_of(0, 1, 1)), Status::kNoClient);
  EXPECT_EQ(engine_->flush_object(nobody, PoolId(0), {}), Status::kNoClient);
  EXPECT_EQ(engine_->new_pool(nobody, PoolId(0), kEphemeral), Status::kNoClient);
  EXPECT_EQ(engine_->join_pool(nobody, PoolId(0), kShared, uuid_of(1)), Status::kNoClient);
  EXPECT_EQ(engine_->leave_pool(nobody, PoolId(0)), Status::kNoClient);
  EXPECT_EQ(engine_->destroy_pool(nobody, PoolId(0)), Status::kNoClient);
  EXPECT_EQ(engine_->authorise(nobody, uuid_of(1), true), Status::kNoClient);
  EXPECT_EQ(engine_->set_policy(nobody, {}), Status::kNoClient);
  EXPECT_EQ(engine_->set_identity(nobody, {}), Status::kNoClient);
  EXPECT_EQ(engine_->detach(nobody), Status::kNoClient);
  EXPECT_EQ(engine_->client_info(nobody).status(), Status::kNoClient);
  EXPECT_EQ(engine_->pools(nobody).status(), Status::kNoClient);
  EXPECT_EQ(engine_->flush_ephemeral(nobody, 1).status(), Status::kNoClient);
  EXPECT_EQ(engine_->top_up_credits(nobody, 5), 0u);
  engine_->revoke_credits(nobody);
  engine_->prefetch(nobody, handle_of(0, 1, 1));
}

TEST_P(OldDefect, OldDefect_9_2_11_NothingThatFailedIsReportedAsDone) {
  const ClientId c = client_with_pool(1, kEphemeral);
  EXPECT_EQ(engine_->destroy_pool(c, PoolId(0)), Status::kOk);
  EXPECT_EQ(engine_->destroy_pool(c, PoolId(0)), Status::kNoPool);
  EXPECT_EQ(engine_->flush_page(c, handle_of(0, 1, 1)), Status::kNoPool);
  EXPECT_EQ(engine_->detach(c), Status::kOk);
  EXPECT_EQ(engine_->detach(c), Status::kNoClient);
}

TEST_P(OldDefect, OldDefect_9_2_13_JoiningOneSharedPoolTwiceIsSafe) {
  const ClientId c = member(1, 9, 4);
  ASSERT_EQ(engine_->join_pool(c, PoolId(5), kShared, uuid_of(9)), Status::kOk);
  ASSERT_EQ(put(c, handle_of(4, 1, 1), 3), Status::kOk);
  EXPECT_EQ(get(c, handle_of(5, 1, 1), 3), Status::kOk);
  EXPECT_EQ(engine_->leave_pool(c, PoolId(4)), Status::kOk);
  EXPECT_EQ(get(c, handle_of(5, 1, 1), 3), Status::kOk);
  EXPECT_EQ(engine_->check_invariants(), "");
  EXPECT_EQ(engine_->leave_pool(c, PoolId(5)), Status::kOk);
  settle();
  EXPECT_EQ(engine_->join_pool(c, PoolId(5), kShared, uuid_of(9)), Status::kOk);
  EXPECT_EQ(get(c, handle_of(5, 1, 1), 3), Status::kMiss);
}

TEST_P(OldDefect, OldDefect_9_2_14_AClientCanComeAndGoWithoutEndAndLeavesNothing) {
  const uint64_t live = engine_->stats().bytes_live;
  for (uint32_t round = 0; round < 200; ++round) {
    const ClientId c = client_with_pool(round % 3, round % 2 == 0 ? kPersistent : kEphemeral);
    ASSERT_EQ(put(c, handle_of(0, round, 1), round), Status::kOk);
    engine_->top_up_credits(c, 4);
    ASSERT_EQ(engine_->detach(c), Status::kOk);
    if (round % 7 == 0) settle();
  }
  settle();
  EXPECT_EQ(engine_->stats().bytes_live, live);
  EXPECT_EQ(engine_->stats().credits_outstanding, 0u);
  EXPECT_TRUE(engine_->clients().empty());
}

TEST_P(OldDefect, OldDefect_9_2_16_TheEndOfALargeClientStopsNobody) {
  const ClientId large = client_with_pool(1, kPersistent);
  uint32_t pages = 0;
  while (pages < 20000 && engine_->put(large, handle_of(0, pages / 5000, pages), SameFilled{pages}) == Status::kOk) ++pages;
  ASSERT_GT(pages, 4 * kTeardownPagesPerStep);
  ASSERT_EQ(engine_->detach(large), Status::kOk);
  EXPECT_EQ(engine_->stats().teardown_pages, pages);
  const ClientId other = client_with_pool(2, kPersistent);
  uint64_t left = pages;
  for (uint32_t i = 0; left > 0; ++i) {
    ASSERT_EQ(put(other, handle_of(0, 1, i % 50), i), Status::kOk);
    ASSERT_TRUE(engine_->step());
    const uint64_t now = engine_->stats().teardown_pages;
    ASSERT_LE(left - now, kTeardownPagesPerStep + 7);  // an extent is freed whole
    left = now;
    ASSERT_LT(i, 1000u);
  }
}

TEST_P(OldDefect, OldDefect_9_2_17_DedupIsOffUnlessAskedForAndStaysInItsGroup) {
  ClientPolicy none, own, same;
  own.dedup_group = 1;
  same.dedup_group = 2;
  for (uint32_t i = 0; i < 5; ++i) client_with_pool(i, kEphemeral, i < 2 ? none : i == 2 ? own : same);
  for (uint32_t i = 0; i < 5; ++i) ASSERT_EQ(put_noise(ClientId(i), handle_of(0, 1, 1), 5), Status::kOk);
  // Only the second client of group 2 found its page there already: four pages' bytes for five pages.
  EXPECT_GT(engine_->stats().bytes_live, 4 * kPageBytes);
  EXPECT_LT(engine_->stats().bytes_live, 5 * kPageBytes);
  for (uint32_t i = 0; i < 5; ++i) EXPECT_EQ(get(ClientId(i), handle_of(0, 1, 1), noise_of(5)), Status::kOk);
}

TEST_P(OldDefect, OldDefect_9_2_18_AnUnauthorisedJoinIsRefusedAndNeverSilentlyPrivate) {
  const ClientId a = member(1, 9);
  const ClientId b = client(2);
  EXPECT_EQ(engine_->join_pool(b, PoolId(0), kShared, uuid_of(9)), Status::kNotAuthorised);
  EXPECT_EQ(put(b, handle_of(0, 1, 1), 1), Status::kNoPool);
  EXPECT_EQ(engine_->new_pool(b, PoolId(0), kShared), Status::kBadFlags);
  EXPECT_EQ(engine_->join_pool(b, PoolId(0), kEphemeral, uuid_of(9)), Status::kBadFlags);
  EXPECT_EQ(engine_->new_pool(b, PoolId(0), pool_flags(kPoolShared | kPoolPersistent)), Status::kBadFlags);
  EXPECT_EQ(engine_->new_pool(b, PoolId(0), pool_flags(kPoolPrecompressed)), Status::kBadFlags);
  EXPECT_EQ(engine_->new_pool(b, PoolId(0), pool_flags(0x100)), Status::kBadFlags);
  EXPECT_EQ(engine_->new_pool(b, PoolId(0), pool_flags(0x10)), Status::kBadPageSize);
  EXPECT_EQ(engine_->new_pool(b, PoolId(0), 0), Status::kBadVersion);
  EXPECT_EQ(engine_->client_info(a).value().pools, 1u);
  EXPECT_EQ(engine_->client_info(b).value().pools, 0u);
}

TEST_P(OldDefect, OldDefect_9_2_18_RevokingRemovesAJoinedClientAlsoAfterARestart) {
  const ClientId a = member(1, 9), b = member(2, 9);
  ASSERT_EQ(put(a, handle_of(4, 1, 1), 3), Status::kOk);
  ASSERT_EQ(engine_->authorise(b, uuid_of(9), false), Status::kOk);
  EXPECT_EQ(get(b, handle_of(4, 1, 1), 3), Status::kNoPool);
  restart();
  EXPECT_EQ(get(b, handle_of(4, 1, 1), 3), Status::kNoPool);
  EXPECT_EQ(engine_->join_pool(b, PoolId(4), kShared, uuid_of(9)), Status::kNotAuthorised);
  EXPECT_EQ(get(a, handle_of(4, 1, 1), 3), Status::kOk);
}

TEST_P(OldDefect, OldDefect_9_3_1_AFailedNewPoolLeavesNothingBehind) {
  const ClientId c = client(1);
  ASSERT_EQ(engine_->authorise(c, uuid_of(9), true), Status::kOk);
  for (int64_t allocations = 0; allocations < 8; ++allocations) {
    memory_.blocks_left = allocations;
    memory_.commits_left = 0;
    const bool shared = allocations % 2 == 0;
    const PoolId id(100 + static_cast<uint32_t>(allocations) * 500);
    const Status status = shared ? engine_->join_pool(c, id, kShared, uuid_of(9)) : engine_->new_pool(c, id, kPersistent);
    memory_.blocks_left = memory_.commits_left = -1;
    EXPECT_EQ(engine_->check_invariants(), "");
    if (status == Status::kOk) continue;
    EXPECT_EQ(put(c, handle_of(id.value(), 1, 1), 1), Status::kNoPool);
    EXPECT_EQ(shared ? engine_->join_pool(c, id, kShared, uuid_of(9)) : engine_->new_pool(c, id, kPersistent), Status::kOk);
  }
  EXPECT_EQ(engine_->client_info(c).value().pools, 8u);
}

TEST_P(OldDefect, OldDefect_9_3_2_ASharedPoolIsStillEvictedAfterAMemberLeft) {
  const ClientId a = member(1, 9), b = member(2, 9);
  for (uint32_t i = 0; i < 64; ++i) ASSERT_EQ(put(i % 16 < 8 ? a : b, handle_of(4, 1, i), i), Status::kOk);
  ASSERT_EQ(engine_->leave_pool(a, PoolId(4)), Status::kOk);
  const ClientId hungry = client_with_pool(3, kPersistent);
  fill(hungry, 0, 1);
  for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(get(b, handle_of(4, 1, i), i), Status::kMiss) << i;
}

TEST_P(OldDefect, OldDefect_9_3_3_EachMemberPaysForWhatItPutAndALeavingOneLosesNobodysPages) {
  const ClientId a = member(1, 9), b = member(2, 9);
  for (uint32_t i = 0; i < 32; ++i) ASSERT_EQ(put(i < 8 ? a : b, handle_of(4, 1, i), i), Status::kOk);
  EXPECT_EQ(space(a).pages_ephemeral, 8u);
  EXPECT_EQ(space(b).pages_ephemeral, 24u);
  ASSERT_EQ(engine_->detach(a), Status::kOk);
  settle();
  EXPECT_EQ(space(b).pages_ephemeral, 32u);
  for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(get(b, handle_of(4, 1, i), i), Status::kOk) << i;
  restart();
  for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(get(b, handle_of(4, 1, i), i), Status::kOk) << i;
}

TEST_P(OldDefect, OldDefect_9_3_4_AClientIdIsGivenOnce) {
  client(1);
  EXPECT_EQ(engine_->attach(ClientId(1), {}, {}, true), Status::kClientExists);
  EXPECT_EQ(engine_->clients().size(), 1u);
}

TEST_P(OldDefect, OldDefect_9_3_7_AFrozenClientsPoolIsDestroyedAndFreed) {
  ClientPolicy frozen;
  frozen.frozen = true;
  const ClientId c = client_with_pool(1, kPersistent);
  ASSERT_EQ(put(c, handle_of(0, 1, 1), 1), Status::kOk);
  ASSERT_EQ(engine_->set_policy(c, frozen), Status::kOk);
  EXPECT_EQ(put(c, handle_of(0, 1, 2), 1), Status::kFrozen);
  EXPECT_EQ(put(c, handle_of(0, 1, 1), 2), Status::kOk);
  EXPECT_EQ(engine_->new_pool(c, PoolId(1), kEphemeral), Status::kFrozen);
  EXPECT_EQ(engine_->destroy_pool(c, PoolId(0)), Status::kOk);
  EXPECT_EQ(space(c).pages_persistent, 0u);
  settle();
  EXPECT_EQ(engine_->stats().teardown_pages, 0u);
}

TEST_P(OldDefect, OldDefect_9_3_8_ADamagedEphemeralPageLeavesTheEvictionOrderToo) {
  const ClientId c = client_with_pool(1, kEphemeral);
  ASSERT_EQ(put_noise(c, handle_of(0, 1, 1), 77), Status::kOk);
  const Page page = noise_of(77);
  const std::vector<std::byte> bytes = memory_.snapshot();
  const auto found = std::search(bytes.begin(), bytes.end(), page.begin() + 100, page.begin() + 132);
  ASSERT_NE(found, bytes.end());
  memory_.flip(static_cast<size_t>(found - bytes.begin()), 3);
  EXPECT_EQ(get(c, handle_of(0, 1, 1), page), Status::kCorrupt);
  EXPECT_EQ(space(c).pages_ephemeral, 0u);
  EXPECT_EQ(engine_->flush_ephemeral(~0ull).pages, 0u);
}

TEST_P(OldDefect, OldDefect_9_3_9_APutThatIsRefusedMemoryUndoesEverythingItBegan) {
  ClientPolicy dedup;
  dedup.dedup_group = 1;
  const ClientId c = client_with_pool(1, kPersistent);
  const ClientId d = client_with_pool(2, kEphemeral, dedup);
  uint32_t refused = 0;
  for (uint32_t n = 0; n < 4000; ++n) {
    const ClientId who = n % 2 == 0 ? c : d;
    memory_.blocks_left = n % 3;
    memory_.commits_left = 0;
    const Status status = put(who, handle_of(0, n, n % 9), n);
    memory_.blocks_left = memory_.commits_left = -1;
    if (status == Status::kOk) continue;
    ASSERT_EQ(status, Status::kNoSpace);
    ++refused;
    ASSERT_EQ(get(who, handle_of(0, n, n % 9), n), Status::kMiss);
    if (refused % 16 == 1) {
      ASSERT_EQ(engine_->check_invariants(), "");
    }
  }
  EXPECT_GT(refused, 0u);
}

TEST_P(OldDefect, OldDefect_9_3_10_RecoveredPagesAreBilledToTheirClient) {
  const ClientId a = client_with_pool(1, kPersistent), b = client_with_pool(2, kEphemeral);
  for (uint32_t i = 0; i < 24; ++i) ASSERT_EQ(put(i % 3 == 0 ? a : b, handle_of(0, i, i), i), Status::kOk);
  restart();
  EXPECT_EQ(space(a).pages_persistent, 8u);
  EXPECT_EQ(space(b).pages_ephemeral, 16u);
  EXPECT_EQ(space(a).pages_ephemeral + space(b).pages_persistent, 0u);
}

TEST_P(OldDefect, OldDefect_9_3_12_WeightComparisonEvictsTheClientAboveItsShare) {
  ClientPolicy heavy, light;
  heavy.weight = 300;
  light.weight = 100;
  const ClientId h = client_with_pool(1, kEphemeral, heavy), l = client_with_pool(2, kEphemeral, light);
  fill(l, 0, 1, 70 * GetParam().segments);  // all of it, while nobody else wants any
  const uint64_t before = space(l).pages_ephemeral;
  for (uint32_t i = 0; i < 20; ++i) ASSERT_EQ(put_noise(h, handle_of(0, 1, i), i), Status::kOk);
  EXPECT_LT(space(l).pages_ephemeral, before);
  EXPECT_EQ(ops(h).pages_evicted, 0u);
  for (uint32_t i = 20; i < 100 * GetParam().segments; ++i) ASSERT_EQ(put_noise(h, handle_of(0, 1, i), i), Status::kOk);
  // Three quarters to one quarter, to within what eight pages and a few turns make.
  const double share = static_cast<double>(space(h).pages_ephemeral) /
                       static_cast<double>(space(h).pages_ephemeral + space(l).pages_ephemeral);
  EXPECT_NEAR(share, 0.75, GetParam().segments > 3 ? 0.02 : 0.12);
}

TEST_P(OldDefect, OldDefect_9_3_12_TheSumOfWeightsFollowsSettingAndDeath) {
  ClientPolicy policy;
  policy.weight = 300;
  const ClientId a = client(1, policy), b = client(2);
  EXPECT_EQ(engine_->stats().weight_sum, 400u);
  policy.weight = 50;
  ASSERT_EQ(engine_->set_policy(a, policy), Status::kOk);
  EXPECT_EQ(engine_->stats().weight_sum, 150u);
  ASSERT_EQ(engine_->detach(b), Status::kOk);
  EXPECT_EQ(engine_->stats().weight_sum, 50u);
  restart();
  EXPECT_EQ(engine_->stats().weight_sum, 50u);
  policy.weight = kWeightMax + 1;
  EXPECT_EQ(engine_->set_policy(a, policy), Status::kBadArgument);
  EXPECT_EQ(engine_->stats().weight_sum, 50u);
}

TEST_P(OldDefect, OldDefect_9_3_13_TheListOfPoolsIsCompleteWithSeveralSharedOnes) {
  const ClientId a = member(1, 9, 4), b = member(2, 9, 7);
  for (const uint8_t uuid : {8, 7}) {
    ASSERT_EQ(engine_->authorise(a, uuid_of(uuid), true), Status::kOk);
    ASSERT_EQ(engine_->join_pool(a, PoolId(uuid), kShared, uuid_of(uuid)), Status::kOk);
  }
  ASSERT_EQ(engine_->new_pool(a, PoolId(6000), kPersistent), Status::kOk);
  ASSERT_EQ(put(b, handle_of(7, 1, 1), 1), Status::kOk);
  const std::vector<PoolInfo> list = engine_->pools(a).value();
  ASSERT_EQ(list.size(), 4u);
  EXPECT_EQ(list[0].uuid, uuid_of(9));
  EXPECT_EQ(list[0].sharers, 2u);
  EXPECT_EQ(list[0].space.pages_ephemeral, 1u);
  EXPECT_EQ(list[0].ops.put_stored, 1u);
  EXPECT_EQ(list[1].uuid, uuid_of(7));
  EXPECT_EQ(list[2].uuid, uuid_of(8));
  EXPECT_EQ(list[3].id, PoolId(6000));
  EXPECT_TRUE(list[3].persistent);
}

TEST_P(OldDefect, OldDefect_9_3_15_DestroyingAClientDestroysItAndThawsNothing) {
  ClientPolicy frozen;
  frozen.frozen = true;
  const ClientId c = client_with_pool(1, kPersistent);
  ASSERT_EQ(put(c, handle_of(0, 1, 1), 1), Status::kOk);
  ASSERT_EQ(engine_->set_policy(c, frozen), Status::kOk);
  ASSERT_EQ(engine_->detach(c), Status::kOk);
  EXPECT_EQ(get(c, handle_of(0, 1, 1), 1), Status::kNoClient);
  restart();
  EXPECT_TRUE(engine_->clients().empty());
  EXPECT_EQ(engine_->stats().bytes_live, 0u);
}

TEST_P(OldDefect, OldDefect_9_3_17_ANewPoolUnderAnOldIdSeesNoOldPage) {
  const ClientId c = client_with_pool(1, kPersistent);
  for (uint32_t i = 0; i < 40; ++i) ASSERT_EQ(put(c, handle_of(0, i % 3, i), i), Status::kOk);
  ASSERT_EQ(engine_->destroy_pool(c, PoolId(0)), Status::kOk);
  ASSERT_EQ(engine_->new_pool(c, PoolId(0), kPersistent), Status::kOk);
  for (uint32_t i = 0; i < 40; ++i) EXPECT_EQ(get(c, handle_of(0, i % 3, i), i), Status::kMiss);
  ASSERT_EQ(put(c, handle_of(0, 1, 1), 100), Status::kOk);
  restart();
  for (uint32_t i = 0; i < 40; ++i) {
    if (i != 1) {
      EXPECT_EQ(get(c, handle_of(0, i % 3, i), i), Status::kMiss) << i;
    }
  }
  EXPECT_EQ(get(c, handle_of(0, 1, 1), 100), Status::kOk);
}

}  // namespace tmem::test
