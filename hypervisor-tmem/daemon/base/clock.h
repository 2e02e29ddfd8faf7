// SPDX-License-Identifier: MIT
// The two clocks: one that only goes forward, and the time of day for people.
#pragma once

#include <chrono>
#include <cstdint>

namespace tmem {

inline uint64_t monotonic_ns() {
  return static_cast<uint64_t>(std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}
inline int64_t monotonic_ms() { return static_cast<int64_t>(monotonic_ns() / 1'000'000); }
inline uint64_t monotonic_seconds() { return monotonic_ns() / 1'000'000'000; }

// Since the epoch.
inline uint64_t wall_ms() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
}

}  // namespace tmem
