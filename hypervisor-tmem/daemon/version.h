// SPDX-License-Identifier: MIT
// The version of the software, as CMake has it.
#pragma once

namespace tmem {
inline constexpr const char* kVersion = TMEM_VERSION;
}
