// SPDX-License-Identifier: MIT
// A host in memory: Xen's figures, the service of its tmem domain, and xenstore. Domains come nearer to their targets by as much
// as a test lets them, and memory is neither made nor lost by it.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "agent/fake_store.h"
#include "breathe/breather.h"
#include "breathe/words.h"
#include "tmem/tmem_xs.h"

namespace tmem::breathe {

inline constexpr uint64_t kMib = 1024;
inline constexpr Domid kTmem = 1;

inline std::string node(Domid domain, const std::string& name) { return "/local/domain/" + std::to_string(domain) + "/" + name; }

inline std::string uuid_of(Domid domain) { return std::string("01234567-89ab-cdef-0123-456789abcde") + std::to_string(domain % 10); }

class FakeHost final : public Hypervisor, public Service {
 public:
  // dom0, and a tmem domain of 500 MiB, 100 of them its own, of 1000 that it may have; 1 GiB is free.
  FakeHost() {
    add(0, "Domain-0", 512);
    add(kTmem, "tmem", 500);
    store.nodes[node(kTmem, "memory/static-max")] = {std::to_string(1000 * kMib), {}};
    service = {300 * kMib, 400 * kMib, 900 * kMib, 100 * kMib};
  }

  DomainView& add(Domid id, const std::string& name, uint64_t mib) {
    store.nodes[node(id, "name")] = {name, {}};
    store.nodes[node(id, "vm")] = {"/vm/" + uuid_of(id), {}};
    store.nodes[node(id, "memory/target")] = {std::to_string(mib * kMib), {}};
    all.push_back({id, mib * kMib, mib * kMib, 0, false, false, true});
    return all.back();
  }
  DomainView& domain(Domid id) {
    return *std::find_if(all.begin(), all.end(), [&](const DomainView& d) { return d.id == id; });
  }
  uint64_t target(Domid id) { return to_number(store.read(node(id, "memory/target")).value_or("")).value_or(0); }

  uint64_t videoram(Domid id) { return to_number(store.read(node(id, "memory/videoram")).value_or("")).value_or(0); }

  // Guests that have frontswap take back what they are asked for, up to so many pages each.
  void take_back(uint64_t pages_max) {
    for (ServiceClient& c : kept) {
      const auto of = std::find_if(all.begin(), all.end(), [&](const DomainView& d) { return uuid_of(d.id) == c.uuid; });
      const auto target = to_number(store.read(node(of->id, TMEM_XS_PAGES_TARGET)).value_or(""));
      if (!target || c.pages <= *target) continue;
      const uint64_t pages = std::min(pages_max, c.pages - *target), kib = c.kib * pages / c.pages;
      c.pages -= pages;
      c.kib -= kib;
      service.needed_kib -= kib;
    }
  }

  // Balloons arrive: everyone's but those who ignore their targets. The service lets go what it is told to, down to what it needs.
  void settle() {
    service.now_kib = std::max(std::min(service.now_kib, service.target_kib), service.needed_kib);
    for (DomainView& d : all) {
      if (d.paused || ignores == d.id) continue;
      const uint64_t to = target(d.id) + videoram(d.id) + (d.id == kTmem ? special_kib : 0);
      const uint64_t step = to > d.current_kib ? std::min(to - d.current_kib, free) : 0;
      free = to > d.current_kib ? free - step : free + (d.current_kib - to);
      d.current_kib = to > d.current_kib ? d.current_kib + step : to;
    }
  }

  uint64_t free_kib() override { return free; }
  std::vector<DomainView> domains() override { return all; }
  void set_target(Domid id, uint64_t kib) override {
    if (refuses == id || kib - videoram(id) > to_number(store.read(node(id, "memory/static-max")).value_or("")).value_or(kib)) throw HostError("refused");
    if (id == kTmem) order.push_back("domain " + std::to_string(kib / kMib));
    store.write(node(id, "memory/target"), std::to_string(kib - videoram(id)), {});
  }
  std::optional<ServiceMemory> memory(Domid) override { return answers ? std::optional(service) : std::nullopt; }
  std::optional<std::vector<ServiceClient>> clients(Domid) override { return answers ? std::optional(kept) : std::nullopt; }
  bool set_memory(Domid, uint64_t kib) override {
    order.push_back("service " + std::to_string(kib / kMib));
    service.target_kib = kib;
    return answers;
  }

  agent::FakeStore store;
  std::vector<DomainView> all;
  uint64_t free = 1024 * kMib;
  uint64_t special_kib = 0;  // of the tmem domain, beyond its target
  ServiceMemory service;
  std::vector<ServiceClient> kept;
  bool answers = true;
  std::optional<Domid> ignores, refuses;  // its target; to have that set
  std::vector<std::string> order;  // of what was asked of the tmem domain and its service
};

}  // namespace tmem::breathe
