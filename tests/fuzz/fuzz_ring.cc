// SPDX-License-Identifier: MIT
// Input: triples of (step, word, value). The peer writes a control word between any two steps of both sides. Neither may ever
// find more entries than the ring has, and neither may touch memory outside of its queue (the sanitizer looks).
#include <cstdlib>
#include <memory>

#include "tmem/tmem_ring.h"

namespace {

constexpr uint32_t kOrder = TMEMIF_RING_ORDER_MIN;
struct alignas(TMEMIF_PAGE_BYTES) Queue {
  std::byte bytes[TMEMIF_QUEUE_PAGES(kOrder) * TMEMIF_PAGE_BYTES];
};

void expect(bool promise) {
  if (!promise) std::abort();
}

class Peers {
 public:
  Peers() : queue_(new Queue()) {
    tmem_ring_front_init(&front_, tmem_ring_at(queue_.get(), kOrder));
    tmem_ring_back_init(&back_, tmem_ring_at(queue_.get(), kOrder));
  }
  void step(uint8_t what) {
    const tmemif_response answer{};
    switch (what % 8) {
      case 0:
        expect(tmem_ring_front_room(&front_) <= front_.shared.entries);
        if (tmem_ring_front_room(&front_) > 0) *tmem_ring_front_next(&front_) = {};
        break;
      case 1: tmem_ring_front_publish(&front_); break;
      case 2: front_takes(); break;
      case 3: tmem_ring_front_arm_after(&front_, what / 8); break;
      case 4: back_takes(); break;
      case 5: tmem_ring_back_publish(&back_); break;
      case 6: tmem_ring_back_arm(&back_); break;
      case 7:
        tmem_ring_back_init(&back_, tmem_ring_at(queue_.get(), kOrder));
        tmem_ring_back_answer(&back_, &answer);
        tmem_ring_back_expose(&back_);
    }
  }
  void write(uint8_t word, uint32_t value) {
    uint32_t* const words[] = {&front_.shared.control->request_prod, &front_.shared.control->request_event,
                               &front_.shared.control->response_prod, &front_.shared.control->response_event};
    // Small distances from where the ring stands are where the mistakes are.
    if (word & 4) value = (word & 8 ? front_.request_published : front_.response_cons) + value % 64 - 16;
    tmem_store_release(words[word % 4], value);
  }

 private:
  void front_takes() {
    const uint32_t pending = tmem_ring_front_pending(&front_);
    if (pending == TMEM_RING_BROKEN) return;
    expect(pending <= front_.request_published - front_.response_cons && pending <= front_.shared.entries);
    for (uint32_t i = 0; i < pending; ++i) tmem_ring_front_take(&front_);
  }
  void back_takes() {
    const uint32_t pending = tmem_ring_back_pending(&back_);
    if (pending == TMEM_RING_BROKEN) return;
    expect(pending <= back_.shared.entries);
    for (uint32_t i = 0; i < pending; ++i) {
      tmemif_response response{};
      response.id = tmem_ring_back_take(&back_).id;
      tmem_ring_back_answer(&back_, &response);
    }
  }

  std::unique_ptr<Queue> queue_;
  tmem_ring_front front_;
  tmem_ring_back back_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Peers peers;
  for (; size >= 6; data += 6, size -= 6) {
    peers.step(data[0]);
    peers.write(data[1], uint32_t{data[2]} | uint32_t{data[3]} << 8 | uint32_t{data[4]} << 16 | uint32_t{data[5]} << 24);
  }
  return 0;
}
