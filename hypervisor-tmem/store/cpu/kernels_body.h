// SPDX-License-Identifier: MIT
// The kernels' source, compiled once per CPU family: the including file says the family by its compiler flags. XXH3 picks its
// vector code by the same.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/cpu/kernels.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace tmem::cpu {
namespace {

constexpr size_t kPage = 4096;

// The caller's code uses legacy SSE, which waits for the wide halves of registers that a kernel left in use. g++ 12 forgets to
// clear them behind XXH3; the wait then costs three times the hash.
inline void leave_wide_registers() {
#if defined(__AVX512F__) || defined(__AVX2__)
  _mm256_zeroupper();
#endif
}

#if defined(__AVX512F__)
bool same_filled_page(const unsigned char* page, uint64_t word) {
  const __m512i want = _mm512_set1_epi64(static_cast<long long>(word));
  for (size_t at = 0; at < kPage; at += 256) {
    __m512i different = _mm512_xor_si512(want, _mm512_loadu_si512(page + at));
    different = _mm512_or_si512(different, _mm512_xor_si512(want, _mm512_loadu_si512(page + at + 64)));
    different = _mm512_or_si512(different, _mm512_xor_si512(want, _mm512_loadu_si512(page + at + 128)));
    different = _mm512_or_si512(different, _mm512_xor_si512(want, _mm512_loadu_si512(page + at + 192)));
    if (_mm512_test_epi64_mask(different, different) != 0) return false;
  }
  return true;
}
#elif defined(__AVX2__)
__m256i load(const unsigned char* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }

bool same_filled_page(const unsigned char* page, uint64_t word) {
  const __m256i want = _mm256_set1_epi64x(static_cast<long long>(word));
  for (size_t at = 0; at < kPage; at += 128) {
    __m256i different = _mm256_xor_si256(want, load(page + at));
    different = _mm256_or_si256(different, _mm256_xor_si256(want, load(page + at + 32)));
    different = _mm256_or_si256(different, _mm256_xor_si256(want, load(page + at + 64)));
    different = _mm256_or_si256(different, _mm256_xor_si256(want, load(page + at + 96)));
    if (!_mm256_testz_si256(different, different)) return false;
  }
  return true;
}
#else
bool same_filled_page(const unsigned char* page, uint64_t word) {
  for (size_t at = 0; at < kPage; at += 64) {
    uint64_t lane[8];
    __builtin_memcpy(lane, page + at, sizeof(lane));
    uint64_t different = 0;
    for (uint64_t value : lane) different |= value ^ word;
    if (different != 0) return false;
  }
  return true;
}
#endif

bool same_filled(const void* page, uint64_t* word) {
  const unsigned char* bytes = static_cast<const unsigned char*>(page);
  uint64_t first, last;
  __builtin_memcpy(&first, bytes, sizeof(first));
  __builtin_memcpy(&last, bytes + kPage - sizeof(last), sizeof(last));
  if (first != last || !same_filled_page(bytes, first)) return false;  // most pages end here, at their two ends
  *word = first;
  return true;
}

uint64_t hash64(const void* bytes, size_t size) {
  const uint64_t hash = XXH3_64bits(bytes, size);
  leave_wide_registers();
  return hash;
}

void hash128(const void* bytes, size_t size, uint64_t seed, uint64_t* low, uint64_t* high) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes, size, seed);
  leave_wide_registers();
  *low = hash.low64;
  *high = hash.high64;
}

}  // namespace
}  // namespace tmem::cpu
