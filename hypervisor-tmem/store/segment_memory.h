// SPDX-License-Identifier: MIT
// Where an arena's bytes come from: the one door between the store and the operating system. The daemon opens it with a
// memfd, tests with plain memory that can refuse.
//
// The range is address space for the maximum; only committed segments may be touched. base() starts with one segment-sized
// header area (ArenaHeader, committed always), then segment i lies at base() + (i + 1) * kSegmentBytes.
//
// Thread rule: the shard's thread. The bytes outlive the process when the daemon crashes: that is what recover() reads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tmem {

class SegmentMemory {
 public:
  virtual ~SegmentMemory() = default;
  virtual std::byte* base() = 0;
  virtual uint32_t segments_max() const = 0;
  // Makes a segment usable. False: the system has no memory for it now. Its bytes may be anything.
  virtual bool commit(uint32_t segment) = 0;
  // Gives a segment's memory back to the system. It holds no live record.
  virtual void decommit(uint32_t segment) = 0;
};

}  // namespace tmem
