// SPDX-License-Identifier: MIT
// The load itself: threads that put, get and flush pages of a working set, each in a share of the handles of its own, and
// measure every operation. Each thread knows which page it stored last under a handle, so that each get can be checked.
//
// Borrows the front and the pages. Thread rule: run_load() starts and joins its threads.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "capture.h"
#include "tmem_front.h"

namespace tmem::load {

struct LoadOptions {
  uint32_t pool = 0;
  bool persistent = true;
  uint32_t threads = 1;
  uint32_t working_set_pages = 1 << 14;
  uint32_t put_weight = 50, get_weight = 45, flush_weight = 5;
  uint64_t operations_max = 0;  // of all threads; 0: no bound
  double seconds_max = 0;       // 0: no bound
  bool verify = false;
  uint64_t seed = 1;
};

// Latencies in nanoseconds, in buckets of 1/16 of a power of two: within 6 % of the truth over the whole range.
class Histogram {
 public:
  void add(uint64_t ns);
  void add(const Histogram& other);
  uint64_t count() const { return count_; }
  double percentile(double p) const;  // 0 to 100; 0 without any
  uint64_t most() const { return most_; }

 private:
  static constexpr uint32_t kSub = 16;
  std::array<uint64_t, 64 * kSub> bucket_{};
  uint64_t count_ = 0, most_ = 0;
};

struct LoadResult {
  Histogram put, get, flush;
  uint64_t put_stored = 0, put_refused = 0;
  uint64_t get_hit = 0, get_miss = 0, get_failed = 0;
  uint64_t get_lost = 0;   // a persistent page that was stored, missed: must be zero
  uint64_t get_wrong = 0;  // --verify: other bytes than were stored: must be zero
  uint64_t pages_held = 0; // at the end, as the threads know it (ephemeral ones may be gone)
  double seconds = 0;
};

LoadResult run_load(tmem_front* front, const PageCorpus& pages, const LoadOptions& options);

}  // namespace tmem::load
