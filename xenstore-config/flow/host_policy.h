// SPDX-License-Identifier: MIT
// Where the memory of a host should be: plan() says how large the tmem domain and each guest's limit should be, from one look
// at the host. A pure function: it reads no clock and asks nobody, so the simulator of hosts proves the very code.
//
// Laws, each tested: memory that is promised elsewhere is never given to the tmem domain; the tmem domain is never taken below
// the persistent pages that it holds; no limit falls below its guest's minimum, and none is lowered for a guest that migrates
// or for one that does not obey; no guest is asked for pages below its minimum of them; a steady host gets a steady plan.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tmem::flow {

using GuestId = unsigned;

struct HostParams {
  uint64_t reserve_kib = 256 * 1024;      // always free: Xen's own needs and an ordinary guest's start
  uint64_t tmem_min_kib = 128 * 1024;
  uint64_t tmem_max_kib = UINT64_MAX;
  uint32_t tmem_growth_divisor = 8;       // one part of so many of the surplus at a time; giving back is immediate
  uint64_t tmem_growth_ms = 1000;         // at least, from one such step to the next
  uint64_t slack_kib = 16 * 1024;         // differences below are let be
  uint64_t stuck_ms = 10000;              // a guest that comes no nearer, by a part, to what it was asked for in so long does not obey
};

struct GuestView {
  GuestId id = 0;
  uint64_t min_kib = 0;           // never limited below
  uint64_t max_kib = 0;           // never limited above: the administrator's own target, or less where he said so
  uint32_t weight = 100;          // twice the weight gives half as much
  uint32_t buffer_percent = 20;   // of what it has, kept free for it to wake into
  uint64_t limit_kib = 0;         // memory/target
  uint64_t current_kib = 0;       // what Xen says it has
  bool migrating = false;         // nothing is squeezed before a migration
  uint64_t pages = 0;             // persistent, in the tmem domain; as a target: that may stay there
  uint64_t pages_min = 0;         // never asked for
  uint64_t pages_kib = 0;         // what they hold of the tmem domain
  uint32_t pages_weight = 100;    // as above
};

struct HostSample {
  uint64_t time_ms = 0;
  uint64_t free_kib = 0;             // Xen's
  uint64_t tmem_current_kib = 0;     // the tmem domain's; 0: there is none
  uint64_t tmem_persistent_kib = 0;  // of it, what holds pages that may not be lost, and the domain itself
  uint64_t room_kib = 0;             // somebody waits for so much: a guest that is being built, make-room, dom0's target
  std::vector<GuestView> guests;
};

struct Progress {
  uint64_t limit_kib = 0;
  uint64_t distance_kib = 0;  // from it, when it last came nearer
  uint64_t since_ms = 0;
  bool stuck = false;
  std::optional<uint64_t> raised_ms;  // the limit, until the guest has come there
};

// A guest that was asked to take pages back, as long as they are wanted.
struct Asked {
  uint64_t target = 0;        // that may stay
  uint64_t pages = 0;         // when some came last
  uint64_t since_ms = 0;
  bool silent = false;        // hardly any came for so long; it is not asked again
};

struct HostState {
  std::map<GuestId, Progress> guests;
  std::map<GuestId, Asked> asked;
  std::optional<uint64_t> grew_ms;  // the tmem domain, last
  bool low = false;
};

enum class HostEvent {
  kGuestStuck,     // it ignores its limit and is left out of the sum
  kGuestObeys,     // it came to its senses
  kMemoryLow,      // the reserve is touched; nothing is refused yet
  kMemoryEnough,
  kRoomShort,      // even with all given back, the room that is waited for is not there
};
const char* to_string(HostEvent event);

struct HostPlan {
  uint64_t tmem_target_kib = 0;
  std::map<GuestId, uint64_t> limits_kib;     // only what is to change
  std::map<GuestId, uint64_t> pages_targets;  // requests that stand: how many pages may stay in the tmem domain
  std::vector<std::pair<HostEvent, GuestId>> events;
  HostState next;
};

HostPlan plan(const HostParams& params, const HostState& state, const HostSample& sample);

}  // namespace tmem::flow
