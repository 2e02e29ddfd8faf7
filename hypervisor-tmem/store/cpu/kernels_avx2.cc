// SPDX-License-Identifier: MIT
#include "store/cpu/kernels_body.h"

namespace tmem::cpu {
const Kernels kAvx2 = {"avx2", same_filled, hash64, hash128};
}  // namespace tmem::cpu
