// SPDX-License-Identifier: MIT
// Pages and payload sizes for store tests and benchmarks, from a seed.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <span>
#include <vector>

#include "tmem/types.h"

namespace tmem::test {

using Random = std::mt19937_64;

// TMEM_SEED, or the given one.
inline uint64_t seed_or(uint64_t otherwise) {
  const char* text = std::getenv("TMEM_SEED");
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}
inline uint64_t rounds_or(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

// Sizes of LZ4-compressed pages as measured over 227,636 pages of running programs, in steps of 256 bytes; above 3072 bytes a
// page is kept raw.
class SizeSource {
 public:
  enum class Shift { kAll, kSmallOnly, kBigOnly };  // small: up to 1500 bytes
  uint32_t next(Random& random, Shift shift = Shift::kAll) {
    static constexpr std::array<double, 12> kWeights = {2.9, 4.6, 6.1, 10.5, 12.3, 13.4, 14.1, 11.5, 8.6, 3.6, 4.0, 1.5};
    static constexpr double kRawWeight = 1.5 + 1.0 + 0.5 + 0.1 + 3.7;
    for (;;) {
      double pick = std::uniform_real_distribution<double>(0, 100.0 - 0.1)(random);
      uint32_t size = 4096;
      if (pick >= kRawWeight) {
        pick -= kRawWeight;
        uint32_t bin = 0;
        while (bin + 1 < kWeights.size() && pick >= kWeights[bin]) pick -= kWeights[bin++];
        size = bin * 256 + 1 + static_cast<uint32_t>(random() % 256);
      }
      if (shift == Shift::kSmallOnly && size > 1500) continue;
      if (shift == Shift::kBigOnly && size <= 1500) continue;
      return size;
    }
  }
};

// Bytes that say which record they belong to, so that a wrong one is seen.
inline std::vector<std::byte> payload_of(uint64_t tag, uint32_t size) {
  std::vector<std::byte> bytes(size);
  Random random(tag);
  uint64_t word = 0;
  for (uint32_t i = 0; i < size; ++i) {
    if (i % 8 == 0) word = random();
    bytes[i] = static_cast<std::byte>(word >> (i % 8 * 8));
  }
  return bytes;
}

}  // namespace tmem::test
