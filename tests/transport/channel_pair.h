// SPDX-License-Identifier: MIT
// What a transport's tests provide: one queue, connected, with both its ends in one process.
#pragma once

#include <memory>

#include "transport/channel.h"

namespace tmem {

// Both ends of one queue.
class ChannelPair {
 public:
  virtual ~ChannelPair() = default;
  virtual uint32_t ring_order() const = 0;
  virtual void* front_memory() = 0;                     // as the front sees it: a mapping of its own
  virtual void front_rings() = 0;
  virtual bool front_hears(int timeout_ms) = 0;         // waits for the doorbell and takes it away
  virtual std::unique_ptr<Channel> channel() = 0;       // once
  // As a service would that starts after a crash, from the handles that were kept for it. After channel() was destroyed.
  virtual std::unique_ptr<Channel> channel_again() = 0;
};

using PairFactory = std::unique_ptr<ChannelPair> (*)(ClientId client, uint32_t ring_order);

}  // namespace tmem
