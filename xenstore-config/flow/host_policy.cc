// SPDX-License-Identifier: MIT
#include "flow/host_policy.h"

#include <algorithm>

namespace tmem::flow {
namespace {

uint64_t above(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

class Planner {
 public:
  Planner(const HostParams& params, const HostState& state, const HostSample& sample) : params_(params), sample_(sample) {
    plan_.next = state;
    plan_.tmem_target_kib = sample.tmem_current_kib;
  }

  HostPlan run() {
    watch_guests();
    const uint64_t wanted = params_.reserve_kib + sample_.room_kib + buffers_kib();
    if (sample_.free_kib < wanted) shrink(wanted - sample_.free_kib);
    else grow(sample_.free_kib - wanted);
    tell_level();
    return std::move(plan_);
  }

 private:
  bool obeys(GuestId id) const {
    const auto found = plan_.next.guests.find(id);
    return found == plan_.next.guests.end() || !found->second.stuck;
  }

  // A guest above its limit has to come nearer. One that stands still is neither counted on nor asked again.
  void watch_guests() {
    std::map<GuestId, Progress> now;
    for (const GuestView& guest : sample_.guests) {
      const uint64_t distance = above(guest.current_kib, guest.limit_kib + params_.slack_kib);
      const auto before = plan_.next.guests.find(guest.id);
      Progress progress{distance, sample_.time_ms, false};
      if (before != plan_.next.guests.end() && distance > 0 && distance >= before->second.distance_kib && before->second.distance_kib > 0) {
        progress = before->second;
        progress.stuck = progress.stuck || above(sample_.time_ms, progress.since_ms) >= params_.stuck_ms;
      }
      const bool was_stuck = before != plan_.next.guests.end() && before->second.stuck;
      if (was_stuck && distance > 0) progress.stuck = true;  // until it is there
      if (progress.stuck != was_stuck) event(progress.stuck ? HostEvent::kGuestStuck : HostEvent::kGuestObeys, guest.id);
      now[guest.id] = progress;
    }
    plan_.next.guests = std::move(now);
  }

  // What guests may take back within a moment. One that is at its limit, or does not obey, gets nothing kept.
  uint64_t buffers_kib() const {
    uint64_t sum = 0;
    for (const GuestView& guest : sample_.guests) {
      if (obeys(guest.id)) sum += std::min(above(guest.limit_kib, guest.current_kib), guest.current_kib * guest.buffer_percent / 100);
    }
    return sum;
  }

  // At once, first from tmem: what it holds beyond persistent pages can be dropped. Guests are asked only where somebody waits.
  void shrink(uint64_t missing) {
    const uint64_t floor = std::max(sample_.tmem_persistent_kib, std::min(params_.tmem_min_kib, sample_.tmem_current_kib));
    const uint64_t from_tmem = std::min(missing, above(sample_.tmem_current_kib, floor));
    plan_.tmem_target_kib = sample_.tmem_current_kib - from_tmem;
    missing -= from_tmem;
    const uint64_t waited_for = above(params_.reserve_kib + sample_.room_kib, sample_.free_kib + from_tmem);
    if (sample_.room_kib == 0 || waited_for == 0) return;
    if (ask_guests(std::min(missing, waited_for)) > 0) event(HostEvent::kRoomShort, 0);
  }

  // By weight, each down to its minimum; what one cannot give the others do. Returns what is still missing.
  uint64_t ask_guests(uint64_t missing) {
    std::vector<const GuestView*> left;
    std::map<GuestId, uint64_t> given;
    for (const GuestView& guest : sample_.guests) {
      const uint64_t falling = above(guest.current_kib, guest.limit_kib);  // what it was asked for before and will give
      if (!guest.migrating && obeys(guest.id)) {
        missing = above(missing, falling);
        left.push_back(&guest);
      }
    }
    const auto can = [&](const GuestView* g) { return above(above(std::min(g->current_kib, g->limit_kib), g->min_kib), given[g->id]); };
    while (missing > 0) {
      std::erase_if(left, [&](const GuestView* g) { return can(g) == 0; });
      double shares = 0;
      for (const GuestView* g : left) shares += 1.0 / std::max(g->weight, 1u);
      if (left.empty()) break;
      uint64_t round = 0;
      for (const GuestView* g : left) {
        const uint64_t part = static_cast<uint64_t>(static_cast<double>(missing) / std::max(g->weight, 1u) / shares) + 1;
        const uint64_t taken = std::min({part, can(g), missing - std::min(missing, round)});
        given[g->id] += taken;
        round += taken;
      }
      missing -= std::min(missing, round);
    }
    for (const auto& [id, kib] : given) {
      if (kib > 0) plan_.limits_kib[id] = std::min(view(id).current_kib, view(id).limit_kib) - kib;
    }
    return missing;
  }

  // Limits that were lowered go up again before tmem grows.
  void grow(uint64_t surplus) {
    for (const GuestView& guest : sample_.guests) {
      const uint64_t step = std::min(above(guest.max_kib, guest.limit_kib), surplus);
      if (sample_.room_kib > 0 || step == 0) continue;
      plan_.limits_kib[guest.id] = guest.limit_kib + step;
      surplus -= std::min(surplus, step);
    }
    if (sample_.tmem_current_kib == 0 || surplus <= params_.slack_kib) return;
    const uint64_t step = std::max(surplus / std::max(params_.tmem_growth_divisor, 1u), std::min(surplus, params_.slack_kib));
    plan_.tmem_target_kib = std::min(sample_.tmem_current_kib + step, std::max(params_.tmem_max_kib, sample_.tmem_current_kib));
  }

  void tell_level() {
    const bool low = sample_.free_kib < params_.reserve_kib / 2, enough = sample_.free_kib >= params_.reserve_kib;
    if (low && !plan_.next.low) event(HostEvent::kMemoryLow, 0);
    if (enough && plan_.next.low) event(HostEvent::kMemoryEnough, 0);
    plan_.next.low = low || (plan_.next.low && !enough);
  }

  const GuestView& view(GuestId id) const {
    return *std::find_if(sample_.guests.begin(), sample_.guests.end(), [&](const GuestView& g) { return g.id == id; });
  }
  void event(HostEvent what, GuestId id) { plan_.events.emplace_back(what, id); }

  const HostParams& params_;
  const HostSample& sample_;
  HostPlan plan_;
};

}  // namespace

const char* to_string(HostEvent event) {
  switch (event) {
    case HostEvent::kGuestStuck: return "guest-stuck";
    case HostEvent::kGuestObeys: return "guest-obeys";
    case HostEvent::kMemoryLow: return "memory-low";
    case HostEvent::kMemoryEnough: return "memory-enough";
    case HostEvent::kRoomShort: return "room-short";
  }
  return "unknown";
}

HostPlan plan(const HostParams& params, const HostState& state, const HostSample& sample) { return Planner(params, state, sample).run(); }

}  // namespace tmem::flow
