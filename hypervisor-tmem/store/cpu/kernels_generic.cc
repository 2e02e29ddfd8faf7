// SPDX-License-Identifier: MIT
#include "store/cpu/kernels_body.h"

namespace tmem::cpu {
const Kernels kGeneric = {"generic", same_filled, hash64, hash128};
}  // namespace tmem::cpu
