// SPDX-License-Identifier: MIT
#include "store/arena_fixture.h"

namespace tmem::test {
namespace {

class ArenaReserve : public ArenaFixture {
 protected:
  // A credited page at its worst: content stored raw, the reference to it, and a new object record.
  void put_worst_page(bool object_first) {
    if (object_first) {
      ASSERT_FALSE(put(++next_tag, 48, Codec::kMeta, true).none());
    }
    ASSERT_FALSE(put(++next_tag, 4097, Codec::kContent, true).none());
    ASSERT_FALSE(put(++next_tag, 4, Codec::kReference, true).none());
    if (!object_first) {
      ASSERT_FALSE(put(++next_tag, 48, Codec::kMeta, true).none());
    }
  }
  void spend_and_have_again(uint64_t seed) {
    Random random(seed);
    ASSERT_TRUE(arena->reserve_pages(8, 8));
    fill(random);
    for (int turn = 0; turn < 50; ++turn) {
      for (uint64_t left = 8; left > 0; --left) {
        put_worst_page(turn % 2 == 0);
        ASSERT_TRUE(arena->reserve_pages(left - 1, 8));
      }
      // What an engine does to give credits again: it drops pages until room can be kept.
      for (uint64_t want = 1; want <= 8; ++want) {
        for (int dropped = 0; !arena->reserve_pages(want, 8); ++dropped) {
          ASSERT_LT(dropped, 500);
          kill(any(random));
        }
      }
      ASSERT_EQ(arena->check_invariants(), nullptr);
    }
  }
  void churn(Random& random, size_t ops) {
    SizeSource sizes;
    for (size_t i = 0; i < ops && !model.empty(); ++i) {
      kill(any(random));
      put(++next_tag, sizes.next(random));
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Geometries, ArenaReserve, kGeometries, geometry_name);

TEST_P(ArenaReserve, CreditedPagesFindRoomInAFullArena) {
  const uint64_t pages = GetParam().segments_max > 10 ? 200 : 50;
  for (uint64_t seed = 31; seed < 35; ++seed) {
    Random random(seed_or(seed));
    ASSERT_TRUE(arena->reserve_pages(pages, 8));
    fill(random);
    churn(random, 3000);
    fill(random);
    ASSERT_EQ(arena->check_invariants(), nullptr);
    for (uint64_t left = pages; left > 0; --left) {
      put_worst_page(random() % 2 == 0);
      ASSERT_TRUE(arena->reserve_pages(left - 1, 8));
      ASSERT_EQ(arena->check_invariants(), nullptr);
      if (random() % 4 == 0) churn(random, 5);
    }
    check();
    while (!model.empty()) kill(model.begin()->first);
  }
}

TEST_P(ArenaReserve, CreditsCanBeHadAgainAfterTheyWereSpent) { spend_and_have_again(seed_or(36)); }

// With this seed the last of three segments is reserved on the way, each with a gap of a page or two and full of holes.
TEST_P(ArenaReserve, CreditsCanBeHadAgainOutOfHolesOfTheReserveItself) { spend_and_have_again(31); }

TEST_P(ArenaReserve, WhatCannotBeKeptIsRefusedAndChangesNothing) {
  ASSERT_TRUE(arena->reserve_pages(3, 8));
  EXPECT_FALSE(arena->reserve_pages(1000000, 8));
  EXPECT_EQ(arena->reserved_pages(), 3u);
  EXPECT_FALSE(put(1, 4096).none());
  EXPECT_EQ(arena->check_invariants(), nullptr);
}

TEST_P(ArenaReserve, IsNotTouchedWithoutCredit) {
  ASSERT_TRUE(arena->reserve_pages(10, 8));
  Random random(seed_or(37));
  fill(random);
  EXPECT_EQ(arena->reserve(4096, 2, false), Status::kNoSpace);
  EXPECT_EQ(arena->reserve(4096, 2, true), Status::kOk);
  EXPECT_EQ(arena->reserve(4096, 2, false), Status::kNoSpace);
  EXPECT_TRUE(arena->insert({1, 1}, Codec::kRaw, payload_of(1, 4096)).none());
}

TEST_P(ArenaReserve, ComesBackIntoUseWhenItIsGivenUp) {
  ASSERT_TRUE(arena->reserve_pages(60, 8));
  Random random(seed_or(38));
  fill(random);
  ASSERT_TRUE(arena->reserve_pages(0, 8));
  EXPECT_GT(fill(random), 30u);
}

}  // namespace
}  // namespace tmem::test
