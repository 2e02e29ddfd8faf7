// SPDX-License-Identifier: MIT
#ifndef __AVX512F__
#error "needs -mavx512f: else this is the generic family under another name"
#endif
#include "store/cpu/kernels_body.h"

namespace tmem::cpu {
const Kernels kAvx512 = {"avx512", same_filled, hash64, hash128};
}  // namespace tmem::cpu
