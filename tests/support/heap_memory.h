// SPDX-License-Identifier: MIT
// SegmentMemory for tests: plain anonymous memory that can refuse, and whose bytes can be saved, brought back, cut and flipped
// as a crash or bad memory would. It counts what it is asked, and checks that only committed segments are given back.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "store/arena_format.h"
#include "store/segment_memory.h"

namespace tmem::test {

class HeapMemory : public SegmentMemory {
 public:
  enum class Kind { kPrivate, kShared };  // shared: a forked process writes to the same bytes
  explicit HeapMemory(uint32_t segments_max, Kind kind = Kind::kPrivate)
      : kind_(kind), segments_max_(segments_max), committed_(segments_max, false) {
    const int flags = (kind == Kind::kShared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_NORESERVE;
    void* mapped = mmap(nullptr, bytes_max(), PROT_READ | PROT_WRITE, flags, -1, 0);
    if (mapped == MAP_FAILED) std::abort();
    base_ = static_cast<std::byte*>(mapped);
  }
  ~HeapMemory() override { munmap(base_, bytes_max()); }
  HeapMemory(const HeapMemory&) = delete;
  HeapMemory& operator=(const HeapMemory&) = delete;

  std::byte* base() override { return base_; }
  uint32_t segments_max() const override { return segments_max_; }
  bool commit(uint32_t segment) override {
    if (segment >= segments_max_) std::abort();
    if (committed_[segment]) return true;
    if (commits_left == 0) return false;
    if (commits_left > 0) --commits_left;
    committed_[segment] = true;
    ++committed_count_;
    return true;
  }
  void found_committed(uint32_t segment) override {
    if (segment >= segments_max_) std::abort();
    if (!committed_[segment]) ++committed_count_;
    committed_[segment] = true;
  }
  void decommit(uint32_t segment) override {
    if (segment >= segments_max_ || !committed_[segment]) std::abort();
    committed_[segment] = false;
    --committed_count_;
    discard((size_t{segment} + 1) * kSegmentBytes, kSegmentBytes);
  }
  void* allocate_block(size_t bytes) override {
    if (blocks_left == 0) return nullptr;
    if (blocks_left > 0) --blocks_left;
    block_bytes_ += bytes;
    return SegmentMemory::allocate_block(bytes);
  }
  void release_block(void* block, size_t bytes) override {
    block_bytes_ -= bytes;
    SegmentMemory::release_block(block, bytes);
  }

  // So many more calls succeed, then they are refused; negative: no limit.
  int64_t commits_left = -1;
  int64_t blocks_left = -1;

  uint32_t committed_count() const { return committed_count_; }
  size_t block_bytes() const { return block_bytes_; }
  // Bytes in use: header area and everything up to the last committed segment.
  size_t bytes_used() const {
    uint32_t end = segments_max_;
    while (end > 0 && !committed_[end - 1]) --end;
    return (size_t{end} + 1) * kSegmentBytes;
  }
  std::vector<std::byte> snapshot() const { return {base_, base_ + bytes_used()}; }
  // What a new process finds: these bytes, and zeros behind them. Which segments are committed follows from their bytes.
  void restore(const std::vector<std::byte>& bytes) {
    discard(0, bytes_max());
    if (!bytes.empty()) std::memcpy(base_, bytes.data(), bytes.size() < bytes_max() ? bytes.size() : bytes_max());
    committed_.assign(segments_max_, false);
    committed_count_ = 0;
  }
  void flip(size_t byte, unsigned bit) { base_[byte] ^= std::byte{static_cast<uint8_t>(1u << (bit % 8))}; }

 private:
  size_t bytes_max() const { return (size_t{segments_max_} + 1) * kSegmentBytes; }

  void discard(size_t at, size_t bytes) { madvise(base_ + at, bytes, kind_ == Kind::kShared ? MADV_REMOVE : MADV_DONTNEED); }

  std::byte* base_ = nullptr;
  Kind kind_;
  uint32_t segments_max_;
  std::vector<bool> committed_;
  uint32_t committed_count_ = 0;
  size_t block_bytes_ = 0;
};

}  // namespace tmem::test
