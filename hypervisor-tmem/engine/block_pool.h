// SPDX-License-Identifier: MIT
// Nodes known by small numbers, with stable addresses. A free node is linked by its first free word, T::free_next(). Some can
// be kept back: what a credit promises is there when the credit is spent.
//
// Invariant: free_count() >= reserved(). Growth by blocks; a refusal leaves all as it was.
#pragma once

#include "engine/block_array.h"

namespace tmem {

template <typename T, unsigned kLog2PerBlock>
class BlockPool {
 public:
  BlockPool(IndexMemory& memory, uint32_t count_max, IndexMemory::For what = IndexMemory::For::kPages)
      : nodes_(memory, what), count_max_(count_max) {}

  T& operator[](uint32_t n) { return nodes_[n]; }
  const T& operator[](uint32_t n) const { return nodes_[n]; }

  // kNone: refused. reserved: the node comes out of what reserve() kept; the caller gives that up with unreserve().
  uint32_t allocate(bool reserved = false) {
    if (free_count() <= (reserved ? 0 : reserved_) && !grow()) return kNone;
    uint32_t n = free_head_;
    if (n != kNone) {
      free_head_ = nodes_[n].free_next();
      --free_linked_;
    } else {
      n = top_++;
    }
    nodes_[n] = T{};
    return n;
  }
  void release(uint32_t n) {
    nodes_[n].free_next() = free_head_;
    free_head_ = n;
    ++free_linked_;
  }

  // Recovery: takes a given number. All claims come before the first allocate(), and end with link_unclaimed().
  bool claim(uint32_t n) {
    if (n >= count_max_) return false;
    while (n >= nodes_.capacity()) {
      if (!nodes_.add_block()) return false;
    }
    if (n >= top_) top_ = n + 1;
    nodes_[n] = T{};
    return true;
  }
  template <typename IsClaimed>
  void link_unclaimed(IsClaimed&& is_claimed) {
    for (uint32_t n = 0; n < top_; ++n) {
      if (!is_claimed(nodes_[n])) release(n);
    }
  }

  [[nodiscard]] bool reserve(uint32_t count) {
    while (free_count() < reserved_ + count) {
      if (!grow()) return false;
    }
    reserved_ += count;
    return true;
  }
  void unreserve(uint32_t count) { reserved_ -= count; }

  uint32_t reserved() const { return reserved_; }
  uint32_t free_count() const { return free_linked_ + (limit() - top_); }
  uint32_t used_count() const { return top_ - free_linked_; }
  uint32_t top() const { return top_; }  // every node in use has a smaller number

 private:
  uint32_t limit() const { return nodes_.capacity() < count_max_ ? nodes_.capacity() : count_max_; }
  bool grow() { return nodes_.capacity() < count_max_ && nodes_.add_block(); }

  BlockArray<T, kLog2PerBlock> nodes_;
  const uint32_t count_max_;
  uint32_t top_ = 0;
  uint32_t free_head_ = kNone;
  uint32_t free_linked_ = 0;
  uint32_t reserved_ = 0;
};

}  // namespace tmem
