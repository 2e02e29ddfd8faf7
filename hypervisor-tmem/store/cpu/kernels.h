// SPDX-License-Identifier: MIT
// The three loops that gain from wide registers, once for each CPU family, chosen once at start: a package built for the
// oldest CPU of its distribution still uses AVX2 or AVX-512 where there is one.
//
// Rule for the files that include kernels_body.h: no C++ library. An inline function of it compiled there with wide
// instructions could be the copy that the linker keeps for everybody.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace tmem::cpu {

struct Kernels {
  const char* name;
  // Whether 4096 bytes are one repeated 64-bit word; then *word is it.
  bool (*same_filled)(const void* page, uint64_t* word);
  uint64_t (*hash64)(const void* bytes, size_t size);
  void (*hash128)(const void* bytes, size_t size, uint64_t seed, uint64_t* low, uint64_t* high);
};

extern const Kernels kGeneric;
extern const Kernels kAvx2;    // x86-64 only
extern const Kernels kAvx512;  // x86-64 only

// The best of this CPU; and all it can run, for tests that compare them. The list ends with nullptr.
const Kernels& best();
const Kernels* const* runnable();

}  // namespace tmem::cpu
