// SPDX-License-Identifier: MIT
// The committed policy against numbers computed by hand from the original's formula. Pages are of 4 KiB, 256 to the MiB.
#include <gtest/gtest.h>

#include "selfballoon/controller.h"

namespace tmem::selfballoon {
namespace {

constexpr uint64_t kMib = 1024;  // KiB

Params committed() {
  Params params;
  params.policy = Policy::kCommitted;
  return params;
}

// 1024 MiB usable and 24 MiB that the balloon counts beyond, 300 MiB committed, 20 MiB of reserves.
Sample sample_of_1g() {
  Sample sample;
  sample.limit_kib = sample.target_kib = sample.current_kib = 1048 * kMib;
  sample.total_kib = 1024 * kMib;
  sample.span_kib = 1048 * kMib;
  sample.committed_kib = 300 * kMib;
  sample.reserve_kib = 20 * kMib;
  return sample;
}

TEST(Committed, DefaultsAreTheOriginals) {
  const Params params;
  EXPECT_EQ(params.selfballoon_interval, 5u);
  EXPECT_EQ(params.selfballoon_downhysteresis, 8u);
  EXPECT_EQ(params.selfballoon_uphysteresis, 1u);
  EXPECT_EQ(params.selfballoon_min_usable_mb, 0u);
  EXPECT_EQ(params.selfballoon_reserved_mb, 0u);
  EXPECT_EQ(params.frontswap_selfshrinking, 1u);
  EXPECT_EQ(params.frontswap_hysteresis, 20u);
  EXPECT_EQ(params.frontswap_inertia, 3u);
}

TEST(Committed, ShrinksByOneEighthOfTheDistance) {
  // goal 320, distance 704, an eighth 88: 1024 - 88 = 936, and 24 of the balloon's own.
  const Decision decision = decide(committed(), {}, sample_of_1g());
  EXPECT_EQ(decision.target_kib, 960 * kMib);
  EXPECT_EQ(decision.reason, Reason::kCommitted);
}

TEST(Committed, GrowsByTheWholeDistance) {
  Sample sample = sample_of_1g();
  sample.total_kib = 400 * kMib;
  sample.target_kib = sample.current_kib = 424 * kMib;
  sample.committed_kib = 600 * kMib;
  EXPECT_EQ(decide(committed(), {}, sample).target_kib, 644 * kMib);  // 600 + 20 + 24
  Params half = committed();
  half.selfballoon_uphysteresis = 2;
  EXPECT_EQ(decide(half, {}, sample).target_kib, 534 * kMib);  // 400 + 220 / 2 + 24
}

TEST(Committed, ReservedMbAndPagesInTmemAreAddedToTheGoal) {
  Sample sample = sample_of_1g();
  sample.in_tmem_kib = 64 * kMib;
  Params params = committed();
  params.selfballoon_reserved_mb = 40;
  EXPECT_EQ(decide(params, {}, sample).target_kib, 973 * kMib);  // goal 300+20+64+40=424, 600/8=75, 1024-75+24
  params.frontswap_selfshrinking = 0;
  EXPECT_EQ(decide(params, {}, sample).target_kib, 965 * kMib);  // goal 360, 664/8=83, 1024-83+24
}

TEST(Committed, FloorFollowsTheFourPieces) {
  const Params params = committed();
  const uint64_t reserve = 2 * 256;
  const auto floor_mib = [&](uint64_t useful_mib) { return committed_floor_pages(params, useful_mib * 256 + reserve, reserve) / 256; };
  EXPECT_EQ(floor_mib(15), 17u);              // too small to balloon: all of it, 15 + 2
  EXPECT_EQ(floor_mib(16), 2u + 16);          // 16 + 0/2
  EXPECT_EQ(floor_mib(40), 2u + 28);          // 16 + 24/2
  EXPECT_EQ(floor_mib(64), 2u + 43);          // 40 + 24/8
  EXPECT_EQ(floor_mib(200), 2u + 60);         // 40 + 160/8
  EXPECT_EQ(floor_mib(512), 2u + 99 + 12);    // 99 + 413/32 = 99 + 12.9
  EXPECT_EQ(floor_mib(1028), 2u + 99 + 29);   // 99 + 929/32 = 99 + 29.03
}

TEST(Committed, FloorWinsOverTheFormula) {
  Params params = committed();
  params.selfballoon_min_usable_mb = 950;
  EXPECT_EQ(committed_floor_pages(params, 1 << 20, 20 * 256), (20u + 950) * 256);
  const Decision decision = decide(params, {}, sample_of_1g());
  EXPECT_EQ(decision.target_kib, 994 * kMib);  // 970 + 24, where the formula alone says 960
  EXPECT_EQ(decision.reason, Reason::kFloor);
}

TEST(Committed, NeverAboveTheToolstacksTarget) {
  Sample sample = sample_of_1g();
  sample.committed_kib = 4096 * kMib;
  EXPECT_EQ(decide(committed(), {}, sample).target_kib, 1048 * kMib);
  sample.limit_kib = 500 * kMib;
  const Decision decision = decide(committed(), {}, sample);
  EXPECT_EQ(decision.target_kib, 500 * kMib);
  EXPECT_EQ(decision.reason, Reason::kLimit);
}

TEST(Committed, DoesNothingBetweenIntervals) {
  Sample sample = sample_of_1g();
  sample.between = true;
  EXPECT_EQ(decide(committed(), {}, sample).target_kib, sample.target_kib);
}

// 4000 pages in tmem, hysteresis 20, inertia 3: two intervals of rest after the one that saw it grow, then a twentieth each.
TEST(Committed, PagesComeBackAfterTheInertia) {
  Sample sample = sample_of_1g();
  sample.in_tmem_kib = 4000 * 4;
  State state;
  std::vector<uint64_t> steps;
  for (int i = 0; i < 6; ++i) {
    const Decision decision = decide(committed(), state, sample);
    state = decision.next;
    steps.push_back(decision.unswap_kib / 4);
    sample.in_tmem_kib -= decision.unswap_kib;
  }
  EXPECT_EQ(steps, (std::vector<uint64_t>{0, 0, 0, 200, 190, 180}));
}

TEST(Committed, GrowthInTmemStartsTheInertiaAgain) {
  Sample sample = sample_of_1g();
  State state;
  for (const auto& [pages, expected] : std::vector<std::pair<uint64_t, uint64_t>>{{100, 0}, {100, 0}, {100, 0}, {100, 5}, {101, 0}, {101, 0}, {101, 0}, {101, 5}, {20, 20}, {0, 0}}) {
    sample.in_tmem_kib = pages * 4;
    const Decision decision = decide(committed(), state, sample);
    state = decision.next;
    EXPECT_EQ(decision.unswap_kib / 4, expected) << pages;
  }
}

}  // namespace
}  // namespace tmem::selfballoon
