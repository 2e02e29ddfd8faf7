// SPDX-License-Identifier: MIT
#include "store/recovery.h"

#include <algorithm>
#include <functional>

#include "store/arena_fixture.h"

namespace tmem::test {
namespace {

class ArenaRecovery : public ArenaFixture {
 protected:
  // The process dies and another one opens the same bytes. References may be others: records are found by key.
  void restart(bool verify) {
    arena.reset();
    memory.restore(memory.snapshot());
    arena = open(verify);
    ASSERT_NE(arena, nullptr);
  }
  // What is there, checked record by record against what was put; returns how many.
  uint64_t expect_part_of(const std::map<uint64_t, Expected>& by_key) {
    uint64_t found = 0;
    for (RecordRef ref = arena->first(); !ref.none(); ref = arena->next(ref)) {
      if (!arena->verify(ref)) continue;  // a get would say so
      const RecordView seen = arena->view(ref);
      const auto at = by_key.find(packed(seen.key));
      EXPECT_NE(at, by_key.end());
      if (at == by_key.end()) continue;
      expect_holds(ref, at->second);
      ++found;
    }
    return found;
  }
  static uint64_t packed(RecordKey key) { return uint64_t{key.object} << 32 | key.index; }
  std::map<uint64_t, Expected> by_key() const {
    std::map<uint64_t, Expected> keys;
    for (const auto& [ref, expected] : model) keys[packed(key_of(expected.tag))] = expected;
    return keys;
  }
  void fill_and_churn(uint64_t seed) {
    Random random(seed_or(seed));
    fill(random);
    for (size_t i = model.size() / 3; i > 0; --i) {
      kill(any(random));
      if (i % 2 == 0) put(++next_tag, static_cast<uint32_t>(random() % 3000));
    }
  }
  SegmentHeader* segment_header(uint32_t physical) {
    return reinterpret_cast<SegmentHeader*>(memory.base() + (size_t{physical} + 1) * kSegmentBytes);
  }
  ArenaHeader* arena_header() { return reinterpret_cast<ArenaHeader*>(memory.base()); }
};
INSTANTIATE_TEST_SUITE_P(Geometries, ArenaRecovery, kGeometries, geometry_name);

TEST_P(ArenaRecovery, WithoutDamageNothingIsLostAndReferencesHold) {
  fill_and_churn(41);
  for (const bool verify : {false, true}) {
    const uint64_t live = arena->live_bytes();
    restart(verify);
    EXPECT_EQ(arena->recovered().records, model.size());
    EXPECT_EQ(arena->recovered().skipped_torn + arena->recovered().skipped_unknown + arena->recovered().segments_damaged, 0u);
    EXPECT_EQ(arena->live_bytes(), live);
    EXPECT_EQ(arena->segments(), GetParam().segments);
    check();
  }
}

TEST_P(ArenaRecovery, ARecoveredArenaGoesOnServing) {
  fill_and_churn(42);
  restart(false);
  Random random(seed_or(43));
  SizeSource sizes;
  for (int i = 0; i < 5000; ++i) {
    kill(any(random));
    put(++next_tag, sizes.next(random));
  }
  check();
  restart(true);
  check();
}

TEST_P(ArenaRecovery, NeighbouringHolesBecomeOne) {
  std::vector<RecordRef> refs;
  while (arena->reserve(500, 0) == Status::kOk) refs.push_back(put(++next_tag, 500));
  for (size_t i = 20; i < 28; ++i) kill(refs[i]);
  EXPECT_EQ(arena->reserve(3000, 0), Status::kNoSpace);
  restart(false);
  EXPECT_EQ(arena->reserve(3000, 0), Status::kOk);
}

TEST_P(ArenaRecovery, AnArenaOfAnotherKindIsNotTouched) {
  fill_and_churn(44);
  const auto damage = std::vector<std::function<void(ArenaHeader&)>>{
      [](ArenaHeader& h) { h.version = kArenaVersion + 1; }, [](ArenaHeader& h) { h.magic ^= 1; },
      [](ArenaHeader& h) { h.segment_bytes *= 2; }, [](ArenaHeader& h) { h.shards = 5; },
      [](ArenaHeader& h) { h.checksum ^= 4; }};
  arena.reset();
  const std::vector<std::byte> whole = memory.snapshot();
  for (const auto& spoil : damage) {
    memory.restore(whole);
    spoil(*arena_header());
    const std::vector<std::byte> before(memory.base(), memory.base() + whole.size());
    EXPECT_EQ(Arena::open(memory, false).status(), Status::kBadArena);
    EXPECT_EQ(memcmp(before.data(), memory.base(), before.size()), 0);
  }
}

TEST_P(ArenaRecovery, AnArenaThatWasNeverFinishedIsMadeAnew) {
  arena.reset();
  memory.restore({});
  arena_header()->version = 77;  // died before the magic was stored
  arena = open();
  ASSERT_NE(arena, nullptr);
  EXPECT_EQ(arena->segments(), 0u);
}

TEST_P(ArenaRecovery, OfTwoCopiesTheNewerIsTheSegment) {
  fill_and_churn(45);
  const auto expected = by_key();
  std::vector<std::byte> before = memory.snapshot();
  Random random(seed_or(46));
  // A crash right after a copy took over, before the original was wiped: both are there.
  const uint64_t compacted = arena->segments_compacted();
  while (!arena->compact_step(1)) kill(any(random));
  ASSERT_EQ(arena->segments_compacted(), compacted + 1);
  arena.reset();
  std::vector<std::byte> after = memory.snapshot();
  for (uint32_t physical = 0; physical < GetParam().segments + 1; ++physical) {
    const size_t at = (size_t{physical} + 1) * kSegmentBytes;
    const auto* old_header = reinterpret_cast<const SegmentHeader*>(before.data() + at);
    const auto* new_header = reinterpret_cast<const SegmentHeader*>(after.data() + at);
    if (new_header->generation == 0 && old_header->generation != 0) {
      std::copy_n(before.begin() + static_cast<std::ptrdiff_t>(at), kSegmentBytes, after.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }
  memory.restore(after);
  arena = open(false);
  ASSERT_NE(arena, nullptr);
  EXPECT_EQ(arena->recovered().segments_superseded, 1u);
  EXPECT_EQ(arena->recovered().segments_damaged, 0u);
  EXPECT_EQ(arena->recovered().records, model.size());
  check();
}

TEST_P(ArenaRecovery, ARecordOfUnknownCodecIsSkippedAndCounted) {
  const RecordRef ref = put(1, 1000);
  put(2, 1000);
  Slot* slot = reinterpret_cast<Slot*>(memory.base() + kSegmentBytes * 2 + sizeof(SegmentHeader));
  for (uint32_t physical = 0; physical < GetParam().segments + 1; ++physical) {
    slot = reinterpret_cast<Slot*>(reinterpret_cast<std::byte*>(segment_header(physical)) + sizeof(SegmentHeader));
    if (place_codec(slot->place) == Codec::kLz4 && slot->key == key_of(1)) break;
  }
  ASSERT_EQ(slot->key, key_of(1));
  slot->place |= 0xf;
  restart(false);
  EXPECT_EQ(arena->recovered().skipped_unknown, 1u);
  EXPECT_EQ(arena->recovered().records, 1u);
  model.erase(ref);
}

TEST_P(ArenaRecovery, OverlappingRecordsAreToldApartByTheirChecksums) {
  std::vector<RecordRef> refs;
  for (uint64_t tag = 1; tag <= 3; ++tag) refs.push_back(put(tag, 1000));
  Slot* directory = nullptr;
  for (uint32_t physical = 0; directory == nullptr; ++physical) {
    if (segment_header(physical)->slots == 3) directory = reinterpret_cast<Slot*>(segment_header(physical) + 1);
  }
  directory[0].place = make_place(place_offset(directory[1].place) + 8, 1000, Codec::kLz4);
  restart(false);
  EXPECT_EQ(arena->recovered().skipped_torn, 1u);
  EXPECT_EQ(arena->recovered().records, 2u);
  model.erase(refs[0]);
}

// Found by fuzzing: a directory that a flipped bit made longer reached slots of the segment's earlier life, whole with payload.
TEST_P(ArenaRecovery, ALongerDirectoryRaisesNoRecordOfAnEarlierLife) {
  Random random(seed_or(50));
  fill(random, SizeSource::Shift::kSmallOnly);
  // First compacted while most records live, then again when few do: the second copy lies over the first original.
  for (const size_t left : {model.size() * 3 / 4, size_t{40}}) {
    while (model.size() > left) kill(any(random));
    while (arena->compact_step(4096)) {}
  }
  const auto expected = by_key();
  for (uint32_t physical = 0; physical < GetParam().segments + 1; ++physical) {
    if (segment_header(physical)->generation != 0) segment_header(physical)->slots |= 0x100;
  }
  restart(true);
  expect_part_of(expected);  // nothing that is not in the model
  EXPECT_EQ(arena->check_invariants(), nullptr);
  model.clear();
  arena.reset();
}

TEST_P(ArenaRecovery, ADamagedSegmentHeaderLosesThatSegmentOnly) {
  fill_and_churn(47);
  const auto expected = by_key();
  const uint64_t all = model.size();
  for (uint32_t physical = 0;; ++physical) {
    if (segment_header(physical)->generation == 0) continue;
    segment_header(physical)->logical ^= 1;
    break;
  }
  restart(true);
  model.clear();
  EXPECT_EQ(arena->recovered().segments_damaged, 1u);
  EXPECT_EQ(arena->recovered().segments_superseded, 0u);
  EXPECT_EQ(arena->segments(), GetParam().segments);  // it comes back empty
  const uint64_t found = expect_part_of(expected);
  EXPECT_LT(found, all);
  EXPECT_GE(found, all - all / GetParam().segments * 2);
  EXPECT_EQ(arena->check_invariants(), nullptr);
  arena.reset();
}

TEST_P(ArenaRecovery, RefusedMemoryIsSaidAndLosesNothing) {
  fill_and_churn(48);
  arena.reset();
  const std::vector<std::byte> bytes = memory.snapshot();
  memory.restore(bytes);
  memory.blocks_left = 0;
  EXPECT_EQ(Arena::open(memory, false).status(), Status::kNoSpace);
  memory.blocks_left = -1;
  arena = open();
  check();
}

TEST_P(ArenaRecovery, WhatIsCommittedAlreadyIsNotAskedForAgain) {
  fill_and_churn(50);
  arena.reset();
  memory.restore(memory.snapshot());
  memory.commits_left = 0;
  arena = open();
  check();
  memory.commits_left = -1;
}

TEST_P(ArenaRecovery, ASummaryOfAllRecordsIsTheSameWalk) {
  fill_and_churn(51);
  const RecordRef oldest = arena->first();
  arena->kill(oldest);
  model.erase(oldest);
  ASSERT_EQ(arena->reserve(24, 2), Status::kOk);
  const RecordRef described = arena->insert({7, 8}, Codec::kMeta, payload_of(1, 24));
  for (const CodecSet codecs : {CodecSet{0xff}, codec_bit(Codec::kMeta), codec_bit(Codec::kReference)}) {
    std::vector<RecordRef> walked, summarised;
    for (RecordRef ref = arena->first(); !ref.none(); ref = arena->next(ref)) {
      if ((codec_bit(arena->view(ref).codec) & codecs) != 0) walked.push_back(ref);
    }
    std::array<RecordSummary, 7> batch;
    RecordRef at = RecordRef::make(0, 0);
    while (const size_t count = arena->summarise(at, codecs, batch)) {
      for (const RecordSummary& seen : std::span(batch).first(count)) {
        summarised.push_back(seen.record);
        const RecordView view = arena->view(seen.record);
        EXPECT_EQ(seen.key, view.key);
        EXPECT_EQ(seen.codec, view.codec);
        EXPECT_EQ(seen.payload_bytes, view.payload.size());
      }
    }
    EXPECT_EQ(summarised, walked);
    EXPECT_EQ(std::count(summarised.begin(), summarised.end(), described), codecs == codec_bit(Codec::kReference) ? 0 : 1);
  }
  arena->kill(described);
}

TEST_P(ArenaRecovery, ASmallerMemoryThanWasUsedIsRefused) {
  fill_and_churn(49);
  const std::vector<std::byte> bytes = memory.snapshot();
  HeapMemory smaller(GetParam().segments - 1);
  smaller.restore(bytes);
  EXPECT_EQ(Arena::open(smaller, false).status(), Status::kBadArena);
}

}  // namespace
}  // namespace tmem::test
