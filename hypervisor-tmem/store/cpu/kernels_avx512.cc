// SPDX-License-Identifier: MIT
#include "store/cpu/kernels_body.h"

namespace tmem::cpu {
const Kernels kAvx512 = {"avx512", same_filled, hash64, hash128};
}  // namespace tmem::cpu
