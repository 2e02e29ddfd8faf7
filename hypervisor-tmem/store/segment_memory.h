// SPDX-License-Identifier: MIT
// Where bytes come from: the one door between store and engine and the operating system. The daemon opens it with a memfd,
// tests with plain memory that can refuse, be cut and be flipped.
//
// The range is address space for the maximum; only committed segments may be touched. base() starts with one segment-sized
// header area (ArenaHeader, committed always), then segment i lies at base() + (i + 1) * kSegmentBytes. What was never
// written reads as zeros.
//
// Thread rule: the shard's thread. The bytes outlive the process when the daemon crashes: that is what recovery reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace tmem {

class SegmentMemory {
 public:
  virtual ~SegmentMemory() = default;
  virtual std::byte* base() = 0;
  virtual uint32_t segments_max() const = 0;
  // Which shard's memory this is, of how many. An arena written for another is not taken up.
  virtual uint32_t shard() const { return 0; }
  virtual uint32_t shards() const { return 1; }
  // Makes a segment usable. False: the system has no memory for it now. Its bytes may be anything; those of a segment that
  // is committed already stay as they are.
  virtual bool commit(uint32_t segment) = 0;
  // An arena that is taken up found a segment committed, by the process before this one. No answer: nothing is asked for.
  virtual void found_committed(uint32_t /*segment*/) {}
  // Gives a segment's memory back to the system. It holds no live record.
  virtual void decommit(uint32_t segment) = 0;

  // Tables beside the arena (index, segment table), in ordinary memory, a block at a time. nullptr: refused. A block is
  // aligned to a cache line and returned with the size it was asked for.
  virtual void* allocate_block(size_t bytes) { return ::operator new(bytes, std::align_val_t{64}, std::nothrow); }
  virtual void release_block(void* block, size_t /*bytes*/) { ::operator delete(block, std::align_val_t{64}); }
};

}  // namespace tmem
