// SPDX-License-Identifier: MIT
// Moves a host's memory as the policy (flow/host_policy.h) says: round() looks at Xen, at xenstore and at the service, asks the
// policy, and acts. It may run at any time and as often as wanted; what it has to remember over a restart is in xenstore.
//
// Order: the tmem domain grows first and its service then, as far as the domain has come; the service shrinks first and the
// domain follows what the service has let go. So at no moment does the service count on memory that its domain has not got.
//
// A request for pages stands from the round that asks to the one that does not. What is not this program's own stays. The record of
// a guest's lowered target is kept by UUID: a guest that reboots, or is saved and restored here, comes back with that target.
//
// Relies on nodes that dom0 owns only. What a guest writes about itself is not read here; what it has, Xen says.
//
// Borrows all three for its life. Thread rule: one thread.
#pragma once

#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "agent/xenstore.h"
#include "flow/host_policy.h"

namespace tmem::breathe {

using agent::Domid;

struct DomainView {
  Domid id = 0;
  uint64_t current_kib = 0;
  uint64_t max_kib = 0;      // what Xen lets it have
  uint64_t claimed_kib = 0;  // set aside for it already
  bool paused = false;
  bool dying = false;
  bool has_run = false;
};

// Xen, as far as this goes. Throws HostError.
struct HostError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
class Hypervisor {
 public:
  virtual ~Hypervisor() = default;
  virtual uint64_t free_kib() = 0;  // that nobody has claimed
  virtual std::vector<DomainView> domains() = 0;
  // memory/target and what Xen enforces, as xl mem-set does it: kib is with video memory, memory/target without.
  virtual void set_target(Domid domain, uint64_t kib) = 0;
};

struct ServiceMemory {
  uint64_t now_kib = 0;
  uint64_t target_kib = 0;
  uint64_t max_kib = 0;     // what it can be raised to
  uint64_t needed_kib = 0;  // a smaller target does not drop it: persistent pages, and what clients' minimums keep
  uint64_t least_kib = 0;   // a smaller target is refused
};
// What the service keeps for a guest that is connected.
struct ServiceClient {
  std::string uuid;        // its numbers for clients are the service's own
  uint32_t weight = 100;
  uint64_t pages = 0;      // persistent
  uint64_t pages_min = 0;
  uint64_t kib = 0;        // that those take
};
class Service {
 public:
  virtual ~Service() = default;
  virtual std::optional<ServiceMemory> memory(Domid domain) = 0;  // none: it does not answer
  virtual std::optional<std::vector<ServiceClient>> clients(Domid domain) = 0;
  virtual bool set_memory(Domid domain, uint64_t kib) = 0;
};

struct Event {
  flow::HostEvent what;
  Domid domain = 0;  // 0: the host
  std::string name;
};

class Breather {
 public:
  struct Options {
    flow::HostParams params;
    std::string service_domain;                         // name or id
    std::function<bool(Domid, const std::string&)> migrates;  // is it being saved or moved?
  };
  using Tell = std::function<void(const Event&)>;

  Breather(agent::Store& store, Hypervisor& hypervisor, Service& service, Options options, Tell tell);

  // True: something is on its way; look again soon. A guest whose target cannot be set stops nobody else's: the HostError comes last.
  bool round(uint64_t now_ms);

 private:
  struct Room {
    std::set<Domid> before;            // who was there when it was asked for; others use it up
    uint64_t asked_ms = 0;             // seen first
    std::optional<uint64_t> told_ms;   // made or found short
    uint64_t left_kib = 0;             // after what newcomers have taken
    std::set<Domid> taken_by;          // those newcomers
  };
  struct Waiting {  // a domain that is being built, or dom0 on its way down
    uint64_t missing_kib = 0;  // when that changed last
    uint64_t since_ms = 0;
  };
  struct Look {
    uint64_t free_kib = 0;  // Xen's own figure
    std::vector<DomainView> domains;
    std::optional<DomainView> tmem;
    std::optional<ServiceMemory> service;
    uint64_t tmem_own_kib = 0;  // the domain's own need: kernel and program
    uint64_t tmem_aim_kib = 0;  // memory/target of the tmem domain
    uint64_t tmem_max_kib = UINT64_MAX;
    uint64_t waiting_kib = 0;  // of sample.room_kib, what nobody has asked for by make-room
    flow::HostSample sample;
    std::map<Domid, uint64_t> set_kib;  // memory/target of guests as the administrator set it
  };

  bool service_is_silent(const Look& seen, uint64_t now_ms);
  Look look(uint64_t now_ms);
  uint64_t own_kib(const DomainView& domain, const ServiceMemory& service);
  void look_at_tmem(Look& seen);
  void look_at_guests(Look& seen);
  uint64_t waiting_kib(const Look& seen, uint64_t now_ms);
  uint64_t asked_rooms_kib(const Look& seen, uint64_t now_ms);
  uint64_t unused_kib(const Look& seen);
  std::vector<std::string> oldest_first() const;  // rooms
  Room first_seen(const std::string& id, const Look& seen, uint64_t now_ms);
  void note_before(const std::string& id, const Room& room);
  void look_at_pages(const Look& seen);
  flow::GuestView guest(const DomainView& domain, uint64_t target_kib, Look& seen);
  std::optional<uint64_t> number(const std::string& path);
  std::string name_of(Domid domain);

  bool move_tmem(const Look& seen, uint64_t target_kib);
  std::exception_ptr limit_guests(const Look& seen, const flow::HostPlan& plan);
  void limit(Domid domain, uint64_t kib, uint64_t before_kib, uint64_t set_kib);
  void ask_for_pages(const Look& seen, const flow::HostPlan& plan);
  void answer_rooms(const Look& seen, bool moving, uint64_t now_ms);
  void report(const Look& seen, const flow::HostPlan& plan);

  agent::Store& store_;
  Hypervisor& hypervisor_;
  Service& service_;
  Options options_;
  Tell tell_;
  flow::HostState state_;
  std::map<std::string, Room> rooms_;
  std::map<Domid, Waiting> waiting_;
  std::optional<Domid> tmem_;
  uint64_t own_kib_ = 0;
  bool room_short_ = false;  // told of already
  std::optional<uint64_t> silent_since_ms_;
  std::vector<ServiceClient> clients_;  // as the service told last, while somebody waits
};

// What a Breather has asked of guests is over: targets are the administrator's again, and no pages are wanted. For when memory is moved
// no more. Throws HostError, after it has done what it could.
void let_go(agent::Store& store, Hypervisor& hypervisor);
// Is there anything to let go, of an agent before, or of guests here that were saved or being built when memory was last moved?
bool holds_any(agent::Store& store);

}  // namespace tmem::breathe
