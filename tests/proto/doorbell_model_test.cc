// SPDX-License-Identifier: MIT
// No wake-up is ever lost: every interleaving of a front and a back, each shared access and each store buffer's drain being
// a step of its own, ends with all responses consumed. Also with a back that dies at any step and another that takes over.
// The same search finds the fault when a fence or the doorbell at take-over is left out, so it has eyes.
#include "doorbell_model.h"

#include "tmem/tmem_ring.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <unordered_map>

namespace {

using model::Access;
using model::Kind;

constexpr uint32_t kOrder = TMEMIF_RING_ORDER_MIN;

// Plain data (requests, responses) is written here by both; only the control words are part of the model.
alignas(4096) std::byte scratch[TMEMIF_QUEUE_PAGES(kOrder) * TMEMIF_PAGE_BYTES];

struct Script {
  uint32_t requests;        // in all
  uint32_t batch;           // published together
  uint32_t window;          // most in flight
  bool fences = true;       // off: the fault that the search must find
  bool back_may_die = false;
  bool rings_at_takeover = true;
};

void ring() { model::access({Kind::kRing}); }
void sleep() { model::access({Kind::kSleep}); }

void front_process(const Script& script) {
  tmem_ring_front f{};
  f.shared = tmem_ring_at(scratch, kOrder);  // initialised before the back was told of it
  uint32_t submitted = 0, answered = 0;
  while (answered < script.requests) {
    uint32_t filled = 0;
    while (submitted < script.requests && submitted - answered < script.window && filled < script.batch) {
      tmem_ring_front_next(&f);
      ++submitted, ++filled;
    }
    if (filled > 0 && tmem_ring_front_publish(&f)) ring();
    const uint32_t pending = tmem_ring_front_pending(&f);
    if (pending == TMEM_RING_BROKEN) throw std::logic_error("the back answered what was not asked");
    for (uint32_t i = 0; i < pending; ++i) tmem_ring_front_take(&f);
    answered += pending;
    if (pending > 0 || (submitted < script.requests && submitted - answered < script.window)) continue;
    // Waits for all that is in flight, or for the next: both ways of asking are in use.
    const uint32_t wait_for = script.window > 2 ? submitted - answered : 1;
    if (!tmem_ring_front_arm_after(&f, wait_for)) sleep();
  }
}

void back_process(const Script& script, bool takes_over) {
  tmem_ring_back b{};
  b.shared = tmem_ring_at(scratch, kOrder);
  if (takes_over) {
    tmem_ring_back_init(&b, tmem_ring_at(scratch, kOrder));
    if (script.rings_at_takeover) ring();
  }
  for (;;) {
    const uint32_t pending = tmem_ring_back_pending(&b);
    if (pending == TMEM_RING_BROKEN) throw std::logic_error("the front published more than the ring holds");
    for (uint32_t i = 0; i < pending; ++i) {
      tmem_ring_back_take(&b);
      const tmemif_response response{};
      tmem_ring_back_answer(&b, &response);
      if (i + 1 < pending) tmem_ring_back_expose(&b);
    }
    if (pending > 0) {
      if (tmem_ring_back_publish(&b)) ring();
    } else if (!tmem_ring_back_arm(&b)) {
      sleep();
    }
  }
}

constexpr int kWords = 4;
enum Side { kFront, kBack };

struct Process {
  std::vector<uint32_t> observed;
  std::vector<std::pair<uint8_t, uint32_t>> buffer;  // stores that the other side does not see yet, oldest first
  bool bell = false;                                 // rung for this process
};

struct State {
  uint32_t word[kWords] = {0, 1, 0, 1};  // request_prod, request_event, response_prod, response_event: a new ring
  Process process[2];
  bool took_over = false;

  std::string key() const {
    std::string k(reinterpret_cast<const char*>(word), sizeof(word));
    for (const Process& p : process) {
      for (uint32_t o : p.observed) k += static_cast<char>(o);  // small numbers: no value here exceeds 100
      k += '\xff';
      for (auto [w, v] : p.buffer) k += static_cast<char>(w), k += static_cast<char>(v);
      k += p.bell ? '\xfe' : '\xfd';
    }
    return k += static_cast<char>(took_over);
  }
};

class Explorer {
 public:
  explicit Explorer(const Script& script) : script_(script) {}

  // Visits everything reachable. Returns the number of states in which nothing moves and the front still waits.
  size_t run() {
    visit(State{});
    return lost_;
  }
  size_t states() const { return seen_.size(); }
  size_t finished() const { return finished_; }

 private:
  static int index_of(const uint32_t* word) {
    const auto offset = reinterpret_cast<const std::byte*>(word) - scratch;
    return static_cast<int>(offset / 64);
  }

