// SPDX-License-Identifier: MIT
#include "store/codec.h"

#include <cstring>
#include <new>

#include <lz4.h>

#include "store/cpu/kernels.h"

namespace tmem {
namespace {

int as_int(size_t value) { return static_cast<int>(value); }

}  // namespace

std::optional<uint64_t> same_filled_word(PageView page) {
  uint64_t word = 0;
  if (!cpu::best().same_filled(page.data(), &word)) return std::nullopt;
  return word;
}

void fill_page(PageBuffer page, uint64_t word) {
  for (size_t at = 0; at < kPageBytes; at += sizeof(word)) std::memcpy(page.data() + at, &word, sizeof(word));
}

struct Compressor::Impl {
  LZ4_stream_t state;
  // No larger than what is kept: LZ4 gives up as soon as a page does not fit, which is most of what such a page costs.
  alignas(64) char packed[kCompressedBytesMax];
};

Compressor::Compressor() : impl_(new (std::nothrow) Impl) {}
Compressor::~Compressor() { delete impl_; }

Compressor::Packed Compressor::compress(PageView page) {
  if (impl_ == nullptr) return {Codec::kRaw, page};
  const int size = LZ4_compress_fast_extState(&impl_->state, reinterpret_cast<const char*>(page.data()), impl_->packed,
                                              as_int(kPageBytes), as_int(kCompressedBytesMax), 1);
  if (size <= 0) return {Codec::kRaw, page};
  return {Codec::kLz4, std::as_bytes(std::span(impl_->packed, static_cast<size_t>(size)))};
}

bool decompress(Codec codec, std::span<const std::byte> payload, PageBuffer page) {
  switch (codec) {
    case Codec::kRaw:
      if (payload.size() != kPageBytes) return false;
      std::memcpy(page.data(), payload.data(), kPageBytes);
      return true;
    case Codec::kLz4:
      return LZ4_decompress_safe(reinterpret_cast<const char*>(payload.data()), reinterpret_cast<char*>(page.data()),
                                 as_int(payload.size()), as_int(kPageBytes)) == as_int(kPageBytes);
    case Codec::kSameFilled: {
      uint64_t word = 0;
      if (payload.size() != sizeof(word)) return false;
      std::memcpy(&word, payload.data(), sizeof(word));
      fill_page(page, word);
      return true;
    }
    default:
      return false;
  }
}

ContentHash content_hash(PageView page, uint64_t seed) {
  ContentHash hash{};
  cpu::best().hash128(page.data(), kPageBytes, seed, &hash.low, &hash.high);
  return hash;
}

}  // namespace tmem
