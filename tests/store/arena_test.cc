// SPDX-License-Identifier: MIT
#include "store/arena_fixture.h"

namespace tmem::test {
namespace {

class ArenaRecords : public ArenaFixture {};
INSTANTIATE_TEST_SUITE_P(Geometries, ArenaRecords, kGeometries, geometry_name);

TEST_P(ArenaRecords, AFreshArenaHoldsNothingAndIsAllFree) {
  EXPECT_TRUE(arena->first().none());
  EXPECT_EQ(arena->live_bytes(), 0u);
  EXPECT_EQ(arena->segments(), GetParam().segments);
  EXPECT_EQ(arena->arena_bytes(), uint64_t{GetParam().segments + 1} * kSegmentBytes);
  EXPECT_EQ(arena->free_bytes(), GetParam().segments * (kSegmentBytes - sizeof(SegmentHeader)));
}

TEST_P(ArenaRecords, ARecordIsReadBackAsItWasPut) {
  for (uint32_t size : {0u, 1u, 7u, 8u, 9u, 100u, 3072u, 4096u, 4097u, kPayloadBytesMax}) {
    ASSERT_FALSE(put(++next_tag, size, Codec::kMeta).none()) << size;
  }
  check();
}

TEST_P(ArenaRecords, WhatDoesNotFitAPlaceIsRefused) {
  EXPECT_EQ(arena->reserve(kPayloadBytesMax + 1, 2), Status::kNoSpace);
  EXPECT_TRUE(arena->insert({}, Codec::kMeta, payload_of(1, kPayloadBytesMax + 1)).none());
}

TEST_P(ArenaRecords, ADeadReferenceShowsADeadRecord) {
  const RecordRef ref = put(1, 1000);
  put(2, 1000);
  kill(ref);
  EXPECT_EQ(arena->view(ref).codec, Codec::kDead);
  EXPECT_FALSE(arena->verify(ref));
  arena->kill(ref);  // once more does no harm
  EXPECT_EQ(arena->view(RecordRef{}).codec, Codec::kDead);
  EXPECT_EQ(arena->view(RecordRef::make(GetParam().segments + 7, 3)).codec, Codec::kDead);
  EXPECT_EQ(arena->view(RecordRef::make(0, kSlotsPerSegmentMax - 1)).codec, Codec::kDead);
}

TEST_P(ArenaRecords, AHoleIsUsedAgainByARecordOfItsSize) {
  const RecordRef ref = put(1, 1600);
  for (int i = 0; i < 20; ++i) put(static_cast<uint64_t>(i) + 10, 900);
  const uint64_t free_before = arena->free_bytes();
  kill(ref);
  EXPECT_EQ(put(2, 1597), ref);
  EXPECT_EQ(arena->free_bytes(), free_before);
}

TEST_P(ArenaRecords, TheTightestHoleIsTaken) {
  std::vector<RecordRef> refs;
  for (uint32_t size : {3000u, 500u, 1024u, 500u, 1304u, 500u}) refs.push_back(put(++next_tag, size));
  kill(refs[0]);
  kill(refs[2]);
  kill(refs[4]);
  EXPECT_EQ(put(++next_tag, 1000), refs[2]);
  EXPECT_EQ(put(++next_tag, 1100), refs[4]);
}

TEST_P(ArenaRecords, TheRestOfAHoleIsAHole) {
  const RecordRef big = put(1, 4096);
  for (int i = 0; i < 400 && arena->reserve(4096, 0) == Status::kOk; ++i) put(static_cast<uint64_t>(i) + 10, 4096);
  kill(big);
  uint32_t put_count = 0;
  while (arena->reserve(1000, 0) == Status::kOk && !put(1000 + ++put_count, 1000).none()) {}
  EXPECT_GE(put_count, 4u);
}

TEST_P(ArenaRecords, ASegmentWhoseLastRecordDiesIsWholeAgain) {
  const uint64_t free_before = arena->free_bytes();
  for (int i = 0; i < 50; ++i) put(++next_tag, 1000);
  while (!model.empty()) kill(model.begin()->first);
  EXPECT_EQ(arena->free_bytes(), free_before);
}

TEST_P(ArenaRecords, ReferencesAndBytesSurviveCompaction) {
  Random random(seed_or(11));
  fill(random);
  for (size_t i = model.size() / 3; i > 0; --i) kill(any(random));
  const auto before = model;
  const uint64_t free_before = arena->free_bytes();
  uint32_t compacted = 0;
  while (arena->compact_step(2048)) ASSERT_LT(++compacted, 1000u);
  EXPECT_GT(compacted, 0u);
  EXPECT_EQ(arena->segments_compacted(), compacted);
  EXPECT_GE(arena->free_bytes(), free_before);
  EXPECT_EQ(before.size(), model.size());
  check();
}

TEST_P(ArenaRecords, APutCompactsWhenNoHoleFits) {
  Random random(seed_or(12));
  fill(random, SizeSource::Shift::kSmallOnly);
  for (size_t i = model.size() / 5; i > 0; --i) kill(any(random));
  EXPECT_EQ(arena->reserve(4096, 0), Status::kNoSpace);
  EXPECT_EQ(arena->reserve(4096, 1), Status::kOk);
  EXPECT_EQ(arena->segments_compacted(), 1u);
  EXPECT_FALSE(put(++next_tag, 4096).none());
}

TEST_P(ArenaRecords, AFullArenaRefusesAndChangesNothing) {
  Random random(seed_or(13));
  fill(random);
  const uint64_t live = arena->live_bytes();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(arena->reserve(4096, 2), Status::kNoSpace);
  EXPECT_EQ(arena->live_bytes(), live);
  EXPECT_LT(static_cast<double>(arena->free_bytes()), 0.03 * static_cast<double>(arena->arena_bytes()));
}

TEST_P(ArenaRecords, AMovedRecordKeepsItsBytesAndEvenItsDamage) {
  const RecordRef ref = put(1, 1000);
  put(2, 300);
  ASSERT_EQ(arena->reserve(1000, 2), Status::kOk);
  const RecordRef moved = arena->move(ref);
  ASSERT_FALSE(moved.none());
  EXPECT_EQ(arena->view(ref).codec, Codec::kDead);
  model.erase(ref);
  expect_holds(moved, {1, 1000, Codec::kLz4});
  const std::byte* bytes = arena->view(moved).payload.data();
  memory.flip(static_cast<size_t>(bytes - memory.base()), 3);
  EXPECT_FALSE(arena->verify(moved));
  ASSERT_EQ(arena->reserve(1000, 2), Status::kOk);
  const RecordRef again = arena->move(moved);
  EXPECT_FALSE(arena->verify(again));
  arena->kill(again);
}

TEST_P(ArenaRecords, AFlipAnywhereInARecordIsNoticed) {
  const RecordRef ref = put(1, 777);
  put(2, 300);
  const RecordView seen = arena->view(ref);
  const auto payload_at = static_cast<size_t>(seen.payload.data() - memory.base());
  for (size_t bit = 0; bit < 777 * 8; bit += 5) {
    memory.flip(payload_at + bit / 8, bit % 8);
    ASSERT_FALSE(arena->verify(ref)) << bit;
    memory.flip(payload_at + bit / 8, bit % 8);
  }
  for (uint32_t bit = 0; bit < 32; ++bit) {
    RecordKey key = seen.key;
    key.object ^= 1u << bit;
    ASSERT_NE(record_checksum(key, seen.codec, seen.payload), seen.checksum);
    key = seen.key;
    key.index ^= 1u << bit;
    ASSERT_NE(record_checksum(key, seen.codec, seen.payload), seen.checksum);
  }
  EXPECT_NE(record_checksum(seen.key, Codec::kRaw, seen.payload), seen.checksum);
  EXPECT_NE(record_checksum(seen.key, seen.codec, seen.payload.first(776)), seen.checksum);
}

TEST_P(ArenaRecords, ARandomStreamOfOpsMatchesAMap) {
  const uint64_t seed = seed_or(14);
  SCOPED_TRACE(::testing::Message() << "TMEM_SEED=" << seed);
  Random random(seed);
  SizeSource sizes;
  for (uint32_t op = 0; op < 30000; ++op) {
    switch (random() % 16) {
      case 0: case 1: case 2: case 3: case 4: case 5: case 6:
        put(++next_tag, sizes.next(random));
        break;
      case 7:
        put(++next_tag, static_cast<uint32_t>(random() % 64), Codec::kMeta);
        break;
      case 8: case 9: case 10: case 11: case 12: case 13:
        if (!model.empty()) kill(any(random));
        break;
      case 14:
        arena->compact_step(random() % 8192);
        break;
      default:
        if (model.empty()) break;
        const RecordRef old = any(random);
        if (arena->reserve(model[old].size, 1) != Status::kOk) break;
        const Expected expected = model[old];
        model.erase(old);
        ASSERT_TRUE(model.emplace(arena->move(old), expected).second);
    }
    if (op % 5000 == 0) check();
  }
}

}  // namespace
}  // namespace tmem::test
