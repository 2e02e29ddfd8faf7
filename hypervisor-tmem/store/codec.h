// SPDX-License-Identifier: MIT
// The compressor's whole boundary: look whether a page is one repeated word, compress it, get it back. The CPU's features are
// looked up once at start, so that a generic build still uses AVX2 or AVX-512 where there is one.
#pragma once

#include <optional>
#include <span>

#include "store/arena_format.h"
#include "tmem/types.h"

namespace tmem {

// The 64-bit word that fills the page, if one does.
std::optional<uint64_t> same_filled_word(PageView page);
void fill_page(PageBuffer page, uint64_t word);

// Working memory for one thread, and the place where a compressed page lies until it is stored.
class Compressor {
 public:
  Compressor();
  ~Compressor();
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  struct Packed {
    Codec codec;                        // kLz4, or kRaw when it does not pay
    std::span<const std::byte> payload; // borrows this compressor (kLz4) or the page (kRaw), until the next call
  };
  Packed compress(PageView page);

 private:
  struct Impl;
  Impl* impl_;
};

// False: the payload is not what the codec writes (and the page may be partly written).
bool decompress(Codec codec, std::span<const std::byte> payload, PageBuffer page);

// 128-bit content hash for dedup: equal pages have equal hashes; unequal ones are still compared in full. With a seed that nobody
// knows nobody can choose pages of one hash.
struct ContentHash {
  uint64_t low, high;
  friend constexpr bool operator==(ContentHash, ContentHash) = default;
};
ContentHash content_hash(PageView page, uint64_t seed);

}  // namespace tmem
