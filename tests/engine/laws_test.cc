// SPDX-License-Identifier: MIT
// The ten laws of tmem/engine.h, one by one.
#include "engine/engine_fixture.h"

#include <algorithm>

namespace tmem::test {

class Laws : public EngineTest {};
TMEM_BOTH_GEOMETRIES(Laws);

TEST_P(Laws, AGetAfterTwoPutsReturnsTheSecond) {
  const ClientId c = client_with_pool(1, kPersistent);
  const Handle h = handle_of(0, 7, 3);
  EXPECT_EQ(put(c, h, 1), Status::kOk);
  EXPECT_EQ(put(c, h, 2), Status::kOk);
  EXPECT_EQ(get(c, h, 2), Status::kOk);
  EXPECT_EQ(ops(c).put_replaced, 1u);
}

TEST_P(Laws, ADupPutThatCannotReplaceRemovesTheOldPage) {
  const ClientId c = client_with_pool(1, kPersistent);
  const Handle small = handle_of(0, 7, 3);
  ASSERT_EQ(engine_->put(c, small, SameFilled{5}), Status::kOk);
  ASSERT_GT(fill(c, 0, 8), 0u);
  Status status = Status::kOk;
  // The last room may still take one.
  for (uint32_t i = 0; i < 4 && status == Status::kOk; ++i) {
    ASSERT_EQ(engine_->put(c, small, SameFilled{5}), Status::kOk);
    status = put_noise(c, small, 99);
    if (status == Status::kOk) fill(c, 0, 9 + i);
  }
  EXPECT_EQ(status, Status::kPutFlushed);
  EXPECT_EQ(get(c, small, 1), Status::kMiss);
}

TEST_P(Laws, AMissStaysAMissUntilTheNextPut) {
  const ClientId c = client_with_pool(1, kEphemeral);
  const Handle h = handle_of(0, 1, 1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(get(c, h, 1), Status::kMiss);
  settle();
  EXPECT_EQ(get(c, h, 1), Status::kMiss);
  EXPECT_EQ(put(c, h, 1), Status::kOk);
  EXPECT_EQ(get(c, h, 1), Status::kOk);
}

TEST_P(Laws, FlushIsAbsoluteInEveryStateOfTheClientAndAfterACrash) {
  ClientPolicy policy;
  const ClientId c = client_with_pool(1, kPersistent, policy);
  for (uint32_t i = 0; i < 20; ++i) ASSERT_EQ(put(c, handle_of(0, i / 10, i), i), Status::kOk);
  policy.frozen = true;
  policy.cap_pages = 1;
  ASSERT_EQ(engine_->set_policy(c, policy), Status::kOk);
  EXPECT_EQ(engine_->flush_page(c, handle_of(0, 0, 3)), Status::kOk);
  EXPECT_EQ(engine_->flush_object(c, PoolId(0), ObjectId{{1, 0, 0}}), Status::kOk);
  EXPECT_EQ(get(c, handle_of(0, 0, 3), 3), Status::kMiss);
  restart();
  EXPECT_EQ(get(c, handle_of(0, 0, 3), 3), Status::kMiss);
  for (uint32_t i = 10; i < 20; ++i) EXPECT_EQ(get(c, handle_of(0, 1, i), i), Status::kMiss);
  EXPECT_EQ(get(c, handle_of(0, 0, 4), 4), Status::kOk);
}

TEST_P(Laws, APrivateEphemeralGetRemovesThePage) {
  const ClientId c = client_with_pool(1, kEphemeral);
  ASSERT_EQ(put(c, handle_of(0, 1, 1), 5), Status::kOk);
  EXPECT_EQ(get(c, handle_of(0, 1, 1), 5), Status::kOk);
  EXPECT_EQ(get(c, handle_of(0, 1, 1), 5), Status::kMiss);
  EXPECT_EQ(space(c).pages_ephemeral, 0u);
  EXPECT_EQ(space(c).objects, 0u);
}

TEST_P(Laws, ASharedEphemeralGetKeepsThePage) {
  const ClientId a = client(1), b = client(2);
  for (const ClientId c : {a, b}) {
    ASSERT_EQ(engine_->authorise(c, uuid_of(9), true), Status::kOk);
    ASSERT_EQ(engine_->join_pool(c, PoolId(4), kShared, uuid_of(9)), Status::kOk);
  }
  ASSERT_EQ(put(a, handle_of(4, 1, 1), 5), Status::kOk);
  EXPECT_EQ(get(b, handle_of(4, 1, 1), 5), Status::kOk);
  EXPECT_EQ(get(a, handle_of(4, 1, 1), 5), Status::kOk);
}

TEST_P(Laws, ASharedPoolEndsWithItsLastMember) {
  for (const bool detached : {false, true}) {
    const ClientId a = client(1), b = client(2);
    for (const ClientId c : {a, b}) {
      ASSERT_EQ(engine_->authorise(c, uuid_of(9), true), Status::kOk);
    }
    ASSERT_EQ(engine_->join_pool(a, PoolId(4), kShared, uuid_of(9)), Status::kOk);
    ASSERT_EQ(put(a, handle_of(4, 1, 1), 5), Status::kOk);
    ASSERT_EQ(detached ? engine_->detach(a) : engine_->leave_pool(a, PoolId(4)), Status::kOk);
    ASSERT_EQ(engine_->join_pool(b, PoolId(4), kShared, uuid_of(9)), Status::kOk);
    EXPECT_EQ(get(b, handle_of(4, 1, 1), 5), Status::kMiss) << "detached " << detached;
    EXPECT_EQ(engine_->pools(b).value().at(0).sharers, 1u);
    ASSERT_EQ(engine_->detach(b), Status::kOk);
    if (!detached) {
      ASSERT_EQ(engine_->detach(a), Status::kOk);
    }
  }
}

TEST_P(Laws, APersistentGetIsNotDestructive) {
  const ClientId c = client_with_pool(1, kPersistent);
  ASSERT_EQ(put(c, handle_of(0, 1, 1), 5), Status::kOk);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(get(c, handle_of(0, 1, 1), 5), Status::kOk);
}

TEST_P(Laws, PersistentPagesAreNeverEvictedAndPushOutEphemeralOnes) {
  const ClientId eph = client_with_pool(1, kEphemeral);
  const ClientId per = client_with_pool(2, kPersistent);
  fill(eph, 0, 1, 64 * GetParam().segments);
  const uint32_t stored = fill(per, 0, 1);
  ASSERT_GT(stored, 40u * GetParam().segments);
  EXPECT_EQ(space(eph).pages_ephemeral, 0u);
  for (uint32_t i = 0; i < stored; ++i) ASSERT_EQ(get(per, handle_of(0, 1, i), noise_of(i)), Status::kOk) << i;
  EXPECT_GT(ops(eph).pages_evicted, 0u);
}

TEST_P(Laws, ARefusedPutChangesNothing) {
  const ClientId c = client_with_pool(1, kPersistent);
  const uint32_t stored = fill(c, 0, 1);
  const SpaceStats before = space(c);
  for (uint32_t i = 0; i < 20; ++i) ASSERT_EQ(put_noise(c, handle_of(0, 2 + i, 0), i), Status::kNoSpace);
  EXPECT_EQ(space(c).pages_persistent, before.pages_persistent);
  EXPECT_EQ(space(c).objects, before.objects);
  EXPECT_EQ(space(c).pages_persistent, stored);
  EXPECT_EQ(ops(c).put_no_space, 21u);
}

TEST_P(Laws, ADamagedPageIsAnErrorOnceAndNeverReturned) {
  const ClientId c = client_with_pool(1, kPersistent);
  ASSERT_EQ(put_noise(c, handle_of(0, 1, 1), 77), Status::kOk);
  const Page page = noise_of(77);
  const std::vector<std::byte> bytes = memory_.snapshot();
  const auto found = std::search(bytes.begin(), bytes.end(), page.begin() + 100, page.begin() + 132);
  ASSERT_NE(found, bytes.end());
  memory_.flip(static_cast<size_t>(found - bytes.begin()), 3);
  EXPECT_EQ(get(c, handle_of(0, 1, 1), page), Status::kCorrupt);
  EXPECT_EQ(get(c, handle_of(0, 1, 1), page), Status::kMiss);
  EXPECT_EQ(ops(c).get_corrupt, 1u);
}

TEST_P(Laws, EverythingButTheOrderOutlivesTheProcess) {
  ClientPolicy policy;
  policy.weight = 300;
  policy.cap_pages = 1000;
  policy.compress = false;
  const ClientId c = client_with_pool(1, kPersistent, policy);
  ClientIdentity identity;
  identity.uuid = uuid_of(3);
  identity.epoch = 17;
  identity.name = "guest one";
  ASSERT_EQ(engine_->set_identity(c, identity), Status::kOk);
  ASSERT_EQ(engine_->new_pool(c, PoolId(5), kEphemeral), Status::kOk);
  ASSERT_EQ(engine_->authorise(c, uuid_of(9), true), Status::kOk);
  ASSERT_EQ(engine_->join_pool(c, PoolId(6), kShared, uuid_of(9)), Status::kOk);
  for (uint32_t i = 0; i < 30; ++i) ASSERT_EQ(put(c, handle_of(i % 3 == 0 ? 0 : 3 + 1 + i % 3, i, i), i), Status::kOk);
  const SpaceStats before = space(c);
  restart();
  const ClientInfo info = engine_->client_info(c).value();
  EXPECT_EQ(info.policy.weight, 300u);
  EXPECT_EQ(info.policy.cap_pages, 1000u);
  EXPECT_FALSE(info.policy.compress);
  EXPECT_EQ(info.epoch, 17u);
  EXPECT_EQ(info.uuid, uuid_of(3));
  EXPECT_STREQ(info.name.data(), "guest one");
  EXPECT_EQ(info.pools, 3u);
  EXPECT_EQ(info.space.pages_persistent, before.pages_persistent);
  EXPECT_EQ(info.space.pages_ephemeral, before.pages_ephemeral);
  EXPECT_EQ(info.space.bytes_compressed, before.bytes_compressed);
  EXPECT_EQ(engine_->authorised(c), std::vector<Uuid>{uuid_of(9)});
  for (uint32_t i = 0; i < 30; ++i) EXPECT_EQ(get(c, handle_of(i % 3 == 0 ? 0 : 3 + 1 + i % 3, i, i), i), Status::kOk) << i;
}

}  // namespace tmem::test
