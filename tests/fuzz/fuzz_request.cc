// SPDX-License-Identifier: MIT
// Input: requests of any 64 bytes, each with a byte that says how many go out together and how many slots are filled with what.
// They reach the real backend and engine. Each is answered once, in order; what is malformed never changes the engine's counts;
// the books balance afterwards.
#include <cstdlib>
#include <cstring>

#include "support/heap_memory.h"
#include "transport/backend.h"
#include "transport/test_front.h"

namespace tmem {
namespace {

constexpr uint32_t kOrder = TMEMIF_RING_ORDER_MIN;
constexpr ClientId kClient{1};

void expect(bool promise) {
  if (!promise) std::abort();
}

struct Service {
  Service() {
    engine = std::move(Engine::create(memory, {uint64_t{8} * kSegmentBytes, false}).value());
  }
  test::HeapMemory memory{8};
  std::unique_ptr<Engine> engine;
};

void serve(Backend& backend, TestFront& front, std::vector<uint32_t>& sent) {
  front.publish();
  const uint64_t malformed = backend.stats().requests_malformed;
  while (backend.drain(kDrainRequestsMax) == Backend::Progress::kWorked) {}
  uint64_t refused = 0;
  const std::vector<tmemif_response> responses = front.responses();
  expect(responses.size() == sent.size());
  for (size_t i = 0; i < responses.size(); ++i) {
    expect(responses[i].id == sent[i] && responses[i].status <= TMEMIF_STATUS_MAX);
    expect(responses[i].credits_unspent <= kCreditsPerQueueMax);
    refused += responses[i].status == TMEMIF_BAD_REQUEST;
  }
  expect(backend.stats().requests_malformed - malformed == refused);
  sent.clear();
}

}  // namespace
}  // namespace tmem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tmem;
  static Service service;
  expect(service.engine->attach(kClient, {}, {}, true) == Status::kOk);
  const auto memory = SimulatedChannel::memory(kOrder);
  {
    SimulatedChannel channel(kClient, memory, kOrder);
    TestFront front(memory->data(), kOrder);
    Backend backend(channel, *service.engine, 1, RingState::kNew);
    std::vector<uint32_t> sent;
    for (; size >= 1 + sizeof(tmemif_request); data += 1 + sizeof(tmemif_request), size -= 1 + sizeof(tmemif_request)) {
      tmemif_request request;
      std::memcpy(&request, data + 1, sizeof(request));
      std::memset(front.slot(data[0] % front.entries()), data[0], data[0] * 16);
      front.write(request);
      sent.push_back(request.id);
      if (data[0] % 4 == 0 || tmem_ring_front_room(&front.ring) == 0) serve(backend, front, sent);
    }
    serve(backend, front, sent);
  }
  expect(service.engine->check_invariants().empty());
  expect(service.engine->detach(kClient) == Status::kOk);
  while (service.engine->step()) {}
  return 0;
}
