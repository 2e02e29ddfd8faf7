// SPDX-License-Identifier: MIT
// A service in a few lines, for tests of the front: a std::map behind the real ring functions, that works, stalls, dies and
// lies on command. It executes requests when told to, answers them when told to, and can do the first without the second:
// that is what a crash between a deed and its response looks like.
//
// Owns the shared memory of one connection after the other (all are kept, so that a front which reads an old one too late
// would not crash but fail its test). Thread rule: one thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "tmem_front.h"

namespace tmem::test {

using Page = std::array<uint64_t, TMEMIF_PAGE_BYTES / 8>;

inline Page page_of(uint64_t seed) {
  Page page;
  uint64_t state = seed;
  for (uint64_t& word : page) word = state = state * 6364136223846793005u + 1442695040888963407u;
  return page;
}

class ScriptedService {
 public:
  ScriptedService(uint32_t queues, uint32_t order) : queues_(queues), order_(order), store_(queues), pools_(queues) {}

  // A new connection; remembers: the store survives. same_memory: as Xen does it, the ring is where it was.
  tmem_front_attachment connect(bool remembers = true, bool same_memory = false) {
    if (!remembers) {
      for (auto& store : store_) store.clear();
      for (auto& pools : pools_) pools.clear();
    }
    if (!same_memory || memory_.empty()) {
      const size_t bytes = size_t{queues_} * TMEMIF_QUEUE_PAGES(order_) * TMEMIF_PAGE_BYTES;
      memory_.emplace_back(static_cast<std::byte*>(std::aligned_alloc(TMEMIF_PAGE_BYTES, bytes)), &std::free);
      std::memset(memory_.back().get(), 0, bytes);
    }
    tmem_front_attachment attachment{};
    attachment.queues = queues_;
    attachment.ring_order = order_;
    attachment.resumed = remembers;
    for (uint32_t i = 0; i < queues_; ++i) attachment.memory[i] = queue(i);
    back_.assign(queues_, {});
    taken_.assign(queues_, {});
    taken_up_ = false;
    return attachment;
  }

  uint32_t pending(uint32_t q) { return take_up(), tmem_ring_back_pending(&back_[q]) + static_cast<uint32_t>(taken_[q].size()); }
  // Executes one request, and answers it or not. False: there is none.
  bool execute(uint32_t q, bool answer = true) {
    take_up();
    if (taken_[q].empty() || answer == false) {
      if (tmem_ring_back_pending(&back_[q]) == 0 && taken_[q].empty()) return false;
      if (tmem_ring_back_pending(&back_[q]) != 0) {
        const tmemif_request request = tmem_ring_back_take(&back_[q]);
        taken_[q].push_back({request, perform(q, request)});
      } else if (!answer) {
        return false;
      }
    }
    if (answer) {
      tmem_ring_back_answer(&back_[q], &taken_[q].front().second);
      taken_[q].pop_front();
      doorbells += tmem_ring_back_publish(&back_[q]) != 0;
    }
    return true;
  }
  void serve(uint32_t q) {
    while (execute(q)) {
    }
  }
  void serve_all() {
    for (uint32_t q = 0; q < queues_; ++q) serve(q);
  }
  // Answers the oldest request with whatever the caller says.
  void lie(uint32_t q, tmemif_response response) {
    take_up();
    tmem_ring_back_take(&back_[q]);
    tmem_ring_back_answer(&back_[q], &response);
    tmem_ring_back_publish(&back_[q]);
  }
  tmemif_request peek(uint32_t q) {
    take_up();
    tmem_ring_back copy = back_[q];
    return tmem_ring_back_take(&copy);
  }
  tmemif_ring_control* control(uint32_t q) { return static_cast<tmemif_ring_control*>(queue(q)); }

  uint8_t credits = 0;              // told with each answer
  uint16_t refuse_puts = TMEMIF_OK; // another status: puts are answered with it
  uint32_t doorbells = 0;
  std::vector<tmemif_request> log;  // all that was executed, in order

 private:
  using Key = std::tuple<uint32_t, uint64_t, uint64_t, uint64_t, uint32_t>;

  void* queue(uint32_t q) { return memory_.back().get() + size_t{q} * TMEMIF_QUEUE_PAGES(order_) * TMEMIF_PAGE_BYTES; }
  void take_up() {
    if (taken_up_) return;
    for (uint32_t i = 0; i < queues_; ++i) tmem_ring_back_init(&back_[i], tmem_ring_at(queue(i), order_));
    taken_up_ = true;
  }

