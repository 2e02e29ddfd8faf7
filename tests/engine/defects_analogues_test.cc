// SPDX-License-Identifier: MIT
// Defects of the old hypervisor tmem whose like, in this engine, has another shape: guest pointers, offsets, locks, switches,
// the host's heap, save and restore. Numbered as in defects_test.cc.
#include "engine/engine_fixture.h"

#include <algorithm>
#include <functional>

namespace tmem::test {

class OldDefectAnalogue : public EngineTest {};
TMEM_BOTH_GEOMETRIES(OldDefectAnalogue);

// Then: a guest's address was written through. Now: what is kept is a copy, made before the call returns.
TEST_P(OldDefectAnalogue, OldDefect_9_2_2_APageIsCopiedAndItsOwnerMayChangeItAfterwards) {
  const ClientId c = client_with_pool(1, kPersistent);
  Page page = noise_of(1);
  ASSERT_EQ(engine_->put(c, handle_of(0, 1, 1), PageView(page)), Status::kOk);
  page.fill(std::byte{0xff});
  EXPECT_EQ(get(c, handle_of(0, 1, 1), noise_of(1)), Status::kOk);
}

// Then: offset plus length ran over. Now: there are only whole pages, and every number is one of its own up to the last.
TEST_P(OldDefectAnalogue, OldDefect_9_2_3_NumbersAtTheEndOfTheirRangeAreNumbersLikeOthers) {
  const ClientId c = client_with_pool(1, kPersistent);
  const uint32_t indexes[] = {0, 7, 8, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff};
  const uint64_t words[] = {0, ~uint64_t{0}, uint64_t{1} << 63};
  const auto handle = [&](size_t object, size_t index) { return Handle{PoolId(0), ObjectId{{words[object], 0, ~uint64_t{0}}}, PageIndex(indexes[index])}; };
  for (size_t o = 0; o < 3; ++o) {
    for (size_t i = 0; i < 7; ++i) ASSERT_EQ(put(c, handle(o, i), o * 7 + i), Status::kOk);
  }
  restart();
  for (size_t o = 0; o < 3; ++o) {
    for (size_t i = 0; i < 7; ++i) EXPECT_EQ(get(c, handle(o, i), o * 7 + i), Status::kOk) << o << ' ' << i;
  }
}

// Then: an error path kept the lock. Now: a refused put pins nothing: what it looked at can be flushed, evicted and put.
TEST_P(OldDefectAnalogue, OldDefect_9_2_5_ACallThatFailedHoldsNothing) {
  const ClientId c = client_with_pool(1, kPersistent);
  const uint32_t pages = fill(c, 0, 1);
  for (uint32_t i = 0; i < 3; ++i) {
    ASSERT_EQ(put_noise(c, handle_of(0, 1, pages), pages), Status::kNoSpace);  // a present object
    ASSERT_EQ(put_noise(c, handle_of(0, 2, 0), 2), Status::kNoSpace);          // an absent one
    ASSERT_EQ(engine_->flush_object(c, PoolId(0), ObjectId{{2, 0, 0}}), Status::kMiss);
  }
  ASSERT_EQ(engine_->flush_object(c, PoolId(0), ObjectId{{1, 0, 0}}), Status::kOk);
  settle();
  EXPECT_EQ(space(c).objects, 0u);
  EXPECT_EQ(put_noise(c, handle_of(0, 2, 0), 2), Status::kOk);
}

// Then: one case of a switch ran into the next. Now: each op moves its own counter, by one, and no other.
TEST_P(OldDefectAnalogue, OldDefect_9_2_8_EachOpCountsItselfAndNothingElse) {
  const ClientId c = client_with_pool(1, kPersistent);
  const Handle at = handle_of(0, 1, 1);
  const std::pair<std::function<void()>, std::vector<uint64_t OpStats::*>> steps[] = {
      {[&] { static_cast<void>(get(c, at, 1)); }, {&OpStats::get_miss}},
      {[&] { static_cast<void>(put(c, at, 1)); }, {&OpStats::put_stored}},
      {[&] { static_cast<void>(engine_->put(c, at, SameFilled{7})); }, {&OpStats::put_replaced, &OpStats::put_same_filled}},
      {[&] { static_cast<void>(put_noise(c, at, 1)); }, {&OpStats::put_replaced, &OpStats::put_raw}},
      {[&] { static_cast<void>(get(c, at, noise_of(1))); }, {&OpStats::get_hit}},
      {[&] { static_cast<void>(engine_->flush_page(c, at)); }, {&OpStats::flush_page_hit}},
      {[&] { static_cast<void>(engine_->flush_page(c, at)); }, {&OpStats::flush_page_miss}},
      {[&] { static_cast<void>(engine_->flush_object(c, PoolId(0), at.object)); }, {&OpStats::flush_object_miss}},
      {[&] { static_cast<void>(engine_->new_pool(c, PoolId(1), kEphemeral)); }, {}},
      {[&] { static_cast<void>(engine_->destroy_pool(c, PoolId(1))); }, {}},
  };
  for (const auto& [step, moved] : steps) {
    OpStats expected = ops(c);
    step();
    for (const auto counter : moved) ++(expected.*counter);
    const OpStats now = ops(c);
    EXPECT_EQ(std::memcmp(&now, &expected, sizeof now), 0) << "step " << &step - &steps[0].first;
  }
}

// Then: an object was freed, and its lock released after it. Now: its last page takes it along, once.
TEST_P(OldDefectAnalogue, OldDefect_9_2_9_AnObjectThatLostItsLastPageIsGoneOnce) {
  const ClientId c = client_with_pool(1, kEphemeral);
  for (uint32_t round = 0; round < 20; ++round) {
    ASSERT_EQ(put(c, handle_of(0, 1, 1), round), Status::kOk);
    ASSERT_EQ(space(c).objects, 1u);
    const bool hit = round % 2 == 0;  // exclusive
    ASSERT_EQ(hit ? get(c, handle_of(0, 1, 1), round) : engine_->flush_page(c, handle_of(0, 1, 1)), Status::kOk);
    EXPECT_EQ(engine_->flush_object(c, PoolId(0), ObjectId{{1, 0, 0}}), Status::kMiss);
    EXPECT_EQ(space(c).objects, 0u);
  }
}

// Then: guests emptied the host's heap. Now: whatever is asked, arena and index stay within what they were given.
TEST_P(OldDefectAnalogue, OldDefect_9_2_15_NoRequestTakesMemoryBeyondTheTarget) {
  const ClientId e = client_with_pool(1, kEphemeral), p = client_with_pool(2, kPersistent);
  for (uint32_t i = 0; i < 4000; ++i) {
    static_cast<void>(i % 3 == 0 ? put_noise(p, handle_of(0, i, i * 8), i) : put(e, handle_of(0, i, i * 8), i));  // an object and an extent each
    if (i % 16 == 0) engine_->grant_credits(p, kCreditsPerQueueMax);
    if (i % 8 == 0) static_cast<void>(engine_->new_pool(e, PoolId(i / 8), kEphemeral));
    const EngineStats stats = engine_->stats();
    ASSERT_LE(stats.memory_bytes, stats.memory_bytes_target) << i;
  }
}

// Then: saving skipped the first page of each pool, and took the list's head for one where there was one only.
TEST_P(OldDefectAnalogue, OldDefect_9_3_5_RecoveryFindsTheFirstPageOfEachPoolAndTheOnlyOne) {
  const ClientId c = client(1);
  for (uint32_t pool = 0; pool < 5; ++pool) {
    ASSERT_EQ(engine_->new_pool(c, PoolId(pool), kPersistent), Status::kOk);
    for (uint32_t i = 0; i < pool; ++i) ASSERT_EQ(put(c, handle_of(pool, 1, i), 10 * pool + i), Status::kOk);
  }
  restart();
  EXPECT_EQ(space(c).pages_persistent, 0u + 1 + 2 + 3 + 4);
  for (uint32_t pool = 0; pool < 5; ++pool) {
    for (uint32_t i = 0; i < pool; ++i) EXPECT_EQ(get(c, handle_of(pool, 1, i), 10 * pool + i), Status::kOk) << pool << ' ' << i;
  }
}

// Then: a second migration walked the list that the first had freed.
TEST_P(OldDefectAnalogue, OldDefect_9_3_6_ASecondRestartFindsWhatTheFirstFound) {
  const ClientId c = client_with_pool(1, kPersistent);
  for (uint32_t i = 0; i < 40; ++i) ASSERT_EQ(put(c, handle_of(0, i % 4, i), i), Status::kOk);
  for (uint32_t round = 0; round < 3; ++round) {
    ASSERT_EQ(engine_->flush_page(c, handle_of(0, round % 4, round)), Status::kOk);
    restart();
    for (uint32_t i = 0; i < 40; ++i) ASSERT_EQ(get(c, handle_of(0, i % 4, i), i), i <= round ? Status::kMiss : Status::kOk) << i;
  }
}

// Then: a dup put during restore stored another page than it was given.
TEST_P(OldDefectAnalogue, OldDefect_9_3_11_ADupPutOfARecoveredPageStoresWhatItWasGiven) {
  const ClientId c = client_with_pool(1, kPersistent);
  for (uint32_t i = 0; i < 3; ++i) ASSERT_EQ(put(c, handle_of(0, 1, i), i), Status::kOk);
  restart();
  EXPECT_EQ(put_noise(c, handle_of(0, 1, 0), 50), Status::kOk);
  EXPECT_EQ(engine_->put(c, handle_of(0, 1, 1), SameFilled{0}), Status::kOk);
  restart();
  EXPECT_EQ(get(c, handle_of(0, 1, 0), noise_of(50)), Status::kOk);
  EXPECT_EQ(get(c, handle_of(0, 1, 1), Page{}), Status::kOk);
  EXPECT_EQ(get(c, handle_of(0, 1, 2), 2), Status::kOk);
}

// Then: after a page that was skipped the reader of the stream no longer knew where it was.
TEST_P(OldDefectAnalogue, OldDefect_9_3_14_ADamagedPageHidesNoneBehindIt) {
  const ClientId c = client_with_pool(1, kPersistent);
  for (uint32_t i = 0; i < 30; ++i) ASSERT_EQ(put_noise(c, handle_of(0, 1, i), i), Status::kOk);
  for (const uint32_t hurt : {0u, 13u, 29u}) {
    const Page page = noise_of(hurt);
    const std::vector<std::byte> bytes = memory_.snapshot();
    const auto found = std::search(bytes.begin(), bytes.end(), page.begin() + 100, page.begin() + 132);
    ASSERT_NE(found, bytes.end());
    memory_.flip(static_cast<size_t>(found - bytes.begin()), 3);
  }
  restart();
  for (uint32_t i = 0; i < 30; ++i)
    EXPECT_EQ(get(c, handle_of(0, 1, i), noise_of(i)), i == 0 || i == 13 || i == 29 ? Status::kCorrupt : Status::kOk) << i;
}

// Then: a client made while its domain was dying had none. Now: one under a number that is still being taken apart is whole.
TEST_P(OldDefectAnalogue, OldDefect_9_3_16_AClientMayComeWhileTheOneBeforeItIsTakenApart) {
  const ClientId c = client_with_pool(1, kPersistent);
  for (uint32_t i = 0; i < 4 * kTeardownPagesPerStep; ++i) ASSERT_EQ(engine_->put(c, handle_of(0, i % 9, i), SameFilled{i}), Status::kOk);
  ASSERT_EQ(engine_->detach(c), Status::kOk);
  ASSERT_TRUE(engine_->step());
  ASSERT_EQ(client_with_pool(1, kPersistent), c);
  ASSERT_EQ(put(c, handle_of(0, 1, 1), 5), Status::kOk);
  EXPECT_EQ(space(c).pages_persistent, 1u);
  ASSERT_GT(engine_->stats().teardown_pages, 0u);
  settle();
  EXPECT_EQ(get(c, handle_of(0, 1, 1), 5), Status::kOk);
  EXPECT_EQ(get(c, handle_of(0, 2, 2), 2), Status::kMiss);
}

}  // namespace tmem::test
