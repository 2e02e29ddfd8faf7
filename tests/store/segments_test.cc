// SPDX-License-Identifier: MIT
#include "store/arena_fixture.h"

namespace tmem::test {
namespace {

class ArenaSegments : public ArenaFixture {
 protected:
  // Empties a retiring segment as the engine does. False: a record found no room.
  bool move_all(uint32_t segment) {
    for (RecordRef ref = arena->retire_next(segment); !ref.none(); ref = arena->retire_next(segment)) {
      const Expected expected = model[ref];
      if (arena->reserve(expected.size, 2) != Status::kOk) return false;
      model.erase(ref);
      const RecordRef moved = arena->move(ref);
      EXPECT_NE(moved.segment(), segment);
      EXPECT_TRUE(model.emplace(moved, expected).second);
    }
    return true;
  }
};
INSTANTIATE_TEST_SUITE_P(Geometries, ArenaSegments, kGeometries, geometry_name);

TEST_P(ArenaSegments, AreAddedUntilMemoryHasNoMore) {
  uint32_t segments = arena->segments();
  while (arena->add_segment()) ++segments;
  EXPECT_EQ(segments, GetParam().segments_max - 1);  // one is the spare
  EXPECT_EQ(memory.committed_count(), GetParam().segments_max);
}

TEST_P(ArenaSegments, ARefusedCommitAddsNothing) {
  HeapMemory other(4);
  for (int64_t commits : {0, 1}) {
    other.commits_left = commits;
    auto opened = Arena::open(other, false);
    ASSERT_TRUE(opened.ok());
    EXPECT_FALSE(opened.value()->add_segment());
    EXPECT_EQ(opened.value()->arena_bytes(), 0u);
    EXPECT_EQ(other.committed_count(), 0u);
    EXPECT_EQ(opened.value()->check_invariants(), nullptr);
  }
}

TEST_P(ArenaSegments, ARefusedTableAddsNothing) {
  HeapMemory other(4);
  auto opened = Arena::open(other, false);
  ASSERT_TRUE(opened.ok());
  other.blocks_left = 0;
  EXPECT_FALSE(opened.value()->add_segment());
  EXPECT_EQ(other.committed_count(), 0u);
  other.blocks_left = -1;
  EXPECT_TRUE(opened.value()->add_segment());
  EXPECT_EQ(opened.value()->check_invariants(), nullptr);
}

TEST_P(ArenaSegments, TablesGoBackWithTheArena) {
  EXPECT_GT(memory.block_bytes(), 0u);
  arena.reset();
  EXPECT_EQ(memory.block_bytes(), 0u);
}

TEST_P(ArenaSegments, ARetiredSegmentGoesBackToMemoryAndLosesNoRecord) {
  Random random(seed_or(21));
  fill(random);
  for (size_t i = model.size() / 2; i > 0; --i) kill(any(random));
  const uint32_t committed = memory.committed_count();
  const uint64_t free_before = arena->free_bytes();
  const Result<uint32_t> retiring = arena->retire_begin();
  ASSERT_TRUE(retiring.ok());
  ASSERT_TRUE(move_all(retiring.value()));
  EXPECT_EQ(arena->check_invariants(), nullptr);
  arena->retire_end(retiring.value());
  EXPECT_EQ(memory.committed_count(), committed - 1);
  EXPECT_EQ(arena->segments(), GetParam().segments - 1);
  EXPECT_LT(arena->free_bytes(), free_before);
  check();
  EXPECT_TRUE(arena->add_segment());
  fill(random);
}

TEST_P(ArenaSegments, AnEmptySegmentIsRetiredFirst) {
  for (int i = 0; i < 10; ++i) put(++next_tag, 1000);
  const Result<uint32_t> retiring = arena->retire_begin();
  ASSERT_TRUE(retiring.ok());
  EXPECT_TRUE(arena->retire_next(retiring.value()).none());
  arena->retire_end(retiring.value());
  EXPECT_EQ(arena->segments(), GetParam().segments - 1);
}

TEST_P(ArenaSegments, ARetiringSegmentWithARecordIsNotGivenBack) {
  Random random(seed_or(22));
  fill(random);
  const Result<uint32_t> retiring = arena->retire_begin();
  ASSERT_TRUE(retiring.ok());
  arena->retire_end(retiring.value());
  EXPECT_EQ(arena->segments(), GetParam().segments);
  arena->retire_cancel(retiring.value());
}

TEST_P(ArenaSegments, ACancelledRetirementLeavesAllAsItWas) {
  Random random(seed_or(23));
  fill(random);
  for (size_t i = model.size() / 4; i > 0; --i) kill(any(random));
  const uint64_t free_before = arena->free_bytes();
  const Result<uint32_t> retiring = arena->retire_begin();
  ASSERT_TRUE(retiring.ok());
  kill(arena->retire_next(retiring.value()));
  arena->retire_cancel(retiring.value());
  check();
  EXPECT_GT(arena->free_bytes(), free_before);
  EXPECT_GT(fill(random), 0u);
}

TEST_P(ArenaSegments, AllCanBeRetiredAndAddedAgain) {
  put(1, 1000);
  kill(model.begin()->first);
  while (arena->segments() > 0) {
    const Result<uint32_t> retiring = arena->retire_begin();
    ASSERT_TRUE(retiring.ok());
    arena->retire_end(retiring.value());
  }
  EXPECT_EQ(arena->retire_begin().status(), Status::kNoSpace);
  EXPECT_EQ(arena->reserve(8, 2), Status::kNoSpace);
  EXPECT_EQ(memory.committed_count(), 1u);
  ASSERT_TRUE(arena->add_segment());
  EXPECT_FALSE(put(2, 1000).none());
}

}  // namespace
}  // namespace tmem::test
