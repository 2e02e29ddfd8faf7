// SPDX-License-Identifier: MIT
// Runs a few actors, which are plain functions, in every order of their steps. A step ends where an actor is about to touch
// what others touch: step() and its kin. Actors are fibers on one thread, so each order can be repeated.
//
// Depth first, with replay from the start for each order, and with a memory of states: one that was reached before by other
// ways is not entered again. A state is what hash() says of the shared memory, and for each actor what it has seen so far;
// actors are deterministic, so that is all there is to know. Memory is sequentially consistent here; what weaker memory adds
// is left to ThreadSanitizer (stress_test.cc).
//
// Thread rule: one thread, one Explorer at a time. Actors own nothing that needs a destructor: a run may end in their middle.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace tmem::test {

struct Exploration {
  std::string violation;  // empty: none
  uint64_t runs = 0;
  uint64_t states = 0;
};

struct Scenario {
  std::function<void()> begin;      // makes the first state; not explored
  std::function<uint64_t()> hash;   // of all that actors share
  std::function<uint64_t()> guarded; // of what the registry's mutex guards
  std::vector<std::function<void()>> actors;
  std::function<void()> end;        // when all have ended; may call violate()
};

inline constexpr uint32_t kNoBound = 1u << 20;

// All orders of the scenario in which at most so many actors are interrupted that could have gone on; or the first order that
// violates something.
Exploration explore(const Scenario& scenario, uint32_t preemptions_max = kNoBound);

// ---- for actors; outside of an exploration these do what they say, without a step ----

void step(uint64_t seen = 0);           // others may run now; then mixes what was seen into the actor's past
void note(uint64_t seen);               // the actor has seen this
void note_guarded();
void lock(uint32_t& word);              // waits while it is not zero, then sets it
void unlock(uint32_t& word);
void wait_for_zero(const uint32_t& word);
void violate(const char* what);         // ends the run

}  // namespace tmem::test
