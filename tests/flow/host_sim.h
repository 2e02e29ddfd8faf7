// SPDX-License-Identifier: MIT
// A host in virtual time: guests with a day's load, a tmem domain that breathes, Xen's free memory, guests that are built and end.
// A second is a step. The guests run tools/selfballoon's controller, the host xenstore-config/flow's policy, and all that it answers
// is done: the tmem domain's size, limits, pages that go back. The same seed gives the same day.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <vector>

#include "flow/host_policy.h"
#include "selfballoon/guest_model.h"

namespace tmem::flow {

// How memory is dealt out.
enum class Scheme {
  kStatic,     // each guest has an equal part for good; what does not fit goes to disk
  kCommitted,  // self-ballooning by the committed policy, and tmem
  kPressure,   // self-ballooning by the pressure policy, and tmem
};
const char* to_string(Scheme scheme);

struct HostSetup {
  Scheme scheme = Scheme::kPressure;
  unsigned guests = 40;
  uint64_t guest_kib = 1024 * 1024;
  unsigned percent = 55;              // of the guests' sum that the host has
  unsigned seconds = 86400;
  uint64_t seed = 1;
  double compression = 2.5;           // pages in tmem take so much less
  unsigned disobedient = 0;           // guests that have no daemon and ignore their limit
  bool turns = false;                 // bursts come one after another instead of at random
  // With newcomers guests are of unlike size, weight, minimum and buffer, and now and then one migrates.
  unsigned newcomer_seconds = 0;      // a guest is built so often, on the average, waits for its memory, and ends after an hour or less; 0: none
};

// Of guests that are built while the others run.
struct Newcomers {
  uint64_t built = 0;
  uint64_t given_up = 0;              // five minutes were not enough
  uint64_t wait_seconds = 0;          // of all
  uint64_t wait_seconds_max = 0;      // of one, while the others' minima left enough for it
  std::map<uint32_t, uint64_t> asked_kib;  // of balloons, by weight; of those that were there from the start
  uint64_t taken_back_kib = 0;        // out of tmem, because dom0 asked
  uint64_t limits_reversed = 0;       // of all guests
  uint64_t idle_seconds_max = 0;      // no limit went up so long, though nobody waited, some were low, and there was memory
  uint64_t lowered_kib_last = 0;      // by so much limits are low in the end
  uint64_t forbidden = 0;             // limits lowered below a minimum, above a maximum, or while the guest migrates: never
};

struct HostResult {
  uint64_t wanted_gib_seconds = 0;
  uint64_t in_tmem_gib_seconds = 0;   // of it, served out of tmem instead of the guest's own memory
  uint64_t on_disk_gib_seconds = 0;   // of it, on disk
  uint64_t short_seconds = 0;         // of guests that were short of anything
  uint64_t hurt_seconds = 0;          // a guest was short although its limit was enough
  uint64_t moves_reversed = 0;        // of all balloons' targets
  uint64_t free_kib_lowest = UINT64_MAX;
  bool overcommitted = false;         // more handed out than there is: never
  double fairness = 0;                // Jain's index over the guests' share of what they wanted; 1 is equal
  std::vector<uint64_t> guests_mib, tmem_mib, wanted_mib;  // a point a minute
  Newcomers newcomers;
};

HostResult simulate(const HostSetup& setup);

// What a guest wants: idle for long, and bursts of minutes, more of them by day.
class DayLoad {
 public:
  DayLoad(const HostSetup& setup, unsigned guest);
  selfballoon::Demand at(unsigned second);

 private:
  HostSetup setup_;
  unsigned guest_;
  std::mt19937_64 random_;
  unsigned until_ = 0;
  bool busy_ = false;
  uint64_t anon_kib_ = 0;
};

}  // namespace tmem::flow
