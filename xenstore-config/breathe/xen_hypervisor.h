// SPDX-License-Identifier: MIT
// The host's Xen, through libxenlight: what `xl info`, `xl list` and `xl mem-set` would say and do.
#pragma once

#include <memory>

#include "breathe/breather.h"

namespace tmem::breathe {

// Throws HostError where this is not dom0.
std::unique_ptr<Hypervisor> open_hypervisor();

}  // namespace tmem::breathe
