// SPDX-License-Identifier: MIT
// The table of contents by itself, asked with hashes of the test's choice: an equal hash is no more than a hint.
#include "engine/dedup.h"

#include <gtest/gtest.h>

#include "engine_fixture.h"

namespace tmem::test {
namespace {

struct DedupTable : testing::Test {
  HeapMemory pages{4};
  IndexMemory memory{pages};
  std::unique_ptr<Arena> arena = std::move(Arena::open(pages, false).value());
  Dedup dedup{memory, *arena};
  const ContentHash hash{17, 4};

  void SetUp() override {
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(arena->add_segment());
    ASSERT_TRUE(dedup.open());
  }
  uint32_t add(uint32_t group, const Page& page) {
    EXPECT_EQ(arena->reserve(kPageBytes, 0), Status::kOk);
    return dedup.add(group, hash, page);
  }
  bool reads(uint32_t number, const Page& page) {
    Page got;
    return dedup.read(number, got) && got == page;
  }
};

TEST_F(DedupTable, PagesOfOneHashThatDifferInOneBitAreNotShared) {
  const Page page = noise_of(1);
  const uint32_t first = add(7, page);
  ASSERT_NE(first, kNone);
  for (const size_t byte : {size_t{0}, kPageBytes / 2, kPageBytes - 1}) {
    Page other = page;
    other[byte] ^= std::byte{1};
    EXPECT_EQ(dedup.acquire(7, hash, other), kNone) << byte;
  }
  const Page other = noise_of(2);
  const uint32_t second = add(7, other);
  ASSERT_NE(second, kNone);
  ASSERT_NE(second, first);
  EXPECT_TRUE(reads(first, page));
  EXPECT_TRUE(reads(second, other));
  EXPECT_EQ(dedup.references(), 2u);
}

TEST_F(DedupTable, AnEqualPageIsSharedInItsGroupOnlyAndUnderItsWholeHash) {
  const Page page = noise_of(1);
  const uint32_t first = add(7, page);
  EXPECT_EQ(dedup.acquire(7, hash, page), first);
  EXPECT_EQ(dedup.acquire(8, hash, page), kNone);
  EXPECT_EQ(dedup.acquire(7, {hash.low, hash.high + 1}, page), kNone);
  dedup.drop(first);
  EXPECT_TRUE(reads(first, page)) << "one reference is left";
  dedup.drop(first);
  EXPECT_EQ(dedup.contents(), 0u);
}

TEST_F(DedupTable, ADamagedContentIsNobodysEqual) {
  const Page page = noise_of(1);
  const uint32_t first = add(7, page);
  const std::byte* payload = arena->view(dedup.record_of(first)).payload.data();
  pages.flip(static_cast<size_t>(payload - pages.base()) + 100, 3);
  Page damaged = page;
  damaged[100] ^= std::byte{1 << 3};
  EXPECT_EQ(dedup.acquire(7, hash, page), kNone);
  EXPECT_EQ(dedup.acquire(7, hash, damaged), kNone);
  EXPECT_FALSE(reads(first, page));
}

}  // namespace
}  // namespace tmem::test
