// SPDX-License-Identifier: MIT
#include "engine/keyed_hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "engine/nodes.h"

namespace tmem {
namespace {

class KeyedHash : public testing::Test {
 protected:
  void TearDown() override { set_engine_hash_key({}); }
};

TEST_F(KeyedHash, AnotherKeyIsAnotherHash) {
  const auto unkeyed = keyed_hash<2>({1, 2});
  set_engine_hash_key({0x0706050403020100, 0x0f0e0d0c0b0a0908});
  EXPECT_NE(keyed_hash<2>({1, 2}), unkeyed);
  EXPECT_NE(keyed_hash<2>({1, 2}), keyed_hash<2>({2, 1}));
  EXPECT_NE(keyed_hash<1>({0}), keyed_hash<2>({0, 0}));
}

TEST_F(KeyedHash, ObjectsThatAnInvertibleMixWouldPutIntoOneChainAreSpread) {
  set_engine_hash_key({123, 456});
  constexpr uint64_t kObjects = 4096, kBuckets = 1024;
  std::vector<unsigned> bucket(kBuckets);
  for (uint64_t i = 0; i < kObjects; ++i) {
    const ObjectId id{{mix64(i + mix64(7)), i, 0}};
    ++bucket[hash_object(7, id) % kBuckets];
  }
  EXPECT_LT(*std::max_element(bucket.begin(), bucket.end()), 24u) << "4 are expected, and 24 by chance less than once in 10^9";
}

}  // namespace
}  // namespace tmem
