// SPDX-License-Identifier: MIT
// Which device directories should exist, and making it so. reconcile() looks at the whole of xenstore, compares it with
// the policies, and changes only what differs; so it may run at any time and as often as wanted: after each event, after
// the agent's restart, beside an xen-tmemctl attach.
//
// What it relies on: nodes that guests cannot write (names, vm, the backend's directory). A guest can rewrite its own frontend
// directory, of which "backend" is read and compared with what was written there: if it differs the device is taken down and
// made anew, which harms that guest's device only.
//
// Thread rule: one thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/guest_config.h"
#include "agent/xenstore.h"
#include "tmem/tmem_xs.h"

namespace tmem::agent {

std::string backend_path(Domid backend, Domid guest);
std::string frontend_path(Domid guest);

// Writes both directories in one transaction, state Initialising; the guest's front takes it from there.
void attach(Store& store, Domid backend, Domid guest, const GuestName& name, const GuestPolicy& policy);
// Asks the backend to close (online 0); it removes its directory when it has. The frontend's goes with it.
void detach(Store& store, Domid backend, Domid guest);

// What xen-tmemctl attach and detach leave for the agent, for as long as the domain lives; its record keeps it beyond.
inline constexpr const char* kWishes = TMEM_XS_TOOL "/guest";  // /DOMID = "attach [KEY=VALUE...]" or "detach", dom0 only
inline constexpr const char* kWishAnswer = "answer";  // below it, from the agent: "done" or "refused: " and why
inline constexpr const char* kAgentNode = TMEM_XS_TOOL "/agent";  // number of the agent's process

std::optional<Domid> find_domain(StoreView& store, const std::string& name_or_id);
GuestName guest_name(StoreView& store, Domid guest);
// For a transaction that writes into a guest's directory: it must not come to be anew when libxl has just taken it away.
bool is_there(StoreView& transaction, Domid guest);

class Reconciler {
 public:
  struct Options {
    ConfigPlaces places;
    std::string backend_domain;  // name or id of the service's domain
    GuestPolicy fallback;
  };
  using Log = std::function<void(int priority, const std::string& text)>;  // syslog priorities

  Reconciler(Store& store, Options options, Log log);
  // One round. False: something is not yet as it should be (a domain is being built, a backend still closes); try again soon.
  bool reconcile();

 private:
  struct Known {
    GuestName name;
    GuestPolicy policy;
    std::string from;  // where it was found, for people
    std::string wish;  // that it was changed by
    bool tuned = false;
    std::string answer = {};  // to the wish, to be given at the end of the round
  };

  bool is_leftover(Domid guest);
  bool reconcile_guest(Domid backend, Domid guest);
  Known& known_guest(Domid guest, const GuestName& name);
  Known& policy_of(Domid guest, const GuestName& name);
  void keep(const Known& known);
  bool settle_detached(Domid backend, Domid guest, const GuestName& name);
  bool settle_attached(Domid backend, Domid guest, const Known& known);
  void carry(Domid guest);
  void remove_stale(Domid backend, const std::vector<Domid>& domains);
  void forget_gone(const std::function<bool(Domid)>& gone);
  void adopt_backend(Domid backend);

  Store& store_;
  Options options_;
  Log log_;
  std::optional<Domid> backend_;      // that may watch releases already
  std::map<Domid, Known> known_;
  std::map<Domid, std::chrono::steady_clock::time_point> nameless_;  // since when
};

}  // namespace tmem::agent
