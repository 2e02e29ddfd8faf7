// SPDX-License-Identifier: MIT
// Hash of words that guests choose: SipHash-1-3 (Aumasson and Bernstein, 2012) under a key that nobody else knows, so that no
// guest can choose handles which fall into one chain. The key is the process's: set once, before the first engine is made,
// and never stored, because the index is built anew from the arena.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace tmem {

inline std::array<uint64_t, 2> engine_hash_key{};

template <size_t N>
uint64_t keyed_hash(const std::array<uint64_t, N>& words) {
  uint64_t v0 = engine_hash_key[0] ^ 0x736f6d6570736575, v1 = engine_hash_key[1] ^ 0x646f72616e646f6d;
  uint64_t v2 = engine_hash_key[0] ^ 0x6c7967656e657261, v3 = engine_hash_key[1] ^ 0x7465646279746573;
  const auto round = [&] {
    v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
    v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
  };
  for (const uint64_t word : words) {
    v3 ^= word;
    round();
    v0 ^= word;
  }
  constexpr uint64_t kLength = uint64_t{N * 8} << 56;
  v3 ^= kLength;
  round();
  v0 ^= kLength;
  v2 ^= 0xff;
  for (int i = 0; i < 3; ++i) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace tmem
