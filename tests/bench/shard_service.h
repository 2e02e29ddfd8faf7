// SPDX-License-Identifier: MIT
// A shard as a service has it: an engine, its worker on processor 1 unless said otherwise, and one client in the caller's thread,
// which keeps to processor 0.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "bench/bench_report.h"
#include "store/segment_memory.h"
#include "tmem_front.h"
#include "transport/memfd_pair.h"
#include "transport/shard_worker.h"
#include "transport/test_front.h"

namespace tmem::bench {

inline constexpr uint32_t kOrder = TMEMIF_RING_ORDER_DEFAULT;
inline constexpr ClientId kClient{1};

inline void pin(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu % std::max(1u, std::thread::hardware_concurrency()), &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

// A thread on a processor of its own. Waits until it is there: it starts on its parent's.
template <typename Work>
std::thread start_on(unsigned cpu, Work work) {
  std::atomic<bool> there{false};
  std::thread thread([&there, cpu, work = std::move(work)] {
    pin(cpu);
    there.store(true);
    work();
  });
  while (!there.load()) std::this_thread::sleep_for(std::chrono::microseconds(50));
  return thread;
}

inline std::unique_ptr<Engine> make_engine(SegmentMemory& memory) {
  auto engine = std::move(Engine::create(memory, {uint64_t{memory.segments_max()} * kSegmentBytes, false}).value());
  if (engine->attach(kClient, {}, {}, true) != Status::kOk) std::abort();
  if (engine->new_pool(kClient, PoolId(0), TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT)) != Status::kOk) std::abort();
  return engine;
}

class ShardService {
 public:
  // Borrows the memory.
  explicit ShardService(SegmentMemory& memory, unsigned cpu = 1) : engine_(make_engine(memory)), worker_(*engine_, {}, [](ClientId) { std::abort(); }), pair_(kClient, kOrder) {
    front = std::make_unique<TestFront>(pair_.front_memory(), kOrder);
    if (!worker_.add_channel(pair_.channel())) std::abort();
    thread_ = start_on(cpu, [this] { worker_.run(); });
  }
  ~ShardService() {
    worker_.stop();
    thread_.join();
  }
  double worker_cpu() {
    double value = 0;
    call([&] { value = cpu_seconds(); });
    return value;
  }
  WorkerStats stats() {
    WorkerStats stats;
    call([&] { stats = worker_.stats(); });
    return stats;
  }
  void call(const std::function<void()>& closure) {
    std::atomic<bool> done{false};
    worker_.post([&] {
      closure();
      done.store(true);
    });
    while (!done.load()) tmem_os_relax();
  }
  void ring() { pair_.front_rings(); }
  void* queue() { return pair_.front_memory(); }

  // Keeps the ring full with count requests; fill writes request n (slot n mod entries), check sees each response.
  template <typename Fill, typename Check>
  void pipeline(size_t count, Fill fill, Check check) {
    size_t sent = 0, received = 0;
    while (received < count) {
      while (sent < count && tmem_ring_front_room(&front->ring) > 0) {
        tmemif_request* r = tmem_ring_front_next(&front->ring);
        fill(*r, sent, static_cast<uint16_t>(sent % front->entries()));
        ++sent;
        if (tmem_ring_front_publish(&front->ring)) ring();
      }
      uint32_t pending = tmem_ring_front_pending(&front->ring);
      if (pending == 0) tmem_os_relax();
      for (; pending > 0; --pending, ++received) check(tmem_ring_front_take(&front->ring), received);
    }
  }

  Engine& engine() { return *engine_; }  // in the worker's thread: see call()

  std::unique_ptr<TestFront> front;

 private:
  std::unique_ptr<Engine> engine_;
  ShardWorker worker_;
  MemfdPair pair_;
  std::thread thread_;
};

inline void must_be_ok(const tmemif_response& r, size_t) {
  if (r.status != TMEMIF_OK) {
    std::fprintf(stderr, "a request was answered by status %u\n", r.status);
    std::abort();
  }
}

inline tmemif_request request_for(uint8_t op, size_t n, uint16_t slot) {
  return page_request(op, slot, 0, n >> 16, static_cast<uint32_t>(n & 0xffff), static_cast<uint32_t>(n));
}

}  // namespace tmem::bench
