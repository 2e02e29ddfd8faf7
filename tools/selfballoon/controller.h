// SPDX-License-Identifier: MIT
// The decision: how large the balloon's target should be, from samples alone. decide() is a pure function; it reads no clock
// and no file, so traces, random samples and the simulator of hosts run the very code that runs in a guest.
//
// Two policies. Committed is the formula of Linux's former driver: memory for what processes have committed, however little
// of it they use. Pressure takes what has not been needed for a while, slowly and only while the guest is quiet, and gives
// back at once what it needs. docs/memory-flow.md explains both.
//
// Laws, each tested: the target is never above the limit, and never below the floor unless the limit is; between two intervals
// nothing is taken; a sample that says nothing new changes nothing.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "selfballoon/params.h"

namespace tmem::selfballoon {

// One look at the guest. Counters run since boot; the controller takes differences.
struct Sample {
  uint64_t time_ms = 0;
  bool between = false;          // not the end of an interval: the policy may only give

  uint64_t limit_kib = 0;        // what the toolstack allows (memory/target), as a target of the balloon
  uint64_t target_kib = 0;       // the balloon's target now
  uint64_t current_kib = 0;      // what the balloon has reached
  uint64_t total_kib = 0;        // MemTotal: current without what the kernel took at boot
  uint64_t available_kib = 0;    // MemAvailable
  uint64_t committed_kib = 0;    // Committed_AS
  uint64_t reserve_kib = 0;      // the kernel's totalreserve_pages
  uint64_t kernel_kib = 0;       // what it cannot free: unreclaimable slab, stacks, page tables, locked pages, the reserve
  uint64_t span_kib = 0;         // the kernel's max_pfn
  uint64_t in_tmem_kib = 0;      // swapped out into tmem

  std::optional<uint64_t> stall_us;  // PSI, some, total; none where PSI is off
  uint64_t refaults_pages = 0;       // pages that came back soon after they were dropped
  uint64_t swapins_pages = 0;        // without those that self-shrinking brought back
};

// What decide() remembers. A default State is that of a controller that has seen nothing.
struct State {
  static constexpr size_t kWindowMax = 64;
  bool seen = false;
  uint64_t time_ms = 0, stall_us = 0, refaults_pages = 0, swapins_pages = 0;  // of the last sample

  std::array<uint64_t, kWindowMax> needs_kib{};  // the highest need in each of the last intervals; [window_at] is the current one
  uint32_t window_at = 0;
  uint64_t took_ms = 0;           // when memory was taken last
  uint32_t calm_intervals = 0;    // quiet ones in a row
  uint32_t alarms = 0;            // samples under pressure in a row: each gives twice what the one before gave
  uint64_t hold_kib = 0;          // not below this ...
  uint32_t hold_intervals = 0;    // ... for so long
  uint32_t backoff = 0;           // doubles how long: of alarms that came soon after memory was taken, less those long past

  uint64_t in_tmem_kib = 0;
  uint32_t shrink_counter = 0;
};

enum class Reason {
  kOff,          // selfballooning = 0: everything is given back
  kSettled,      // nothing to do
  kLimit,        // the toolstack's target fell or the balloon stood above it
  kBalloonBusy,  // the last target has not been reached
  kCommitted,    // follows what is committed
  kFloor,        // the floor is above where the balloon stands
  kTakes,        // not needed for a while
  kNeed,         // need has grown
  kStalls,       // PSI
  kRefaults,     // refaults or swap-ins
  kHolds,        // taking here hurt before
  kWaits,        // quiet, but not for long enough
};
const char* to_string(Reason reason);

struct Decision {
  uint64_t target_kib = 0;
  Reason reason = Reason::kSettled;
  uint64_t unswap_kib = 0;  // bring so much back from tmem
  uint64_t floor_kib = 0;   // the lowest target that this sample allowed
  State next;
};

Decision decide(const Params& params, const State& state, const Sample& sample);

// The committed policy's pieces, for its tests: the lowest target in pages, and the target before limit and balloon's offset.
uint64_t committed_floor_pages(const Params& params, uint64_t max_pfn, uint64_t totalreserve_pages);
uint64_t committed_target_pages(const Params& params, uint64_t totalram_pages, uint64_t goal_pages);

}  // namespace tmem::selfballoon
