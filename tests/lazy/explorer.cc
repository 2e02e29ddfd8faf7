// SPDX-License-Identifier: MIT
#include "lazy/explorer.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <unordered_set>

#include "lazy_registry.h"

namespace tmem::test {
namespace {

constexpr size_t kStackBytes = 64 * 1024;

uint64_t mix(uint64_t state, uint64_t value) {
  state = (state ^ value) * 0x9e3779b97f4a7c15u + 0x165667b19e3779f9u;
  return state ^ state >> 29;
}

// ucontext makes an actor's stack; from then on _longjmp() switches, which needs no system call.
struct Actor {
  ucontext_t context{};
  jmp_buf place;
  bool begun = false;
  std::unique_ptr<char[]> stack = std::make_unique<char[]>(kStackBytes);
  const uint32_t* awaited = nullptr;  // goes on only when this word is zero
  uint64_t past = 0;
  bool ended = false;
};

// One order in the making. The explorer's frames outlive it.
struct Run {
  const Scenario* scenario = nullptr;
  ucontext_t unused{};
  jmp_buf scheduler;
  std::vector<Actor> actors;
  Actor* current = nullptr;
  std::string violation;
};

Run* running = nullptr;

void yield() {
  Actor* self = running->current;
  self->past = mix(self->past, 0);  // one step further
  if (!_setjmp(self->place)) _longjmp(running->scheduler, 1);
}

void body(int index) {
  running->scenario->actors[static_cast<size_t>(index)]();
  running->current->ended = true;
  yield();
}

struct Frame {
  std::vector<size_t> choices;  // the actor that ran last is first, if it can go on
  size_t next = 0;
  bool goes_on = false;         // choices[0] ran last: any other choice preempts it
  uint32_t preemptions = 0;     // so far
};

class Search {
 public:
  Search(const Scenario& scenario, uint32_t preemptions_max) : scenario_(scenario), preemptions_max_(preemptions_max) {
    run_.scenario = &scenario;
    run_.actors.resize(scenario.actors.size());
  }
  Exploration all() {
    running = &run_;
    do {
      one();
      ++result_.runs;
    } while (run_.violation.empty() && backtrack());
    running = nullptr;
    result_.violation = run_.violation;
    result_.states = seen_.size();
    return result_;
  }

 private:
  void one() {
    run_.current = nullptr;
    scenario_.begin();
    for (size_t i = 0; i < run_.actors.size(); ++i) start(i);
    for (size_t depth = 0; run_.violation.empty(); ++depth) {
      if (depth == frames_.size() && !open_frame()) return;
      const Frame& frame = frames_[depth];
      resume(run_.actors[frame.choices[frame.next]]);
    }
  }
  void start(size_t index) {
    Actor& actor = run_.actors[index];
    getcontext(&actor.context);
    actor.context.uc_stack.ss_sp = actor.stack.get();
    actor.context.uc_stack.ss_size = kStackBytes;
    actor.context.uc_link = nullptr;
    makecontext(&actor.context, reinterpret_cast<void (*)()>(body), 1, static_cast<int>(index));
    actor.awaited = nullptr;
    actor.past = 0;
    actor.ended = false;
    actor.begun = false;
  }
  void resume(Actor& actor) {
    run_.current = &actor;
    if (!_setjmp(run_.scheduler)) {
      if (actor.begun) _longjmp(actor.place, 1);
      actor.begun = true;
      swapcontext(&run_.unused, &actor.context);
    }
    run_.current = nullptr;
  }
  // False: this order is at its end, or where others have been.
  bool open_frame() {
    Frame frame;
    size_t last = run_.actors.size();
    if (!frames_.empty()) {
      const Frame& before = frames_.back();
      last = before.choices[before.next];
      frame.preemptions = before.preemptions + (before.goes_on && before.next > 0);
    }
    bool all_ended = true;
    uint64_t state = mix(scenario_.hash(), preemptions_max_ == kNoBound ? 0 : frame.preemptions * 64 + last);
    for (size_t i = 0; i < run_.actors.size(); ++i) {
      const Actor& actor = run_.actors[i];
      all_ended &= actor.ended;
      state = mix(mix(state, actor.past), actor.ended);
      if (!actor.ended && (!actor.awaited || *actor.awaited == 0)) frame.choices.push_back(i);
    }
    const auto again = std::find(frame.choices.begin(), frame.choices.end(), last);
    frame.goes_on = again != frame.choices.end();
    if (frame.goes_on) std::rotate(frame.choices.begin(), again, again + 1);
    if (frame.goes_on && frame.preemptions == preemptions_max_) frame.choices.resize(1);
    if (all_ended) {
      if (scenario_.end) scenario_.end();
      return false;
    }
    if (frame.choices.empty()) {
      run_.violation = "deadlock: every actor waits";
      return false;
    }
    if (!seen_.insert(state).second) return false;
    frames_.push_back(std::move(frame));
    return true;
  }
  bool backtrack() {
    while (!frames_.empty()) {
      if (++frames_.back().next < frames_.back().choices.size()) return true;
      frames_.pop_back();
    }
    return false;
  }

  const Scenario& scenario_;
  const uint32_t preemptions_max_;
  Run run_;
  std::vector<Frame> frames_;
  std::unordered_set<uint64_t> seen_;
  Exploration result_;
};

bool exploring() { return running && running->current; }

}  // namespace

Exploration explore(const Scenario& scenario, uint32_t preemptions_max) { return Search(scenario, preemptions_max).all(); }

void note(uint64_t seen) {
  if (exploring()) running->current->past = mix(running->current->past, seen + 1);
}

void note_guarded() {
  if (exploring()) note(running->scenario->guarded());
}

void step(uint64_t seen) {
  if (exploring()) yield();
  note(seen);
}

void lock(uint32_t& word) {
  if (exploring()) {
    running->current->awaited = &word;
    yield();
    running->current->awaited = nullptr;
  }
  word = 1;
}

void unlock(uint32_t& word) { word = 0; }

void wait_for_zero(const uint32_t& word) {
  if (exploring()) {
    running->current->awaited = &word;
    yield();
    running->current->awaited = nullptr;
    note(1);
  } else if (word != 0) {
    violate("somebody is inside when nobody runs");
  }
}

void violate(const char* what) {
  if (!running || !running->violation.empty()) return;
  running->violation = what;
  if (running->current) yield();  // never resumed
}

}  // namespace tmem::test

// ---- the system that lazy_registry.c is compiled against ----

extern "C" {

uint32_t checked_load(const uint32_t* word) {
  tmem::test::step();
  tmem::test::note(*word);
  return *word;
}

void checked_store(uint32_t* word, uint32_t value) {
  tmem::test::step();
  *word = value;
}

void tmem_os_mutex_init(tmem_os_mutex* mutex) { mutex->taken = 0; }
void tmem_os_mutex_lock(tmem_os_mutex* mutex) {
  tmem::test::lock(mutex->taken);
  tmem::test::note_guarded();  // what the mutex guards may be read now
}
void tmem_os_mutex_unlock(tmem_os_mutex* mutex) { tmem::test::unlock(mutex->taken); }

int tmem_os_gate_init(tmem_os_gate* gate) {
  gate->inside = 0;
  return 0;
}
int tmem_os_gate_enter(tmem_os_gate* gate) {
  tmem::test::step();
  ++gate->inside;
  return 0;
}
void tmem_os_gate_leave(tmem_os_gate* gate, int) {
  tmem::test::step();
  --gate->inside;
}
void tmem_os_gate_drain(tmem_os_gate* gate) { tmem::test::wait_for_zero(gate->inside); }
}
