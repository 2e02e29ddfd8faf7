// SPDX-License-Identifier: MIT
// Named places where a crash test may end the process. Compiled in always, inert unless the daemon sets the hook before its
// threads start (environment TMEM_FAILPOINT=name[:count]); off, one costs a predictable branch on a word that never changes.
// Nobody else may set it, and no code may depend on what it does.
#pragma once

namespace tmem {

using FailpointHook = void (*)(const char* name);
inline constinit FailpointHook failpoint_hook = nullptr;

inline void failpoint(const char* name) {
  if (failpoint_hook != nullptr) [[unlikely]]
    failpoint_hook(name);
}

}  // namespace tmem
