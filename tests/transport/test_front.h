// SPDX-License-Identifier: MIT
// A front in its simplest form, and a channel that is nothing but memory. For tests that look at single requests; the real
// front is guest-shim/core.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "tmem/tmem_ring.h"
#include "transport/channel.h"

namespace tmem {

struct alignas(TMEMIF_PAGE_BYTES) QueuePage {
  std::byte bytes[TMEMIF_PAGE_BYTES];
};

class TestFront {
 public:
  TestFront(void* queue, uint32_t order) : queue_(queue), order_(order) {
    tmem_ring_front_init(&ring, tmem_ring_at(queue, order));
  }

  uint32_t entries() const { return ring.shared.entries; }
  std::byte* slot(uint32_t number) { return static_cast<std::byte*>(tmem_ring_slot(queue_, order_, number)); }
  void fill_slot(uint32_t number, uint8_t seed) {
    for (uint32_t i = 0; i < TMEMIF_PAGE_BYTES; ++i) slot(number)[i] = static_cast<std::byte>(seed + i * 7 + i / 256);
  }

  void write(const tmemif_request& request) { *tmem_ring_front_next(&ring) = request; }
  bool publish() { return tmem_ring_front_publish(&ring) != 0; }
  bool submit(const tmemif_request& request) {
    write(request);
    return publish();
  }
  // All that are there; a broken ring is an answer of its own.
  std::vector<tmemif_response> responses() {
    std::vector<tmemif_response> all;
    uint32_t pending = tmem_ring_front_pending(&ring);
    if (pending == TMEM_RING_BROKEN) std::abort();
    while (pending-- > 0) all.push_back(tmem_ring_front_take(&ring));
    return all;
  }

  tmem_ring_front ring;

 private:
  void* queue_;
  uint32_t order_;
};

inline tmemif_request request_of(uint8_t op, uint32_t id = 1) {
  tmemif_request r{};
  r.id = id;
  r.op = op;
  r.slot = TMEMIF_NO_SLOT;
  return r;
}

inline tmemif_request page_request(uint8_t op, uint16_t slot, uint32_t pool, uint64_t object, uint32_t index, uint32_t id = 1) {
  tmemif_request r = request_of(op, id);
  r.slot = slot;
  r.pool = pool;
  r.object[0] = object;
  r.index = index;
  return r;
}

class SimulatedChannel final : public Channel {
 public:
  using Memory = std::vector<QueuePage>;
  static std::shared_ptr<Memory> memory(uint32_t order) { return std::make_shared<Memory>(TMEMIF_QUEUE_PAGES(order)); }

  SimulatedChannel(ClientId client, std::shared_ptr<Memory> memory, uint32_t order)
      : Channel(client, memory->data(), order), memory_(std::move(memory)) {}

  void notify() override { ++notifications; }
  int wait_fd() const override { return -1; }
  void acknowledge() override {}

  uint32_t notifications = 0;

 private:
  std::shared_ptr<Memory> memory_;
};

}  // namespace tmem
