// SPDX-License-Identifier: MIT
// How much memory there is in all: bounded by the target, near to what is stored, and given back when asked for. And dedup.
#include <random>

#include "engine/engine_fixture.h"

#include <functional>
#include "support/page_source.h"

namespace tmem::test {

class Space : public EngineTest {};
TMEM_BOTH_GEOMETRIES(Space);

TEST_P(Space, MemoryStaysWithinTheTargetWhateverIsPut) {
  const ClientId c = client_with_pool(1, kPersistent);
  const uint64_t target = engine_->stats().memory_bytes_target;
  for (uint32_t i = 0; i < 6000; ++i) {
    // One page for each extent and object: the index is dearest.
    if (engine_->put(c, handle_of(0, i, i * 8), SameFilled{i}) != Status::kOk) break;
    ASSERT_LE(engine_->stats().memory_bytes, target);
  }
  fill(c, 0, 1 << 20);
  EXPECT_LE(engine_->stats().memory_bytes, target);
}

TEST_P(Space, PagesThatAreAloneInTheirExtentsDoNotTurnTheMemoryIntoIndexForGood) {
  const ClientId c = client_with_pool(1, kPersistent);
  const uint64_t target = engine_->stats().memory_bytes_target;
  uint32_t stored = 0;
  while (engine_->put(c, handle_of(0, stored, stored * 8), SameFilled{stored}) == Status::kOk) ++stored;
  constexpr uint64_t kArenaTables = 64 << 10;  // of this geometry; counted as index as well
  EXPECT_LE(engine_->stats().index_bytes, std::max<uint64_t>(target / 4, 1 << 20) + kArenaTables);
  if (target / 4 < 1 << 20) return;  // what follows needs memory that the index may not have
  const uint64_t before = engine_->stats().memory_bytes;
  settle();
  EXPECT_EQ(engine_->stats().memory_bytes, before) << "no segment is given up for an index that has its share";
  for (uint32_t i = 0; i < stored; ++i) ASSERT_EQ(engine_->flush_page(c, handle_of(0, i, i * 8)), Status::kOk) << i;
  settle();
  EXPECT_GT(uint64_t{fill(c, 0, 1)} * kPageBytes, target / 2);
}

TEST_P(Space, AnIndexThatHasItsShareLetsClientsInAndGrowsNoArenaThatItCannotUse) {
  const ClientId c = client_with_pool(1, kPersistent);
  const uint64_t target = engine_->stats().memory_bytes_target;
  for (uint32_t i = 0; engine_->put(c, handle_of(0, i, i * 8), SameFilled{i}) == Status::kOk; ++i) {
  }
  if (target / 4 < 1 << 20) return;  // the target is in the way, not the share
  const uint64_t arena = engine_->stats().arena_bytes;
  EXPECT_LT(engine_->top_up_credits(c, 32), 32u);
  EXPECT_EQ(engine_->stats().arena_bytes, arena);
  for (uint32_t id = 2; id < 80; ++id) client_with_pool(id, kPersistent);
  EXPECT_LE(engine_->stats().memory_bytes, target);

  engine_->set_memory_target(target / 2);  // the index has more than its share of that
  for (uint32_t id = 80; id < 160; ++id) client_with_pool(id, kPersistent);
  EXPECT_LE(engine_->stats().memory_bytes, target / 2);
}

TEST_P(Space, NoSegmentGoesForAnIndexThatHasRoomAgain) {
  const ClientId c = client_with_pool(1, kPersistent);
  fill(c, 0, 1);
  for (uint32_t i = 0; i < 100; ++i) static_cast<void>(engine_->put(c, handle_of(0, 2 + i, 0), SameFilled{i}));
  engine_->set_memory_target(2 * engine_->stats().memory_bytes_target);
  const uint64_t before = engine_->stats().arena_bytes;
  settle();
  EXPECT_EQ(engine_->stats().arena_bytes, before);
}

TEST_P(Space, APoolThatFindsNoMemoryDropsNobodysPages) {
  const ClientId e = client_with_pool(1, kEphemeral);
  fill(e, 0, 1, 70 * GetParam().segments);
  const uint64_t before = space(e).pages_ephemeral;
  const ClientId c = client_with_pool(2, kPersistent);
  memory_.blocks_left = 0;
  uint32_t made = 1;
  while (engine_->new_pool(c, PoolId(made), kPersistent) == Status::kOk) ++made;
  for (int i = 0; i < 100; ++i) EXPECT_NE(engine_->new_pool(c, PoolId(made), kPersistent), Status::kOk);
  EXPECT_EQ(space(e).pages_ephemeral, before);
  memory_.blocks_left = -1;
}

TEST_P(Space, AShrunkTargetIsReachedByEvictionAndAGrownOneIsUsedAtOnce) {
  const ClientId e = client_with_pool(1, kEphemeral), p = client_with_pool(2, kPersistent);
  for (uint32_t i = 0; i < 20; ++i) ASSERT_EQ(put_noise(p, handle_of(0, 1, i), i), Status::kOk);
  fill(e, 0, 1, 70 * GetParam().segments);
  const uint64_t before = engine_->stats().memory_bytes;
  const uint64_t target = target_of(GetParam().segments / 2 + 1);
  engine_->set_memory_target(target);
  settle();
  EXPECT_LE(engine_->stats().memory_bytes, target);
  EXPECT_GT(space(e).pages_ephemeral, 0u);
  EXPECT_EQ(engine_->check_invariants(), "");
  for (uint32_t i = 0; i < 20; ++i) EXPECT_EQ(get(p, handle_of(0, 1, i), noise_of(i)), Status::kOk) << i;
  engine_->set_memory_target(target_of(GetParam().segments));
  fill(e, 0, 2, 70 * GetParam().segments);
  EXPECT_GE(engine_->stats().memory_bytes + 2 * kSegmentBytes, before);
  restart();
  for (uint32_t i = 0; i < 20; ++i) EXPECT_EQ(get(p, handle_of(0, 1, i), noise_of(i)), Status::kOk) << i;
}

TEST_P(Space, PersistentPagesOutweighTheTarget) {
  const ClientId p = client_with_pool(1, kPersistent);
  const uint32_t stored = fill(p, 0, 1);
  engine_->set_memory_target(kSegmentBytes);
  for (int i = 0; i < 1000 && engine_->step(); ++i) {
  }
  EXPECT_FALSE(engine_->step());
  for (uint32_t i = 0; i < stored; ++i) ASSERT_EQ(get(p, handle_of(0, 1, i), noise_of(i)), Status::kOk) << i;
}

TEST_P(Space, BelowWhatIsKeptNothingMoreIsTakenOrPromisedUntilTheTargetGoesUp) {
  constexpr uint32_t kPagesOfSegment = kSegmentBytes / kPageBytes, kCredits = 16;
  const ClientId p = client_with_pool(1, kPersistent);
  const uint32_t stored = fill(p, 0, 1, GetParam().segments * kPagesOfSegment / 2);
  ASSERT_EQ(engine_->top_up_credits(p, kCredits), kCredits);
  engine_->revoke_credits(p);
  const uint64_t target = engine_->stats().memory_bytes_target;
  engine_->set_memory_target(kSegmentBytes);
  settle();
  const uint64_t least = engine_->stats().memory_bytes;
  ASSERT_GT(least, kSegmentBytes);
  EXPECT_LT(fill(p, 0, 2), 2 * kPagesOfSegment) << "holes of what is there, no more";
  EXPECT_EQ(put_noise(p, handle_of(0, 3, 1), 1), Status::kNoSpace);
  EXPECT_LT(engine_->top_up_credits(p, kCredits), kCredits);
  EXPECT_LE(engine_->stats().memory_bytes, least);
  EXPECT_EQ(get(p, handle_of(0, 3, 1), 1), Status::kMiss);
  for (uint32_t i = 0; i < stored; ++i) ASSERT_EQ(get(p, handle_of(0, 1, i), noise_of(i)), Status::kOk) << i;

  engine_->set_memory_target(target);
  EXPECT_EQ(put_noise(p, handle_of(0, 3, 1), 1), Status::kOk);
  EXPECT_EQ(engine_->top_up_credits(p, kCredits), kCredits);
  EXPECT_EQ(put_noise(p, handle_of(0, 3, 2), 2, true), Status::kOk);
  EXPECT_EQ(get(p, handle_of(0, 3, 1), noise_of(1)), Status::kOk);
}

TEST_P(Space, EqualPagesOfAGroupAreKeptOnceAndOutliveEachOther) {
  ClientPolicy policy;
  policy.dedup_group = 7;
  const ClientId a = client_with_pool(1, kEphemeral, policy), b = client_with_pool(2, kEphemeral, policy);
  for (uint32_t i = 0; i < 10; ++i) ASSERT_EQ(put_noise(a, handle_of(0, 1, i), 5), Status::kOk);
  for (uint32_t i = 0; i < 10; ++i) ASSERT_EQ(put_noise(b, handle_of(0, 1, i), 5), Status::kOk);
  EXPECT_LT(engine_->stats().bytes_live, 2 * kPageBytes);
  EXPECT_EQ(ops(a).put_deduplicated + ops(b).put_deduplicated, 20u);
  ASSERT_EQ(engine_->detach(a), Status::kOk);
  restart();
  ASSERT_EQ(put_noise(b, handle_of(0, 2, 0), 5), Status::kOk);
  EXPECT_LT(engine_->stats().bytes_live, 2 * kPageBytes);
  for (uint32_t i = 0; i < 10; ++i) EXPECT_EQ(get(b, handle_of(0, 1, i), noise_of(5)), Status::kOk) << i;
  EXPECT_EQ(get(b, handle_of(0, 2, 0), noise_of(5)), Status::kOk);
  settle();
  EXPECT_LT(engine_->stats().bytes_live, 1000u);
}

TEST_P(Space, WithCompressionOffAPageIsKeptWholeAndOnAgainItIsPacked) {
  ClientPolicy raw;
  raw.compress = false;
  const ClientId c = client_with_pool(1, kPersistent, raw);
  ASSERT_EQ(put(c, handle_of(0, 1, 1), 5), Status::kOk);
  EXPECT_EQ(space(c).bytes_compressed, kPageBytes);
  EXPECT_EQ(ops(c).put_raw, 1u);
  EXPECT_EQ(get(c, handle_of(0, 1, 1), 5), Status::kOk);

  ASSERT_EQ(engine_->set_policy(c, {}), Status::kOk);
  EXPECT_EQ(space(c).bytes_compressed, kPageBytes) << "what is kept stays as it is";
  ASSERT_EQ(put(c, handle_of(0, 1, 2), 6), Status::kOk);
  EXPECT_LE(space(c).bytes_compressed, kPageBytes + kCompressedBytesMax);
  ASSERT_EQ(put(c, handle_of(0, 1, 1), 5), Status::kOk);
  EXPECT_LE(space(c).bytes_compressed, 2 * kCompressedBytesMax);
  EXPECT_EQ(ops(c).put_raw, 1u);

  ASSERT_EQ(engine_->set_policy(c, raw), Status::kOk);
  ASSERT_EQ(put(c, handle_of(0, 1, 1), 5), Status::kOk);
  EXPECT_EQ(ops(c).put_raw, 2u);
  ASSERT_EQ(engine_->put(c, handle_of(0, 1, 3), SameFilled{7}), Status::kOk);
  EXPECT_EQ(ops(c).put_raw, 2u) << "a word is a word";
  for (const uint32_t index : {1u, 2u}) EXPECT_EQ(get(c, handle_of(0, 1, index), index + 4), Status::kOk);
}

TEST_P(Space, WithCompressionOffEqualPagesAreKeptWholeToo) {
  ClientPolicy policy;
  policy.dedup_group = 7;
  policy.compress = false;
  const ClientId c = client_with_pool(1, kEphemeral, policy);
  for (uint32_t i = 0; i < 3; ++i) ASSERT_EQ(put(c, handle_of(0, 1, i), 5), Status::kOk);
  EXPECT_GE(engine_->stats().bytes_live, kPageBytes);
  EXPECT_LT(engine_->stats().bytes_live, 2 * kPageBytes);
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(get(c, handle_of(0, 1, i), 5), Status::kOk) << i;
}

// A page whose LZ4 block is about so many bytes.
Page page_of_size(uint64_t tag, uint32_t bytes) {
  Page page = noise_of(tag);
  if (bytes < 3000) std::memset(page.data() + bytes, static_cast<int>(tag & 0xff), kPageBytes - bytes);
  return page;
}

// All memory over compressed bytes after three random overwrites of everything and two shifts of the sizes, with the arena full
// throughout: what is refused then leaves a hole for the next.
TEST(SpaceBound, AllMemoryIsWithinFourPercentOfTheCompressedBytesUnderChurn) {
  constexpr uint32_t kSegments = 128;
  const uint64_t seed = seed_or(11);
  SCOPED_TRACE("TMEM_SEED=" + std::to_string(seed));
  HeapMemory memory(kSegments);
  auto made = Engine::create(memory, EngineConfig{kSegments * kSegmentBytes, true});
  ASSERT_TRUE(made.ok());
  Engine& engine = *made.value();
  ASSERT_EQ(engine.attach(ClientId(1), {}, {}, true), Status::kOk);
  ASSERT_EQ(engine.new_pool(ClientId(1), PoolId(0), kPersistent), Status::kOk);
  Random random(seed);
  SizeSource sizes;
  uint64_t tag = 0;
  const auto put = [&](uint32_t n, SizeSource::Shift shift) {
    const Page page = page_of_size(++tag, sizes.next(random, shift));
    return engine.put(ClientId(1), handle_of(0, n % 16, n / 16), PageView(page));
  };
  uint32_t pages = 0;
  while (put(pages, SizeSource::Shift::kAll) == Status::kOk) ++pages;
  ASSERT_GT(pages, 10000u);
  const auto ratio = [&] {
    return static_cast<double>(engine.stats().memory_bytes) / static_cast<double>(engine.stats().bytes_live);
  };
  // A shift to small pages leaves room: new handles fill it.
  const auto churn = [&](uint32_t rounds, SizeSource::Shift shift) {
    for (uint64_t i = 0; i < uint64_t{rounds} * pages; ++i) static_cast<void>(put(static_cast<uint32_t>(random() % pages), shift));
    for (uint32_t refused = 0; refused < 64;) {
      if (put(pages, shift) == Status::kOk) ++pages;
      else ++refused;
    }
  };
  churn(3, SizeSource::Shift::kAll);
  EXPECT_LE(ratio(), 1.04) << "after three overwrites";
  churn(1, SizeSource::Shift::kSmallOnly);
  EXPECT_LE(ratio(), 1.04) << "after a shift to small pages";
  churn(1, SizeSource::Shift::kBigOnly);
  EXPECT_LE(ratio(), 1.04) << "after a shift to big pages";
  RecordProperty("ratio", std::to_string(ratio()));
  EXPECT_LE(engine.stats().memory_bytes, engine.stats().memory_bytes_target);
  EXPECT_EQ(engine.check_invariants(), "");
}

TEST_P(Space, WhatUseLeavesBehindGoesBackByItself) {
  const ClientId c = client_with_pool(1, kPersistent);
  fill(c, 0, 1);
  settle();
  const EngineStats full = engine_->stats();
  ASSERT_EQ(engine_->flush_object(c, PoolId(0), ObjectId{{1, 0, 0}}), Status::kOk);
  uint32_t steps = 0;
  while (engine_->step()) ++steps;
  const EngineStats after = engine_->stats();
  EXPECT_LE(after.segments, 8 + full.segments / 8 + 1);
  EXPECT_LE(full.segments - after.segments, steps) << "one at a time";
  EXPECT_EQ(memory_.committed_count(), after.arena_bytes / kSegmentBytes);
  EXPECT_GE(engine_->freeable_bytes() + 2 * kSegmentBytes, (after.segments) * kSegmentBytes) << "empty segments hold nothing";
  EXPECT_GT(fill(c, 0, 2), 0u);
}

// From the same state an op is tried with no allocation allowed, then with one, and so on: whole, or not at all.
TEST_P(Space, AnOpThatIsRefusedMemoryAtAnyPointIsRefusedWholeUntilThereIsEnough) {
  const ClientId c = client_with_pool(1, kPersistent);
  ASSERT_EQ(engine_->authorise(c, uuid_of(9), true), Status::kOk);
  ASSERT_EQ(put(c, handle_of(0, 1, 1), 1), Status::kOk);
  memory_.blocks_left = memory_.commits_left = 0;
  const uint32_t filled = fill(c, 0, 2);
  memory_.blocks_left = memory_.commits_left = -1;
  ASSERT_GT(filled, 0u);
  const std::vector<std::byte> bytes = memory_.snapshot();
  const std::function<Status()> ops[] = {
      [&] { return put_noise(c, handle_of(0, 3, 1), 2); },
      [&] { return put_noise(c, handle_of(0, 1, 1000), 2); },
      [&] { return engine_->new_pool(c, PoolId(5000), kEphemeral); },
      [&] { return engine_->join_pool(c, PoolId(5000), kShared, uuid_of(9)); },
      [&] { return engine_->authorise(c, uuid_of(8), true); },
      [&] { return engine_->attach(ClientId(2), {}, {}, true); },
      [&] { return engine_->set_policy(c, {}); },
      [&] { return put_noise(c, handle_of(0, 1, 1), 2); },  // last: the old page may go
  };
  for (const auto& op : ops) {
    const bool replaces = &op == std::end(ops) - 1;
    uint32_t allowed = 0;
    for (Status status = Status::kNoSpace; status != Status::kOk; ++allowed) {
      engine_.reset();
      memory_.restore(bytes);
      start();
      memory_.blocks_left = memory_.commits_left = allowed;
      status = op();
      memory_.blocks_left = memory_.commits_left = -1;
      ASSERT_EQ(engine_->check_invariants(), "") << allowed << " allowed";
      if (status != Status::kOk) {
        ASSERT_EQ(status, replaces ? Status::kPutFlushed : Status::kNoSpace) << allowed << " allowed";
        ASSERT_EQ(space(c).pages_persistent, filled + (replaces ? 0 : 1));
        ASSERT_EQ(engine_->client_info(c).value().pools, 1u);
      }
      ASSERT_EQ(get(c, handle_of(0, 1, 1), 1), !replaces ? Status::kOk : status == Status::kOk ? Status::kCorrupt : Status::kMiss);
      ASSERT_LT(allowed, 50u);
    }
    if (&op == &ops[0] || &op == &ops[2]) {
      EXPECT_GT(allowed, 1u) << "nothing was refused";
    }
  }
}

}  // namespace tmem::test
