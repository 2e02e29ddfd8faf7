// SPDX-License-Identifier: MIT
#include "transport/memfd/memfd_channel.h"

#include <sys/socket.h>
#include <sys/uio.h>

namespace tmem {

MemfdChannel::MemfdChannel(ClientId client, std::shared_ptr<MemfdRegion> region, uint32_t queue, MemfdDoorbells doorbells)
    : Channel(client, region->queue(queue), region->ring_order()),
      region_(std::move(region)), doorbells_(std::move(doorbells)) {}

void MemfdChannel::notify() {
  const uint64_t one = 1;
  // A full socket is a doorbell that was not heard yet; a closed one belongs to a client that is gone. Neither concerns us.
  (void)!::send(doorbells_.responses.get(), &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void MemfdChannel::acknowledge() {
  uint64_t rings;
  const iovec buffer{&rings, sizeof(rings)};
  (void)!::preadv2(doorbells_.requests.get(), &buffer, 1, -1, RWF_NOWAIT);
}

}  // namespace tmem
