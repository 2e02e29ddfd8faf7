// SPDX-License-Identifier: MIT
// An array that grows a block at a time: elements never move, growth costs one block, and a refused block leaves all as it was.
//
// Ownership: owns its blocks, borrows IndexMemory. Elements are zero-initialised bytes of a trivial type.
#pragma once

#include <cstring>
#include <type_traits>

#include "engine/index_memory.h"

namespace tmem {

template <typename T, unsigned kLog2PerBlock>
class BlockArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr uint32_t kPerBlock = uint32_t{1} << kLog2PerBlock;

  explicit BlockArray(IndexMemory& memory, IndexMemory::For what = IndexMemory::For::kPages) : memory_(memory), for_(what) {}
  ~BlockArray() {
    for (uint32_t i = 0; i < blocks_count_; ++i) memory_.release(blocks_[i], sizeof(T) * kPerBlock);
    memory_.release(blocks_, sizeof(T*) * blocks_max_);
  }
  BlockArray(const BlockArray&) = delete;
  BlockArray& operator=(const BlockArray&) = delete;

  T& operator[](uint32_t n) { return blocks_[n >> kLog2PerBlock][n & (kPerBlock - 1)]; }
  const T& operator[](uint32_t n) const { return blocks_[n >> kLog2PerBlock][n & (kPerBlock - 1)]; }
  uint32_t capacity() const { return blocks_count_ << kLog2PerBlock; }

  [[nodiscard]] bool add_block() {
    if (blocks_count_ == blocks_max_ && !widen()) return false;
    void* block = memory_.allocate(sizeof(T) * kPerBlock, for_);
    if (block == nullptr) return false;
    std::memset(block, 0, sizeof(T) * kPerBlock);
    blocks_[blocks_count_++] = static_cast<T*>(block);
    return true;
  }

 private:
  bool widen() {
    const uint32_t wider = blocks_max_ == 0 ? 8 : blocks_max_ * 2;
    void* table = memory_.allocate(sizeof(T*) * wider, for_);
    if (table == nullptr) return false;
    if (blocks_count_ != 0) std::memcpy(table, blocks_, sizeof(T*) * blocks_count_);
    memory_.release(blocks_, sizeof(T*) * blocks_max_);
    blocks_ = static_cast<T**>(table);
    blocks_max_ = wider;
    return true;
  }

  IndexMemory& memory_;
  const IndexMemory::For for_;
  T** blocks_ = nullptr;
  uint32_t blocks_count_ = 0;
  uint32_t blocks_max_ = 0;
};

}  // namespace tmem