  Access next_access(const State& s, Side side) {
    std::string key(1, static_cast<char>(side * 2 + s.took_over));
    for (uint32_t o : s.process[side].observed) key += static_cast<char>(o);
    if (const auto it = next_.find(key); it != next_.end()) return it->second;
    model::Tape tape{&s.process[side].observed};
    model::tape = &tape;
    try {
      if (side == kFront) front_process(script_);
      else back_process(script_, s.took_over);
    } catch (model::Suspended) {
    }
    return next_[key] = tape.next;
  }

  void visit(State start) {
    std::vector<State> open{std::move(start)};
    while (!open.empty()) {
      const State s = std::move(open.back());
      open.pop_back();
      if (!seen_.insert(s.key()).second) continue;
      const size_t before = open.size();
      for (Side side : {kFront, kBack}) step(s, side, open);
      const bool done = next_access(s, kFront).kind == Kind::kDone;
      if (done) ++finished_;
      if (open.size() == before && !done) ++lost_;
      // The death of the back: what it stored is in memory, what it knew is gone, the bells stay as they are. Pushed after
      // the test above: a death must not excuse a lost wake-up.
      if (script_.back_may_die && !s.took_over) {
        State dead = s;
        for (auto [w, v] : dead.process[kBack].buffer) dead.word[w] = v;
        dead.process[kBack].buffer.clear();
        dead.process[kBack].observed.clear();
        dead.took_over = true;
        open.push_back(std::move(dead));
      }
    }
  }

  void step(const State& s, Side side, std::vector<State>& open) {
    const Process& p = s.process[side];
    if (!p.buffer.empty()) {
      State n = s;
      n.word[p.buffer.front().first] = p.buffer.front().second;
      n.process[side].buffer.erase(n.process[side].buffer.begin());
      open.push_back(std::move(n));
    }
    const Access a = next_access(s, side);
    const bool drains = a.kind == Kind::kRing || a.kind == Kind::kSleep || (a.kind == Kind::kFence && script_.fences);
    if (a.kind == Kind::kDone || (drains && !p.buffer.empty()) || (a.kind == Kind::kSleep && !p.bell)) return;
    State n = s;
    Process& np = n.process[side];
    uint32_t result = 0;
    switch (a.kind) {
      case Kind::kLoad:
        result = n.word[index_of(a.word)];
        for (auto [w, v] : np.buffer)
          if (w == index_of(a.word)) result = v;
        break;
      case Kind::kStore: np.buffer.emplace_back(static_cast<uint8_t>(index_of(a.word)), a.value); break;
      case Kind::kRing: n.process[side == kFront ? kBack : kFront].bell = true; break;
      case Kind::kSleep: np.bell = false; break;
      case Kind::kFence:
      case Kind::kDone: break;
    }
    np.observed.push_back(result);
    open.push_back(std::move(n));
  }

  const Script script_;
  std::set<std::string> seen_;
  std::unordered_map<std::string, Access> next_;
  size_t lost_ = 0;
  size_t finished_ = 0;
};

size_t lost_wakeups(const Script& script) {
  Explorer explorer(script);
  const size_t lost = explorer.run();
  printf("%zu states, %zu lost wake-ups\n", explorer.states(), lost);
  EXPECT_GT(explorer.finished(), 0u);
  return lost;
}

TEST(Doorbell, IsNeverLostWhenRequestsGoOneByOne) { EXPECT_EQ(lost_wakeups({.requests = 3, .batch = 1, .window = 1}), 0u); }
TEST(Doorbell, IsNeverLostWithTwoRequestsInFlight) { EXPECT_EQ(lost_wakeups({.requests = 3, .batch = 1, .window = 2}), 0u); }
TEST(Doorbell, IsNeverLostWhenRequestsGoInBatches) { EXPECT_EQ(lost_wakeups({.requests = 4, .batch = 2, .window = 2}), 0u); }
TEST(Doorbell, IsNeverLostWhenTheFrontWaitsForTheLastOfThree) {
  EXPECT_EQ(lost_wakeups({.requests = 3, .batch = 3, .window = 3}), 0u);
}
TEST(Doorbell, IsNeverLostWhenTheBackDiesAnywhereAndAnotherTakesOver) {
  EXPECT_EQ(lost_wakeups({.requests = 2, .batch = 1, .window = 1, .back_may_die = true}), 0u);
  EXPECT_EQ(lost_wakeups({.requests = 2, .batch = 2, .window = 2, .back_may_die = true}), 0u);
}
TEST(Doorbell, SearchFindsTheLostWakeUpWithoutFences) {
  EXPECT_GT(lost_wakeups({.requests = 2, .batch = 1, .window = 1, .fences = false}), 0u);
}
TEST(Doorbell, SearchFindsTheLostWakeUpWithoutARingAtTakeOver) {
  EXPECT_GT(lost_wakeups({.requests = 2, .batch = 1, .window = 1, .back_may_die = true, .rings_at_takeover = false}), 0u);
}

}  // namespace
