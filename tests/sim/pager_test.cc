// SPDX-License-Identifier: MIT
// The pager over a store that is a map: every byte is compared with a copy in plain memory.
#include "pager.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include "support/page_source.h"

namespace tmem::test {
namespace {

using sim::kPageBytes;

class MapStore final : public sim::PageStore {
 public:
  bool put(uint32_t page, const std::byte* bytes) override {
    pages_.erase(page);
    if (refuse_every != 0 && ++puts_ % refuse_every == 0) return false;
    pages_[page].assign(bytes, bytes + kPageBytes);
    return true;
  }
  bool get(uint32_t page, std::byte* bytes) override {
    const auto found = pages_.find(page);
    if (found == pages_.end()) return false;
    std::memcpy(bytes, found->second.data(), kPageBytes);
    return true;
  }
  uint32_t refuse_every = 0;

 private:
  std::map<uint32_t, std::vector<std::byte>> pages_;
  uint32_t puts_ = 0;
};

struct Geometry {
  uint32_t pages, budget;
};

class PagerTest : public testing::TestWithParam<Geometry> {
 protected:
  void SetUp() override {
    std::string error;
    pager_ = sim::Pager::create(GetParam().pages * kPageBytes, GetParam().budget * kPageBytes, store_,
                                [](uint32_t page) { FAIL() << "lost page " << page; }, error);
    if (!pager_) GTEST_SKIP() << error << ": this kernel or sandbox has no userfaultfd with write protection";
  }
  // Words written and read at random, from several threads on pages of their own.
  void work(uint32_t threads, uint32_t operations) {
    const uint64_t seed = seed_or(20260101);
    SCOPED_TRACE(testing::Message() << "TMEM_SEED=" << seed);
    auto* const words = reinterpret_cast<uint64_t*>(pager_->base());
    constexpr uint32_t kWords = kPageBytes / 8;
    std::vector<uint64_t> mirror(size_t{GetParam().pages} * kWords);
    std::vector<std::thread> pool;
    std::atomic<uint64_t> wrong{0};
    for (uint32_t t = 0; t < threads; ++t)
      pool.emplace_back([&, t] {
        Random random(seed + t);
        for (uint32_t i = 0; i < operations; ++i) {
          const uint32_t page = static_cast<uint32_t>(random() % (GetParam().pages / threads)) * threads + t;
          const size_t at = size_t{page} * kWords + random() % kWords;
          wrong += words[at] != mirror[at];
          if (random() % 2) words[at] = mirror[at] = random();
        }
      });
    for (std::thread& thread : pool) thread.join();
    EXPECT_EQ(wrong, 0u);
    for (size_t i = 0; i < mirror.size(); ++i) ASSERT_EQ(words[i], mirror[i]) << "word " << i;
  }

  MapStore store_;
  std::unique_ptr<sim::Pager> pager_;
};

INSTANTIATE_TEST_SUITE_P(Geometries, PagerTest, testing::Values(Geometry{2000, 400}, Geometry{64, 16}),
                         [](const auto& geometry) { return geometry.param.pages < 100 ? "Cramped" : "Normal"; });

TEST_P(PagerTest, MemoryLargerThanItsBudgetKeepsEveryByte) {
  work(1, 20000);
  EXPECT_GT(pager_->stats().faults_stored, 0u);
  EXPECT_GT(pager_->stats().faults_inactive, 0u);
  EXPECT_LE(pager_->resident_pages(), GetParam().budget);
}

TEST_P(PagerTest, WritersThatMeetAPageOnItsWayOutLoseNothing) { work(4, 5000); }

TEST_P(PagerTest, RefusedPagesStayAndAreRight) {
  store_.refuse_every = 5;
  work(2, 8000);
  EXPECT_GT(pager_->stats().evictions_refused, 0u);
}

TEST_P(PagerTest, APageInUseIsNotEvicted) {
  volatile std::byte* const hot = pager_->base();
  hot[0] = std::byte{1};
  for (uint32_t page = 1; page < GetParam().pages; ++page) {
    pager_->base()[size_t{page} * kPageBytes] = std::byte{2};
    EXPECT_TRUE(hot[0] == std::byte{1});
  }
  EXPECT_EQ(pager_->stats().faults_stored, 0u) << "each time it was found among the inactive pages";
  EXPECT_GT(pager_->stats().evictions, 0u);
}

}  // namespace
}  // namespace tmem::test
