// SPDX-License-Identifier: MIT
// The load of tmem-load over a front that is made up here: what it counts, and that a page which comes back wrong or not at all
// is found.
#include "load.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <tuple>
#include <vector>

namespace {

enum class Fault { kNone, kOtherBytes, kForgets, kError, kRefuses };

struct MadeUpFront {
  Fault fault = Fault::kNone;
  std::map<std::tuple<uint64_t, uint64_t, uint64_t, uint32_t>, std::vector<char>> pages;
  uint64_t puts = 0, gets = 0, flushes = 0;
} made_up;

auto key_of(const tmem_front_handle& handle) { return std::tuple(handle.object[0], handle.object[1], handle.object[2], handle.index); }

}  // namespace

uint32_t tmem_front_put(tmem_front*, const tmem_front_handle* handle, void* page) {
  ++made_up.puts;
  if (made_up.fault == Fault::kRefuses) return made_up.pages.erase(key_of(*handle)), TMEMIF_NO_SPACE;
  const char* bytes = static_cast<const char*>(page);
  made_up.pages[key_of(*handle)].assign(bytes, bytes + TMEMIF_PAGE_BYTES);
  return TMEMIF_OK;
}

uint32_t tmem_front_get(tmem_front*, const tmem_front_handle* handle, void* page) {
  ++made_up.gets;
  const auto found = made_up.pages.find(key_of(*handle));
  if (found == made_up.pages.end() || made_up.fault == Fault::kForgets) return TMEMIF_MISS;
  if (made_up.fault == Fault::kError) return TMEMIF_CORRUPT;
  std::memcpy(page, found->second.data(), TMEMIF_PAGE_BYTES);
  if (made_up.fault == Fault::kOtherBytes) static_cast<char*>(page)[4095] ^= 1;
  return TMEMIF_OK;
}

uint32_t tmem_front_flush_page(tmem_front*, const tmem_front_handle* handle) {
  ++made_up.flushes;
  made_up.pages.erase(key_of(*handle));
  return TMEMIF_OK;
}

namespace tmem::load {
namespace {

LoadResult load(Fault fault, LoadOptions options) {
  made_up = {};
  made_up.fault = fault;
  options.working_set_pages = 64;
  if (options.operations_max == 0) options.operations_max = 20000;
  static const PageCorpus corpus = PageCorpus::made_of(std::vector<std::byte>(16 * 4096, std::byte{7}));
  return run_load(nullptr, corpus, options);
}

TEST(Load, EveryOperationIsCountedAndEveryPageFoundAgain) {
  LoadOptions options;
  options.verify = true;
  const LoadResult result = load(Fault::kNone, options);
  EXPECT_EQ(result.put.count() + result.get.count() + result.flush.count(), 20000u);
  EXPECT_EQ(result.put.count(), made_up.puts);
  EXPECT_EQ(result.get.count(), made_up.gets);
  EXPECT_EQ(result.flush.count(), made_up.flushes);
  EXPECT_EQ(result.pages_held, made_up.pages.size());
  EXPECT_EQ(result.get_wrong + result.get_lost + result.get_failed + result.put_refused, 0u);
  EXPECT_GT(result.get_hit, 0u);
}

TEST(Load, TheMixIsWhatWasAskedFor) {
  LoadOptions options;
  options.put_weight = 1, options.get_weight = 3, options.flush_weight = 0;
  const LoadResult result = load(Fault::kNone, options);
  EXPECT_EQ(result.flush.count(), 0u);
  EXPECT_NEAR(static_cast<double>(result.get.count()), 15000, 500);
}

TEST(Load, AWrongPageIsFoundWhenItIsLookedAt) {
  LoadOptions options;
  options.verify = true;
  const LoadResult result = load(Fault::kOtherBytes, options);
  EXPECT_GT(result.get_hit, 0u);
  EXPECT_EQ(result.get_wrong, result.get_hit);
  options.verify = false;
  EXPECT_EQ(load(Fault::kOtherBytes, options).get_wrong, 0u);
}

TEST(Load, ALostPageIsAnErrorInAPersistentPoolOnly) {
  LoadOptions options;
  EXPECT_GT(load(Fault::kForgets, options).get_lost, 0u);
  options.persistent = false;
  EXPECT_EQ(load(Fault::kForgets, options).get_lost, 0u);
}

TEST(Load, APageThatCannotBeReadAndARefusedPutAreNoLosses) {
  const LoadResult failed = load(Fault::kError, {});
  EXPECT_GT(failed.get_failed, 0u);
  EXPECT_EQ(failed.get_lost, 0u);
  const LoadResult refused = load(Fault::kRefuses, {});
  EXPECT_EQ(refused.put_refused, refused.put.count());
  EXPECT_EQ(refused.get_lost + refused.pages_held, 0u);
}

TEST(Histogram, PercentilesAreWithinASixteenth) {
  Histogram histogram;
  for (uint64_t ns = 1; ns <= 1000; ++ns) histogram.add(ns * 100);
  EXPECT_EQ(histogram.count(), 1000u);
  EXPECT_EQ(histogram.most(), 100000u);
  EXPECT_NEAR(histogram.percentile(50), 50000, 50000 / 16.0);
  EXPECT_NEAR(histogram.percentile(99), 99000, 99000 / 16.0);
}

}  // namespace
}  // namespace tmem::load
