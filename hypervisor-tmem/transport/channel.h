// SPDX-License-Identifier: MIT
// What a transport gives: one client's queue on one shard, as ring bytes, slot bytes, a doorbell and a wait handle. No op
// codes here: the backend (backend.h) reads those. memfd/ and xen/ implement it and pass the same typed tests.
//
// A channel belongs to the thread of its shard from the moment it is handed over until it is closed.
// The peer is hostile: everything in ring and slots may change at any time.
#pragma once

#include <cstdint>

#include "tmem/tmem_ring.h"
#include "tmem/types.h"

namespace tmem {

class Channel {
 public:
  virtual ~Channel() = default;
  ClientId client() const { return client_; }

  void* queue_memory() const { return queue_memory_; }  // TMEMIF_QUEUE_PAGES(ring_order()) pages, mapped for life
  uint32_t ring_order() const { return ring_order_; }   // private copy; the peer cannot change it

  // Rings the front's doorbell. Never blocks.
  virtual void notify() = 0;
  // Readable when the front rang; registered once with the shard's epoll.
  virtual int wait_fd() const = 0;
  // Takes the doorbell's event away, so that wait_fd() is quiet until the next ring.
  virtual void acknowledge() = 0;

 protected:
  Channel(ClientId client, void* queue_memory, uint32_t ring_order)
      : client_(client), queue_memory_(queue_memory), ring_order_(ring_order) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

 private:
  ClientId client_;
  void* queue_memory_;
  uint32_t ring_order_;
};

}  // namespace tmem
