// SPDX-License-Identifier: MIT
// The engine's containers by themselves: nodes known by numbers, and the hash table that grows by one bucket at a time.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "engine/block_pool.h"
#include "engine/linear_hash.h"
#include "support/heap_memory.h"
#include "support/page_source.h"

namespace tmem::test {
namespace {

struct Node {
  uint64_t key = 0;
  uint32_t next = kNone;
  bool used = false;
  uint32_t& free_next() { return next; }
};
using Nodes = BlockPool<Node, 2>;  // blocks of four
struct NodeTraits {
  static uint64_t hash(const Node& node) { return mix64(node.key); }
  static uint32_t& next(Node& node) { return node.next; }
};

struct Containers : testing::Test {
  HeapMemory pages{1};
  IndexMemory memory{pages};
  Nodes nodes{memory, 10};
};

TEST_F(Containers, NumbersAreGivenOnceUntilReleasedAndNeverAboveTheMaximum) {
  std::set<uint32_t> seen;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(seen.insert(nodes.allocate()).second);
  EXPECT_EQ(*seen.rbegin(), 9u);
  EXPECT_EQ(nodes.allocate(), kNone);
  nodes.release(4);
  EXPECT_EQ(nodes.allocate(), 4u);
  EXPECT_EQ(nodes.used_count(), 10u);
}

TEST_F(Containers, AReservedNodeIsForWhoReservedIt) {
  ASSERT_TRUE(nodes.reserve(3));
  EXPECT_FALSE(nodes.reserve(8));
  EXPECT_EQ(nodes.reserved(), 3u);
  for (int i = 0; i < 7; ++i) EXPECT_NE(nodes.allocate(), kNone);
  EXPECT_EQ(nodes.allocate(), kNone);
  EXPECT_NE(nodes.allocate(true), kNone);
  nodes.unreserve(1);
  EXPECT_EQ(nodes.free_count(), nodes.reserved());
}

TEST_F(Containers, ARefusedBlockLeavesAllAsItWas) {
  for (int i = 0; i < 4; ++i) EXPECT_NE(nodes.allocate(), kNone);
  pages.blocks_left = 0;
  EXPECT_EQ(nodes.allocate(), kNone);
  EXPECT_FALSE(nodes.reserve(1));
  EXPECT_EQ(nodes.used_count(), 4u);
  EXPECT_EQ(nodes.reserved(), 0u);
  pages.blocks_left = -1;
  EXPECT_EQ(nodes.allocate(), 4u);
}

TEST_F(Containers, WhatRecoveryDidNotClaimIsFree) {
  for (const uint32_t n : {6u, 1u}) {
    ASSERT_TRUE(nodes.claim(n));
    nodes[n].used = true;
  }
  EXPECT_FALSE(nodes.claim(10));
  nodes.link_unclaimed([](const Node& node) { return node.used; });
  EXPECT_EQ(nodes.used_count(), 2u);
  std::set<uint32_t> seen{6, 1};
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(seen.insert(nodes.allocate()).second);
  EXPECT_EQ(nodes.allocate(), kNone);
}

TEST_F(Containers, MemoryIsCountedAndBounded) {
  EXPECT_EQ(memory.bytes(), 0u);
  ASSERT_NE(nodes.allocate(), kNone);
  const uint64_t one = memory.bytes();
  EXPECT_EQ(one, pages.block_bytes());
  memory.set_limit(one, UINT64_MAX);
  for (int i = 1; i < 4; ++i) EXPECT_NE(nodes.allocate(), kNone);
  EXPECT_EQ(nodes.allocate(), kNone);
  EXPECT_EQ(memory.refused_by_limit(), 1u);
  EXPECT_EQ(memory.bytes(), one);
}

TEST_F(Containers, WhatIsFewFindsMemoryBeyondTheShareOfPages) {
  Nodes few{memory, 10, IndexMemory::For::kFew};
  ASSERT_NE(nodes.allocate(), kNone);
  memory.set_limit(UINT64_MAX, memory.bytes());
  for (int i = 1; i < 4; ++i) EXPECT_NE(nodes.allocate(), kNone);
  EXPECT_EQ(nodes.allocate(), kNone);
  EXPECT_EQ(memory.refused_by_limit(), 0u) << "no segment is to be given up for it";
  for (int i = 0; i < 10; ++i) EXPECT_NE(few.allocate(), kNone);
}

struct Hashed : testing::Test {
  HeapMemory pages{1};
  IndexMemory memory{pages};
  BlockPool<Node, 6> nodes{memory, 1u << 20};
  LinearHash<BlockPool<Node, 6>, NodeTraits> hash{memory, nodes};

  void SetUp() override { ASSERT_TRUE(hash.open()); }
  uint32_t find(uint64_t key) const {
    return hash.find(mix64(key), [key](const Node& node) { return node.key == key; });
  }
  uint32_t add(uint64_t key) {
    const uint32_t n = nodes.allocate();
    nodes[n].key = key;
    hash.insert(n);
    return n;
  }
  // Random inserts and removals beside a map.
  void churn(uint64_t seed) {
    SCOPED_TRACE(seed);
    std::map<uint64_t, uint32_t> expected;
    Random random(seed);
    for (int i = 0; i < 20000; ++i) {
      const uint64_t key = random() % 3000;
      const auto at = expected.find(key);
      if (at == expected.end()) {
        expected[key] = add(key);
      } else if (random() % 3 == 0) {
        hash.remove(at->second);
        nodes.release(at->second);
        expected.erase(at);
      }
      ASSERT_EQ(hash.count(), expected.size());
    }
    for (uint64_t key = 0; key < 3000; ++key) {
      const auto at = expected.find(key);
      ASSERT_EQ(find(key), at == expected.end() ? kNone : at->second) << key;
    }
  }
};

TEST_F(Hashed, IsAMap) { churn(seed_or(3)); }

TEST_F(Hashed, IsAMapWhenItsSizeWasToldBefore) {
  for (const uint32_t expected : {1u, 5u, 1000u, 4096u}) {
    LinearHash<BlockPool<Node, 6>, NodeTraits> told(memory, nodes);
    ASSERT_TRUE(told.open());
    told.expect(expected);
    std::vector<uint32_t> numbers;
    for (uint64_t key = 0; key < 3000; ++key) {
      const uint32_t n = nodes.allocate();
      nodes[n].key = key;
      told.insert(n);
      numbers.push_back(n);
    }
    for (uint64_t key = 0; key < 3000; ++key) {
      ASSERT_EQ(told.find(mix64(key), [key](const Node& node) { return node.key == key; }), numbers[key]);
    }
    for (const uint32_t n : numbers) {
      told.remove(n);
      nodes.release(n);
    }
    EXPECT_EQ(told.count(), 0u);
  }
}

TEST_F(Hashed, RefusedHeadsMakeChainsLongerAndLoseNothing) {
  memory.set_limit(memory.bytes() + 200 * 64 * sizeof(Node), UINT64_MAX);
  pages.blocks_left = 60;
  std::vector<uint32_t> numbers;
  for (uint64_t key = 0;; ++key) {
    const uint32_t n = nodes.allocate();
    if (n == kNone) break;
    nodes[n].key = key;
    hash.insert(n);
    numbers.push_back(n);
  }
  ASSERT_GT(numbers.size(), 2000u);
  hash.expect(1u << 20);  // too late, and without effect
  for (uint64_t key = 0; key < numbers.size(); ++key) ASSERT_EQ(find(key), numbers[key]);
}

}  // namespace
}  // namespace tmem::test
