// SPDX-License-Identifier: MIT
// A peer that flips bits of its queue while it is served: the real backend and engine on one thread, the mutator on another
// over a mapping of its own, as a client has. Nothing may crash, the engine's books must balance, and a neighbour's pages on
// the same shard must stay right. Run under AddressSanitizer, UBSan and ThreadSanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "memfd_pair.h"
#include "support/heap_memory.h"
#include "support/page_source.h"
#include "test_front.h"
#include "transport/backend.h"

namespace tmem {
namespace {

constexpr ClientId kHostile{1}, kNeighbour{2};

class MutatorTest : public testing::TestWithParam<uint32_t> {
 protected:
  MutatorTest() {
    engine_ = std::move(Engine::create(memory_, {uint64_t{40} * kSegmentBytes, false}).value());
    for (ClientId client : {kHostile, kNeighbour}) EXPECT_EQ(engine_->attach(client, {}, {}, true), Status::kOk);
    EXPECT_EQ(engine_->new_pool(kNeighbour, PoolId(0), TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT)), Status::kOk);
    for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(engine_->put(kNeighbour, handle(i), page(i)), Status::kOk);
  }

  static Handle handle(uint32_t i) { return {PoolId(0), ObjectId{{7, 0, 0}}, PageIndex(i)}; }
  PageView page(uint32_t i) {
    for (uint32_t b = 0; b < kPageBytes; ++b) bytes_[b] = static_cast<std::byte>(b * i + b / 64);
    return PageView(bytes_);
  }

  // Puts plausible requests everywhere, so that the flips hit something that would be obeyed.
  static void plant(void* queue, uint32_t order, std::mt19937_64& random) {
    const tmem_ring_shared ring = tmem_ring_at(queue, order);
    for (uint32_t i = 0; i < ring.entries; ++i) {
      const auto op = static_cast<uint8_t>(1 + random() % TMEMIF_OP_MAX);
      tmemif_request r = request_of(op, i);
      if (op <= TMEMIF_OP_NEW_POOL) r.pool_flags = op == TMEMIF_OP_NEW_POOL ? TMEMIF_POOL_FLAGS(random() % 2) : 0;
      if (op == TMEMIF_OP_QUERY || op == TMEMIF_OP_PUT || op == TMEMIF_OP_GET) r.slot = static_cast<uint16_t>(random() % ring.entries);
      if (op != TMEMIF_OP_QUERY) r.pool = static_cast<uint32_t>(random() % 3);
      if (op >= TMEMIF_OP_PUT && op <= TMEMIF_OP_FLUSH_OBJECT) r.object[random() % 3] = random() % 3;
      if (op >= TMEMIF_OP_PUT && op <= TMEMIF_OP_FLUSH_PAGE) r.index = static_cast<uint32_t>(random() % 32);
      ring.requests[i] = r;
    }
  }

  void mutate(void* queue, uint64_t seed, std::atomic<bool>& stop) {
    std::mt19937_64 random(seed);
    const size_t words = size_t{TMEMIF_QUEUE_PAGES(GetParam())} * TMEMIF_PAGE_BYTES / 4;
    auto* word = static_cast<uint32_t*>(queue);
    tmemif_ring_control* control = tmem_ring_at(queue, GetParam()).control;
    for (uint64_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
      // Mostly in the requests and the slots: a broken index ends the ring, and then little is tried.
      const size_t first = i % 64 == 0 ? 0 : TMEMIF_PAGE_BYTES / 4;
      uint32_t* target = &word[first + random() % (words - first)];
      tmem_store_once(target, tmem_load_once(target) ^ (uint32_t{1} << (random() % 32)));
      if (i % 4 == 0) tmem_store_release(&control->request_prod, tmem_load_once(&control->response_prod) + random() % 9);
      if (i % 512 == 0) plant(queue, GetParam(), random);
    }
  }

  test::HeapMemory memory_{40};
  std::unique_ptr<Engine> engine_;
  std::array<std::byte, kPageBytes> bytes_;
};

TEST_P(MutatorTest, APeerThatFlipsBitsHarmsOnlyItself) {
  const uint64_t seed = test::seed_or(std::random_device{}());
  printf("TMEM_SEED=%llu\n", static_cast<unsigned long long>(seed));
  MemfdPair pair(kHostile, GetParam());
  const std::unique_ptr<Channel> channel = pair.channel();
  auto backend = std::make_unique<Backend>(*channel, *engine_, 1, RingState::kNew);
  std::atomic<bool> stop{false};
  std::thread mutator([&] { mutate(pair.front_memory(), seed, stop); });

  uint64_t served = 0, broken = 0;
  const uint64_t rounds = test::rounds_or("TMEM_MUTATOR_REQUESTS", 50000);
  while (served + backend->stats().requests < rounds) {
    if (backend->drain(kDrainRequestsMax) != Backend::Progress::kBroken) continue;
    ++broken;  // a new connection of the same peer
    served += backend->stats().requests;
    backend = std::make_unique<Backend>(*channel, *engine_, 1, RingState::kNew);
    if (broken % 64 == 0) engine_->step();
  }
  stop = true;
  mutator.join();
  const OpStats ops = engine_->client_info(kHostile).value().ops;
  printf("%llu requests, %llu broken rings, %llu puts stored, %llu gets hit\n", static_cast<unsigned long long>(rounds),
         static_cast<unsigned long long>(broken), static_cast<unsigned long long>(ops.put_stored + ops.put_replaced),
         static_cast<unsigned long long>(ops.get_hit));
  EXPECT_GT(ops.put_stored + ops.put_replaced, 0u) << "the requests are too bad to reach the engine";
  EXPECT_GT(broken, 0u);
  backend.reset();

  EXPECT_EQ(engine_->check_invariants(), "");
  for (uint32_t i = 0; i < 64; ++i) {
    std::array<std::byte, kPageBytes> back;
    ASSERT_TRUE(engine_->get(kNeighbour, handle(i), PageBuffer(back)).ok());
    EXPECT_TRUE(std::ranges::equal(back, page(i))) << "page " << i << " of the neighbour";
  }
  EXPECT_EQ(engine_->detach(kHostile), Status::kOk);
  while (engine_->step()) {}
  EXPECT_EQ(engine_->check_invariants(), "");
}

INSTANTIATE_TEST_SUITE_P(Orders, MutatorTest, testing::Values(TMEMIF_RING_ORDER_MIN, TMEMIF_RING_ORDER_MAX));

}  // namespace
}  // namespace tmem
