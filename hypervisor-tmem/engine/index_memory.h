// SPDX-License-Identifier: MIT
// Ordinary memory for the engine's tables, counted and bounded. Everything the engine holds beside the arena comes from here,
// so that one figure, bytes(), is the index's part of the memory target, and one door can refuse for a test. What grows with
// pages has a share of its own that is less: clients and pools, which are few, find room when it is used up.
//
// Ownership: borrows SegmentMemory for its life. Thread rule: the shard's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "store/segment_memory.h"

namespace tmem {

inline constexpr uint32_t kNone = 0xffffffff;  // no number

class IndexMemory {
 public:
  enum class For { kPages, kFew };

  explicit IndexMemory(SegmentMemory& memory) : memory_(memory) {}
  IndexMemory(const IndexMemory&) = delete;
  IndexMemory& operator=(const IndexMemory&) = delete;

  // nullptr: over the limit, over the pages' share, or refused by the system.
  void* allocate(size_t bytes, For what) {
    if (what == For::kPages && (bytes > share_ || bytes_ > share_ - bytes)) return nullptr;
    if (bytes > limit_ || bytes_ > limit_ - bytes) {
      ++refused_by_limit_;
      return nullptr;
    }
    void* block = memory_.allocate_block(bytes);
    if (block != nullptr) bytes_ += bytes;
    return block;
  }
  void release(void* block, size_t bytes) {
    if (block == nullptr) return;
    memory_.release_block(block, bytes);
    bytes_ -= bytes;
  }

  uint64_t bytes() const { return bytes_; }
  void set_limit(uint64_t bytes, uint64_t share) {
    limit_ = bytes;
    share_ = share;
  }
  uint64_t refused_by_limit() const { return refused_by_limit_; }

 private:
  SegmentMemory& memory_;
  uint64_t bytes_ = 0;
  uint64_t limit_ = std::numeric_limits<uint64_t>::max();
  uint64_t share_ = std::numeric_limits<uint64_t>::max();
  uint64_t refused_by_limit_ = 0;
};

}  // namespace tmem
