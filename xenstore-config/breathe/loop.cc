// SPDX-License-Identifier: MIT
#include "breathe/loop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <unistd.h>

#include <chrono>
#include <cerrno>
#include <ctime>
#include <deque>
#include <system_error>
#include <utility>

#include "breathe/control_service.h"
#include "breathe/hooks.h"
#include "breathe/moving.h"
#include "breathe/remembered_store.h"
#include "breathe/words.h"
#include "breathe/xen_hypervisor.h"
#include "tmem/tmem_xs.h"

namespace tmem::breathe {
namespace {

constexpr int kMovingMs = 200;
constexpr int kGapMs = 100;  // at least, between two rounds; events may come in thousands
constexpr int kReconnectMs = 1000;
constexpr uint64_t kScriptMs = 30000;
constexpr size_t kEventsKept = 12;

uint64_t now_ms() { return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count()); }

int priority_of(flow::HostEvent what) {
  return what == flow::HostEvent::kGuestObeys || what == flow::HostEvent::kMemoryEnough ? LOG_INFO : LOG_WARNING;
}

std::string sentence(const Event& event) {
  const std::string guest = "guest '" + event.name + "' (dom " + std::to_string(event.domain) + ")";
  switch (event.what) {
    case flow::HostEvent::kGuestStuck: return guest + " does not come nearer to its memory/target; it is counted on no more until it does";
    case flow::HostEvent::kGuestObeys: return guest + " has come to its memory/target";
    case flow::HostEvent::kMemoryLow: return "less than half of the host's reserve is free; nothing is refused yet";
    case flow::HostEvent::kMemoryEnough: return "the host's reserve is free again";
    case flow::HostEvent::kRoomShort: return "the room that is waited for cannot be made; see the limits of guests, and memory/tmem/flow/min";
  }
  return flow::to_string(event.what);
}

// Tells the store of what changes behind its back: which domains there are, and the targets that libxl writes.
class ToldHypervisor final : public Hypervisor {
 public:
  ToldHypervisor(std::unique_ptr<Hypervisor> of, RememberedStore& store) : of_(std::move(of)), store_(store) {}
  uint64_t free_kib() override { return of_->free_kib(); }
  std::vector<DomainView> domains() override {
    std::vector<DomainView> views = of_->domains();
    std::vector<Domid> ids;
    for (const DomainView& view : views) ids.push_back(view.id);
    for (const std::string& name : store_.list("/local/domain")) {  // some stay when their domain has gone, and are looked at each round
      if (const auto id = to_number(name)) ids.push_back(static_cast<Domid>(*id));
    }
    store_.keep(ids);
    return views;
  }
  void set_target(Domid domain, uint64_t kib) override {
    of_->set_target(domain, kib);
    store_.told("/local/domain/" + std::to_string(domain) + "/memory/target");
  }

 private:
  std::unique_ptr<Hypervisor> of_;
  RememberedStore& store_;
};

}  // namespace

Loop::Loop(LoopOptions options, Log log) : options_(std::move(options)), log_(std::move(log)), stop_(eventfd(0, EFD_CLOEXEC)) {
  if (stop_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  thread_ = std::thread([this] { run(); });
}

Loop::~Loop() {
  const uint64_t one = 1;
  if (write(stop_, &one, sizeof one) != sizeof one) log_(LOG_ERR, "cannot end the thread that moves memory");
  thread_.join();
  close(stop_);
}

bool Loop::wait(int fd, int timeout_ms) const {
  pollfd fds[2] = {{stop_, POLLIN, 0}, {fd, POLLIN, 0}};
  poll(fds, 2, timeout_ms);
  return fds[0].revents == 0;
}

bool Loop::stopping() const { return !wait(-1, 0); }

void Loop::run() {
  bool told = false;
  while (!stopping()) {
    try {
      session(told);
    } catch (const std::exception& error) {  // of xenstored, of Xen: nothing that is worth ending for
      if (!told) log_(LOG_WARNING, std::string("memory does not move: ") + error.what());
      told = true;
      wait(-1, kReconnectMs);
    }
  }
}

void Loop::session(bool& told) {
  agent::XenStore xenstore;
  RememberedStore store(xenstore);
  ToldHypervisor hypervisor(open_hypervisor(), store);
  const auto complain = [this](const std::string& text) { log_(LOG_WARNING, text); };
  const auto service = open_service(complain);
  Hooks hooks(options_.events_directory, kScriptMs, complain);
  std::deque<std::string> events;
  const auto tell = [&](const Event& event) {
    const std::string name = flow::to_string(event.what);
    log_(priority_of(event.what), sentence(event));
    hooks.run({name, std::to_string(event.domain), event.name}, now_ms());
    events.push_back(std::to_string(std::time(nullptr)) + " " + name + " " + std::to_string(event.domain) + " " + event.name);
    if (events.size() > kEventsKept) events.pop_front();
    std::string lines;
    for (const std::string& line : events) lines += (lines.empty() ? "" : "\n") + line;
    store.write(TMEM_XS_FLOW_EVENTS, lines, {});
  };
  Moving moving_guests(options_.proc);
  const auto migrates = [&](Domid domain, const std::string& name) { return moving_guests.has(domain, name); };
  Breather breather(store, hypervisor, *service, {options_.params, options_.service_domain, migrates}, tell);
  store.write(TMEM_XS_FLOW, "", {});
  for (const char* path : {"@introduceDomain", "@releaseDomain", "/libxl", "/local/domain/0/memory/target"}) store.watch(path, "flow");
  bool trouble = false;
  do {
    bool moving = false;
    moving_guests.forget();
    try {
      moving = breather.round(now_ms());
      trouble = told = false;
    } catch (const HostError& error) {  // of one guest, as a rule: what is known of the others stays
      if (!std::exchange(trouble, true)) complain(error.what());
    }
    hooks.look(now_ms());
    const int rest_ms = moving ? kMovingMs : static_cast<int>(options_.interval_seconds) * 1000;
    if (!wait(-1, kGapMs) || !wait(xenstore.fd(), rest_ms - kGapMs)) break;
    while (const auto event = xenstore.next_event()) store.told(event->first);
  } while (!stopping());
  let_go(store, hypervisor);
}

}  // namespace tmem::breathe