  tmemif_response perform(uint32_t q, const tmemif_request& r) {
    log.push_back(r);
    tmemif_response response{r.id, TMEMIF_OK, 0, credits, 0};
    auto& store = store_[q];
    auto& pools = pools_[q];
    const Key key{r.pool, r.object[0], r.object[1], r.object[2], r.index};
    std::byte* slot = static_cast<std::byte*>(tmem_ring_slot(queue(q), order_, r.slot == TMEMIF_NO_SLOT ? 0 : r.slot));
    const auto found = store.find(key);
    if (r.op == TMEMIF_OP_NEW_POOL || r.op == TMEMIF_OP_JOIN_POOL) {
      pools.try_emplace(r.pool, r.pool_flags);
      return response;
    }
    if (r.op == TMEMIF_OP_QUERY) {
      std::memset(slot, 0x5a, TMEMIF_PAGE_BYTES);
      return response;
    }
    if (!pools.count(r.pool)) {
      response.status = TMEMIF_NO_POOL;
    } else if (r.op == TMEMIF_OP_PUT) {
      if (refuse_puts != TMEMIF_OK) {
        store.erase(key);
        response.status = refuse_puts;
        return response;
      }
      Page page;
      if (r.flags & TMEMIF_REQUEST_SAME_FILLED) page.fill(r.value[0]);
      else std::memcpy(page.data(), slot, sizeof(page));
      store[key] = page;
    } else if (r.op == TMEMIF_OP_GET && found != store.end()) {
      const Page& page = found->second;
      if (std::all_of(page.begin(), page.end(), [&](uint64_t word) { return word == page[0]; })) {
        response.flags = TMEMIF_RESPONSE_SAME_FILLED;
        response.value = page[0];
      } else {
        std::memcpy(slot, page.data(), sizeof(page));
      }
      if (!(pools[r.pool] & TMEMIF_POOL_PERSISTENT)) store.erase(found);
    } else if (r.op == TMEMIF_OP_GET || r.op == TMEMIF_OP_FLUSH_PAGE) {
      response.status = store.erase(key) ? TMEMIF_OK : TMEMIF_MISS;
    } else {
      const bool whole_pool = r.op != TMEMIF_OP_FLUSH_OBJECT;
      const auto gone = std::erase_if(store, [&](const auto& entry) {
        return std::get<0>(entry.first) == r.pool && (whole_pool || std::get<1>(entry.first) == r.object[0]);
      });
      if (whole_pool) pools.erase(r.pool);
      else if (!gone) response.status = TMEMIF_MISS;
    }
    return response;
  }

  const uint32_t queues_, order_;
  std::vector<std::map<Key, Page>> store_;
  std::vector<std::map<uint32_t, uint32_t>> pools_;
  std::deque<std::unique_ptr<std::byte, decltype(&std::free)>> memory_;
  std::vector<tmem_ring_back> back_;
  std::vector<std::deque<std::pair<tmemif_request, tmemif_response>>> taken_;  // executed, not answered
  bool taken_up_ = false;
};

// A front with its memory, whose owner is the test. The service runs inside wait() and only there, unless the test runs it.
class Front {
 public:
  Front(ScriptedService& service, uint32_t queues, uint32_t order, bool interrupts = false, uint32_t poll_ns = 0)
      : service_(service), queues_(queues) {
    ops_ = {[](void* self, uint32_t q) { static_cast<Front*>(self)->on_notify(q); },
            [](void* self, uint32_t q) { static_cast<Front*>(self)->service_.serve(q); },
            [](void* self) { ++static_cast<Front*>(self)->forgotten; },
            [](void* self) { ++static_cast<Front*>(self)->broken; }};
    if (interrupts) ops_.wait = nullptr;
    const tmem_front_config config{queues, order, kPools, poll_ns, &ops_, this};
    memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, tmem_front_memory_bytes(&config))));
    tmem_front_init(&front, &config, memory_.get());
  }
  ~Front() { tmem_front_close(&front); }

  void poll_all() {
    for (uint32_t q = 0; q < queues_; ++q) tmem_front_poll(&front, q);
  }
  tmem_front_stats stats() {
    tmem_front_stats result;
    tmem_front_read_stats(&front, &result);
    return result;
  }

  static constexpr uint32_t kPools = 8;
  tmem_front front;
  int notified = 0, forgotten = 0, broken = 0;
  bool serve_when_notified = false;  // a service that sleeps, and is quick to wake

 private:
  void on_notify(uint32_t q) {
    ++notified;
    if (serve_when_notified) service_.serve(q);
  }

  ScriptedService& service_;
  const uint32_t queues_;
  tmem_front_owner_ops ops_{};
  std::unique_ptr<std::byte, decltype(&std::free)> memory_{nullptr, &std::free};
};

// An op that remembers how often it completed.
struct CountedOp : tmem_front_op {
  int completions = 0;
  Page page{};

  void arm() {
    done = [](tmem_front_op* op) { ++static_cast<CountedOp*>(op)->completions; };
  }
  void handle_op(tmemif_op kind, const tmem_front_handle& handle) {
    tmem_front_op_page(this, kind, &handle, page.data());
    arm();
  }
};

inline tmem_front_handle handle_of(uint32_t pool, uint64_t object, uint32_t index) { return {pool, index, {object, 0, 0}}; }

}  // namespace tmem::test
