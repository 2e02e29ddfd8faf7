// SPDX-License-Identifier: MIT
// Who makes room for whom, in which order, and within which bounds.
#include "engine/engine_fixture.h"

namespace tmem::test {

class Eviction : public EngineTest {};
TMEM_BOTH_GEOMETRIES(Eviction);

TEST_P(Eviction, TheExtentsThatWerePutFirstGoFirst) {
  const ClientId c = client_with_pool(1, kEphemeral);
  const uint32_t pages = 100 * GetParam().segments;
  for (uint32_t i = 0; i < pages; ++i) ASSERT_EQ(put_noise(c, handle_of(0, 1, i), i), Status::kOk);
  const uint64_t kept = space(c).pages_ephemeral;
  ASSERT_LT(kept, pages);
  for (uint32_t i = 0; i < pages - kept; ++i) ASSERT_EQ(get(c, handle_of(0, 1, i), noise_of(i)), Status::kMiss) << i;
  for (uint32_t i = pages - static_cast<uint32_t>(kept); i < pages; ++i)
    ASSERT_EQ(get(c, handle_of(0, 1, i), noise_of(i)), Status::kOk) << i;
}

TEST_P(Eviction, ASharedPageThatWasHitGetsAnotherRound) {
  const ClientId c = client(1);
  ASSERT_EQ(engine_->authorise(c, uuid_of(9), true), Status::kOk);
  ASSERT_EQ(engine_->join_pool(c, PoolId(0), kShared, uuid_of(9)), Status::kOk);
  const uint32_t half = 40 * GetParam().segments / 8 * 8;
  for (uint32_t i = 0; i < half; ++i) ASSERT_EQ(put_noise(c, handle_of(0, 1, i), i), Status::kOk);
  for (uint32_t i = 0; i < half / 2; ++i) ASSERT_EQ(get(c, handle_of(0, 1, i), noise_of(i)), Status::kOk);
  // Enough new pages for all old ones but the hit ones to go.
  for (uint32_t i = 0; i < half; ++i) ASSERT_EQ(put_noise(c, handle_of(0, 2, i), i), Status::kOk);
  uint32_t hit = 0, not_hit = 0;
  for (uint32_t i = 0; i < half / 2; ++i) hit += get(c, handle_of(0, 1, i), noise_of(i)) == Status::kOk;
  for (uint32_t i = half / 2; i < half; ++i) not_hit += get(c, handle_of(0, 1, i), noise_of(i)) == Status::kOk;
  EXPECT_GE(hit, half / 2 * 9 / 10);  // but for those that stood in the way of a put with nothing else to give
  EXPECT_LT(not_hit, half / 2 * 9 / 10);
}

TEST_P(Eviction, AMinimumIsLeftToAClient) {
  ClientPolicy modest;
  modest.min_pages = 20;
  const ClientId m = client_with_pool(1, kEphemeral, modest);
  for (uint32_t i = 0; i < 50; ++i) ASSERT_EQ(put_noise(m, handle_of(0, 1, i), i), Status::kOk);
  const ClientId p = client_with_pool(2, kPersistent);
  fill(p, 0, 1);
  EXPECT_EQ(space(m).pages_ephemeral, 20u);
}

TEST_P(Eviction, WeightZeroGoesFirst) {
  ClientPolicy zero;
  zero.weight = 0;
  const ClientId a = client_with_pool(1, kEphemeral), z = client_with_pool(2, kEphemeral, zero);
  for (uint32_t i = 0; i < 80; ++i) ASSERT_EQ(put_noise(i < 72 ? a : z, handle_of(0, 1, i), i), Status::kOk);
  const ClientId p = client_with_pool(3, kPersistent);
  for (uint32_t i = 0; space(z).pages_ephemeral > 0; ++i) {
    ASSERT_EQ(ops(a).pages_evicted, 0u);
    ASSERT_EQ(put_noise(p, handle_of(0, 1, i), i), Status::kOk);
  }
}

TEST_P(Eviction, TheCapCountsBothKindsAndSparesReplacement) {
  ClientPolicy policy;
  policy.cap_pages = 10;
  const ClientId c = client_with_pool(1, kEphemeral, policy);
  ASSERT_EQ(engine_->new_pool(c, PoolId(1), kPersistent), Status::kOk);
  for (uint32_t i = 0; i < 10; ++i) ASSERT_EQ(put(c, handle_of(i % 2, 1, i), i), Status::kOk);
  EXPECT_EQ(put(c, handle_of(0, 1, 10), 10), Status::kOverCap);
  EXPECT_EQ(put(c, handle_of(1, 1, 10), 10), Status::kOverCap);
  EXPECT_EQ(put(c, handle_of(1, 1, 9), 90), Status::kOk);
  EXPECT_EQ(engine_->flush_page(c, handle_of(1, 1, 9)), Status::kOk);
  EXPECT_EQ(put(c, handle_of(1, 1, 10), 10), Status::kOk);
  EXPECT_EQ(ops(c).put_over_cap, 2u);
}

TEST_P(Eviction, OnePutLooksAtNoMoreVictimsThanAllowed) {
  const ClientId c = client_with_pool(1, kEphemeral);
  for (uint32_t i = 0; i < 20000 && engine_->stats().pages_evicted == 0; ++i)
    ASSERT_EQ(engine_->put(c, handle_of(0, 1, i), SameFilled{i}), Status::kOk);
  const ClientId p = client_with_pool(2, kPersistent);
  for (uint32_t i = 0; i < 40; ++i) {
    const uint64_t before = engine_->stats().pages_evicted;
    static_cast<void>(put_noise(p, handle_of(0, 1, i), i));  // needs many of them; may be refused
    ASSERT_LE(engine_->stats().pages_evicted - before, kEvictionsPerPutMax + 7);  // an extent goes whole
  }
}

TEST_P(Eviction, OnePutCompactsNoMoreThanAllowedForItselfAndForCreditsTogether) {
  const ClientId c = client_with_pool(1, kPersistent);
  const uint32_t pages = fill(c, 0, 1);
  for (uint32_t i = 0; i < pages; i += 25) ASSERT_EQ(engine_->flush_page(c, handle_of(0, 1, i)), Status::kOk);
  uint32_t compacted = 0;
  for (uint32_t i = 0; i < 40; ++i) {  // as a backend does: a put, then what credits there may be
    const uint64_t segments_before = engine_->stats().segments_compacted;
    const uint64_t work_before = engine_->work_done();
    static_cast<void>(put_noise(c, handle_of(0, 2, i), i));
    engine_->grant_credits(c, kCreditsPerQueueMax);
    const uint64_t segments = engine_->stats().segments_compacted - segments_before;
    ASSERT_LE(segments, 2 * kCompactionsPerPutMax);
    ASSERT_GE(engine_->work_done() - work_before, segments * kCompactionWork);
    compacted += static_cast<uint32_t>(segments);
  }
  EXPECT_GT(compacted, 0u);
}

TEST_P(Eviction, OneCallOfAFlushDropsNoMorePagesThanAllowed) {
  const ClientId c = client_with_pool(1, kEphemeral);
  const uint64_t pages = 4 * kTeardownPagesPerStep;
  for (uint32_t i = 0; i < pages; ++i) ASSERT_EQ(engine_->put(c, handle_of(0, 1, i), SameFilled{i}), Status::kOk);
  uint64_t dropped = 0;
  while (const uint64_t slice = engine_->flush_ephemeral(~0ull).pages) {
    ASSERT_LE(slice, kTeardownPagesPerStep + 7);  // an extent goes whole
    dropped += slice;
  }
  EXPECT_EQ(dropped, pages);
}

TEST_P(Eviction, WhatTheOperatorFlushesIsWhatWasSaidToBeFreeable) {
  const ClientId a = client_with_pool(1, kEphemeral), b = client_with_pool(2, kPersistent);
  for (uint32_t i = 0; i < 40; ++i) ASSERT_EQ(put_noise(i % 2 == 0 ? a : b, handle_of(0, 1, i), i), Status::kOk);
  EXPECT_EQ(engine_->freeable_bytes(), 20 * (kPageBytes + 16));
  EXPECT_EQ(engine_->flush_ephemeral(b, 1 << 20).value().pages, 0u);
  const Flushed some = engine_->flush_ephemeral(a, 3 * kPageBytes).value();
  EXPECT_GE(some.pages, 3u);
  EXPECT_EQ(some.bytes, some.pages * kPageBytes);
  EXPECT_LE(space(a).pages_ephemeral, 17u);
  const uint64_t left = space(a).pages_ephemeral;
  EXPECT_EQ(engine_->flush_ephemeral(~0ull).pages, left);
  EXPECT_EQ(engine_->freeable_bytes(), 0u);
  EXPECT_EQ(space(b).pages_persistent, 20u);
}

TEST_P(Eviction, WhatAMinimumKeepsIsNotFreeable) {
  ClientPolicy modest, greedy;
  modest.min_pages = 20;
  greedy.min_pages = 1000;
  const ClientId a = client_with_pool(1, kEphemeral, modest), b = client_with_pool(2, kEphemeral, greedy), c = client_with_pool(3, kPersistent, modest);
  for (uint32_t i = 0; i < 30; ++i) ASSERT_EQ(put_noise(a, handle_of(0, 1, i), i), Status::kOk);
  for (uint32_t i = 0; i < 10; ++i) ASSERT_EQ(put(b, handle_of(0, 1, i), i), Status::kOk);
  for (uint32_t i = 0; i < 10; ++i) ASSERT_EQ(put_noise(c, handle_of(0, 1, i), i), Status::kOk);
  EXPECT_EQ(engine_->freeable_bytes(), 10 * (kPageBytes + 16));
}

}  // namespace tmem::test
