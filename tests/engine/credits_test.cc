// SPDX-License-Identifier: MIT
// A credit is space that is already there: a put against it is never refused.
#include "engine/engine_fixture.h"

namespace tmem::test {

class Credits : public EngineTest {};
TMEM_BOTH_GEOMETRIES(Credits);

TEST_P(Credits, APutAgainstACreditNeverFailsForSpaceFreezeOrCap) {
  ClientPolicy policy;
  const ClientId c = client_with_pool(1, kPersistent, policy);
  ASSERT_EQ(engine_->top_up_credits(c, 8), 8u);
  const uint32_t stored = fill(c, 0, 1);
  policy.frozen = true;
  policy.cap_pages = 1;
  ASSERT_EQ(engine_->set_policy(c, policy), Status::kOk);
  memory_.blocks_left = memory_.commits_left = 0;
  for (uint32_t i = 0; i < 8; ++i) ASSERT_EQ(put_noise(c, handle_of(0, 100 + i, i), i, true), Status::kOk) << i;
  memory_.blocks_left = memory_.commits_left = -1;
  for (uint32_t i = 0; i < 8; ++i) EXPECT_EQ(get(c, handle_of(0, 100 + i, i), noise_of(i)), Status::kOk);
  EXPECT_EQ(engine_->client_info(c).value().credits, 0u);
  EXPECT_EQ(space(c).pages_persistent, stored + 8);
}

TEST_P(Credits, ACreditThatWasNeverGrantedStoresNothingAndLeavesNoOldPage) {
  const ClientId c = client_with_pool(1, kPersistent);
  EXPECT_EQ(put(c, handle_of(0, 1, 1), 1, true), Status::kNoCredit);
  EXPECT_EQ(get(c, handle_of(0, 1, 1), 1), Status::kMiss);
  ASSERT_EQ(put(c, handle_of(0, 1, 1), 1), Status::kOk);
  EXPECT_EQ(put(c, handle_of(0, 1, 1), 2, true), Status::kPutFlushed);
  EXPECT_EQ(get(c, handle_of(0, 1, 1), 1), Status::kMiss);
}

TEST_P(Credits, EveryPutThatNamesACreditSpendsItWhateverBecomesOfIt) {
  const ClientId c = client_with_pool(1, kPersistent);
  ASSERT_EQ(engine_->top_up_credits(c, 3), 3u);
  EXPECT_EQ(put(c, handle_of(9, 1, 1), 1, true), Status::kNoPool);
  EXPECT_EQ(put(c, {PoolId(0), ObjectId{{~0ull, ~0ull, ~0ull}}, PageIndex(0)}, 1, true), Status::kBadObject);
  EXPECT_EQ(put(c, handle_of(0, 1, 1), 1, true), Status::kOk);
  EXPECT_EQ(engine_->client_info(c).value().credits, 0u);
  EXPECT_EQ(engine_->stats().credits_outstanding, 0u);
}

TEST_P(Credits, CreditsEvictEphemeralPagesButNeverPersistentOnes) {
  const ClientId e = client_with_pool(1, kEphemeral);
  fill(e, 0, 1, 70 * GetParam().segments);
  const ClientId p = client_with_pool(2, kPersistent);
  uint32_t credits = 0;
  for (int i = 0; i < 20 && credits < 16; ++i) credits = engine_->top_up_credits(p, 16);
  EXPECT_EQ(credits, 16u);
  EXPECT_GT(engine_->stats().pages_evicted, 0u);
  engine_->revoke_credits(p);
  EXPECT_EQ(engine_->stats().credits_outstanding, 0u);
  const uint32_t stored = fill(p, 0, 1);
  EXPECT_LT(engine_->top_up_credits(p, 16), 16u);
  EXPECT_EQ(space(p).pages_persistent, stored);
}

TEST_P(Credits, PagesAndCreditsTogetherStayWithinTheCap) {
  ClientPolicy policy;
  policy.cap_pages = 40;
  const ClientId c = client_with_pool(1, kPersistent, policy);
  uint32_t credits = 0;
  for (uint32_t i = 0; i < 200; ++i) {  // as a backend does: spend what there is, ask for more after every put
    static_cast<void>(put(c, handle_of(0, 1, i), i, credits > 0));
    credits = engine_->grant_credits(c, 16);
    ASSERT_LE(space(c).pages_persistent + credits, 40u) << i;
  }
  EXPECT_EQ(space(c).pages_persistent, 40u);
  EXPECT_EQ(ops(c).put_over_cap, 160u);
  EXPECT_EQ(put(c, handle_of(0, 1, 3), 1000, false), Status::kOk) << "a dup put replaces";
}

TEST_P(Credits, APutWithoutACreditLeavesRoomForThoseThatAreOut) {
  ClientPolicy policy;
  policy.cap_pages = 40;
  const ClientId c = client_with_pool(1, kPersistent, policy);
  ASSERT_EQ(engine_->grant_credits(c, 16), 16u);
  for (uint32_t i = 0; i < 24; ++i) ASSERT_EQ(put(c, handle_of(0, 1, i), i), Status::kOk) << i;
  EXPECT_EQ(put(c, handle_of(0, 1, 24), 24), Status::kOverCap);
  for (uint32_t i = 0; i < 16; ++i) ASSERT_EQ(put(c, handle_of(0, 2, i), i, true), Status::kOk) << i;
  EXPECT_EQ(space(c).pages_persistent, 40u);
}

TEST_P(Credits, AFrozenClientKeepsWhatItWasPromisedAndGetsNoMore) {
  ClientPolicy policy;
  const ClientId c = client_with_pool(1, kPersistent, policy);
  ASSERT_EQ(engine_->grant_credits(c, 4), 4u);
  policy.frozen = true;
  ASSERT_EQ(engine_->set_policy(c, policy), Status::kOk);
  EXPECT_EQ(engine_->grant_credits(c, 16), 4u);
  EXPECT_EQ(put(c, handle_of(0, 1, 1), 1, true), Status::kOk);
  EXPECT_EQ(engine_->grant_credits(c, 16), 3u);
  policy.frozen = false;
  ASSERT_EQ(engine_->set_policy(c, policy), Status::kOk);
  EXPECT_EQ(engine_->grant_credits(c, 16), 16u);
}

TEST_P(Credits, TheyAreBoundedAndEndWithTheClient) {
  const ClientId c = client_with_pool(1, kPersistent);
  EXPECT_LE(engine_->top_up_credits(c, 1000000), kCreditsPerQueueMax);
  EXPECT_GT(engine_->stats().credits_outstanding, 0u);
  ASSERT_EQ(engine_->detach(c), Status::kOk);
  EXPECT_EQ(engine_->stats().credits_outstanding, 0u);
}

}  // namespace tmem::test
