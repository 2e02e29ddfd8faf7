// SPDX-License-Identifier: MIT
#include "store/cpu/kernels.h"

namespace tmem::cpu {
namespace {

constexpr size_t kFamilies = 3;

struct Choice {
  const Kernels* list[kFamilies + 1] = {};  // best first
};

Choice choose() {
  Choice choice;
  size_t found = 0;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) choice.list[found++] = &kAvx512;
  if (__builtin_cpu_supports("avx2")) choice.list[found++] = &kAvx2;
#endif
  choice.list[found] = &kGeneric;
  return choice;
}

const Choice& choice() {
  static const Choice chosen = choose();
  return chosen;
}

}  // namespace

const Kernels& best() { return *choice().list[0]; }
const Kernels* const* runnable() { return choice().list; }

}  // namespace tmem::cpu
