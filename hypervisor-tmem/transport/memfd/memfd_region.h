// SPDX-License-Identifier: MIT
// The memory that a local client shares with the service: all its queues, one after the other, in one memfd. The service
// makes it and seals its size, so that a client cannot shrink it under our feet and turn a load into SIGBUS.
//
// Owns descriptor and mapping; the channels of a client share it. Immutable after it was made: any thread may read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "transport/file_descriptor.h"

namespace tmem {

class MemfdRegion {
 public:
  // Null: no memory, no descriptors, or queues and order out of the ABI's range.
  static std::shared_ptr<MemfdRegion> create(uint32_t queues, uint32_t ring_order);
  // A region that an earlier process made; what lies in it is kept. Null: its size or its seals are not ours.
  static std::shared_ptr<MemfdRegion> adopt(FileDescriptor fd, uint32_t queues, uint32_t ring_order);
  ~MemfdRegion();
  MemfdRegion(const MemfdRegion&) = delete;
  MemfdRegion& operator=(const MemfdRegion&) = delete;

  uint32_t queues() const { return queues_; }
  uint32_t ring_order() const { return ring_order_; }
  void* queue(uint32_t index) const;  // index < queues()
  int fd() const { return fd_.get(); }
  static size_t bytes(uint32_t queues, uint32_t ring_order);

 private:
  MemfdRegion(FileDescriptor fd, std::byte* base, uint32_t queues, uint32_t ring_order);

  const FileDescriptor fd_;
  std::byte* const base_;
  const uint32_t queues_;
  const uint32_t ring_order_;
};

}  // namespace tmem
