// SPDX-License-Identifier: MIT
// One queue of a local client: a piece of a MemfdRegion and two doorbells.
//
// A hostile client must not be able to make us wait. O_NONBLOCK is no help on a descriptor that both sides hold: the flag
// belongs to the open file, and the client may clear it. So requests are announced by an eventfd that we read with
// RWF_NOWAIT, and responses over a socket pair of which we keep one end and send with MSG_DONTWAIT: both hold for one call.
//
// A channel can be made anew from the same region and doorbells by a later process: nothing of its state is here.
#pragma once

#include "transport/channel.h"
#include "transport/memfd/memfd_region.h"

namespace tmem {

// The service's ends of one queue's doorbells.
struct MemfdDoorbells {
  FileDescriptor requests;   // eventfd: the client writes, we wait
  FileDescriptor responses;  // socket: we send eight bytes, the client waits at the other end
};

class MemfdChannel final : public Channel {
 public:
  // queue < region->queues()
  MemfdChannel(ClientId client, std::shared_ptr<MemfdRegion> region, uint32_t queue, MemfdDoorbells doorbells);

  void notify() override;
  int wait_fd() const override { return doorbells_.requests.get(); }
  void acknowledge() override;

 private:
  const std::shared_ptr<MemfdRegion> region_;
  const MemfdDoorbells doorbells_;
};

}  // namespace tmem
