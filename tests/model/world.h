// SPDX-License-Identifier: MIT
// How large the model's world is, and what its pages hold.
#pragma once

#include <array>
#include <cstring>
#include <random>

#include "tmem/types.h"

namespace tmem::test {

struct World {
  const char* name;
  uint32_t segments;
  uint32_t objects;
  uint32_t indexes;
};
inline constexpr World kNormal{"Normal", 12, 12, 160};
inline constexpr World kCramped{"Cramped", 3, 6, 48};
inline constexpr uint32_t kClients = 4;
inline constexpr uint32_t kPoolIds = 5;
inline constexpr uint32_t kUuids = 3;

using Page = std::array<std::byte, kPageBytes>;

// The tag's low bits say how the page looks: one word, or so many bytes of noise. Few distinct contents, so that dedup hits.
inline Page bytes_of(uint64_t tag) {
  Page page{};
  const uint64_t kind = tag % 8;
  std::mt19937_64 random(tag % 512);
  const uint64_t filled = random();
  for (size_t i = 0; i < kPageBytes; i += 8) {
    const uint64_t word = kind == 0 ? filled : i * 8 < kind * kPageBytes ? random() : tag % 512;
    std::memcpy(page.data() + i, &word, 8);
  }
  return page;
}

}  // namespace tmem::test
