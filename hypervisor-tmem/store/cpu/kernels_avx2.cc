// SPDX-License-Identifier: MIT
#ifndef __AVX2__
#error "needs -mavx2: else this is the generic family under another name"
#endif
#include "store/cpu/kernels_body.h"

namespace tmem::cpu {
const Kernels kAvx2 = {"avx2", same_filled, hash64, hash128};
}  // namespace tmem::cpu
