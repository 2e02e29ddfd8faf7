// SPDX-License-Identifier: MIT
#include "flow/host_policy.h"

#include <algorithm>
#include <utility>

namespace tmem::flow {
namespace {

uint64_t above(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

// Of what is outstanding, so much at least within stuck_ms is coming nearer: for a trickle one would wait for days.
constexpr uint64_t kProgressPart = 16, kProgressPagesPart = 64, kProgressPagesMin = 256;
bool comes_nearer(uint64_t before, uint64_t now, uint64_t least) { return now <= above(before, least); }

class Planner {
 public:
  Planner(const HostParams& params, const HostState& state, const HostSample& sample) : params_(params), sample_(sample) {
    plan_.next = state;
    asked_before_ = std::exchange(plan_.next.asked, {});  // over unless they are wanted still
    plan_.tmem_target_kib = sample.tmem_current_kib;
  }

  HostPlan run() {
    watch_guests();
    let_keep();
    const uint64_t wanted = params_.reserve_kib + sample_.room_kib + buffers_kib();
    const uint64_t restored = wanted + lowered_kib();
    if (sample_.free_kib < restored) shrink(restored - sample_.free_kib);
    if (sample_.free_kib >= wanted) grow(sample_.free_kib - wanted);
    keep_maxima();
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
      Progress progress{guest.limit_kib, distance, sample_.time_ms, false, {}};
      if (before != plan_.next.guests.end() && distance > 0 && before->second.limit_kib == guest.limit_kib && before->second.distance_kib > 0 &&
          !comes_nearer(before->second.distance_kib, distance, std::max(params_.slack_kib / 4, before->second.distance_kib / kProgressPart))) {
        progress = before->second;
        progress.stuck = progress.stuck || above(sample_.time_ms, progress.since_ms) >= params_.stuck_ms;
      }
      const bool was_stuck = before != plan_.next.guests.end() && before->second.stuck;
      if (was_stuck && distance > 0) progress.stuck = true;  // until it is there
      if (progress.stuck != was_stuck) event(progress.stuck ? HostEvent::kGuestStuck : HostEvent::kGuestObeys, guest.id);
      if (before != plan_.next.guests.end() && above(guest.limit_kib, guest.current_kib) > params_.slack_kib) {
        if (guest.limit_kib > before->second.limit_kib) progress.raised_ms = sample_.time_ms;
        else if (guest.limit_kib == before->second.limit_kib) progress.raised_ms = before->second.raised_ms;
      }
      now[guest.id] = progress;
    }
    plan_.next.guests = std::move(now);
  }

  // A guest whose limit has gone up takes all of it, and is on its way. One that does not come for so long has no use for it now.
  bool promised(GuestId id) const {
    const auto& raised_ms = plan_.next.guests.at(id).raised_ms;
    return raised_ms && above(sample_.time_ms, *raised_ms) < params_.stuck_ms;
  }

  // What guests may take back within a moment, and all of what is too little to be told of as promised. One that is at its limit, or does not
  // obey, gets nothing kept.
  uint64_t buffers_kib() const {
    uint64_t sum = 0;
    for (const GuestView& guest : sample_.guests) {
      const uint64_t can = above(guest.limit_kib, guest.current_kib);
      if (promised(guest.id)) sum += can;
      else if (obeys(guest.id)) sum += std::min(can, std::max(guest.current_kib * guest.buffer_percent / 100, params_.slack_kib));
    }
    return sum;
  }

  uint64_t limit_of(const GuestView& guest) const {
    const auto planned = plan_.limits_kib.find(guest.id);
    return planned == plan_.limits_kib.end() ? guest.limit_kib : planned->second;
  }

  // What a guest was to give and has not given yet it keeps when nobody waits any more.
  void let_keep() {
    for (const GuestView& guest : sample_.guests) {
      const uint64_t kept = std::min(guest.max_kib, guest.current_kib);
      if (sample_.room_kib == 0 && above(kept, guest.limit_kib) > params_.slack_kib) plan_.limits_kib[guest.id] = kept;
    }
  }

  // What was taken for somebody goes back when nobody waits. Cache that tmem has filled itself with meanwhile is no reason to keep it.
  uint64_t lowered_kib() const {
    uint64_t sum = 0;
    for (const GuestView& guest : sample_.guests) sum += sample_.room_kib > 0 ? 0 : above(guest.max_kib, limit_of(guest));
    return sum;
  }

  // At once, first from tmem: what it holds beyond persistent pages can be dropped. Guests are asked only where somebody waits: for
  // their pages, so that tmem can give more; then for their memory.
  void shrink(uint64_t missing) {
    const uint64_t least = std::min(params_.tmem_min_kib, sample_.tmem_current_kib), floor = std::max(sample_.tmem_persistent_kib, least);
    const uint64_t from_tmem = std::min(missing, above(sample_.tmem_current_kib, floor));
    plan_.tmem_target_kib = sample_.tmem_current_kib - from_tmem;
    missing = std::min(missing - from_tmem, above(params_.reserve_kib + sample_.room_kib, sample_.free_kib + from_tmem));
    if (sample_.room_kib == 0 || missing == 0) return;
    const uint64_t from_pages = std::min(missing, floor - least);
    missing -= from_pages;
    if (ask_guests(missing + ask_for_pages(from_pages)) > 0) event(HostEvent::kRoomShort, 0);
  }

  // Returns what is missing beside what guests are bringing back. One that brings nothing back is not waited for.
  uint64_t ask_for_pages(uint64_t missing) {
    std::vector<Giver> givers;
    for (const GuestView& guest : sample_.guests) {
      if (guest.migrating) continue;
      const auto before = asked_before_.find(guest.id);
      if (before != asked_before_.end()) {
        Asked& asked = plan_.next.asked[guest.id] = before->second;
        const uint64_t least = std::max(kProgressPagesMin, above(asked.pages, asked.target) / kProgressPagesPart);
        if (guest.pages <= asked.target || comes_nearer(asked.pages, guest.pages, least)) asked = {asked.target, guest.pages, sample_.time_ms, asked.silent};
        asked.silent = asked.silent || (guest.pages > asked.target && above(sample_.time_ms, asked.since_ms) >= params_.stuck_ms);
        if (asked.silent) continue;
        missing = above(missing, gain_kib(guest, above(guest.pages, asked.target)));
        if (guest.pages > asked.target) continue;
      }
      givers.push_back({guest.id, guest.pages_weight, gain_kib(guest, above(guest.pages, guest.pages_min))});
    }
    for (const auto& [id, kib] : share_out(missing, givers)) {
      const GuestView& guest = view(id);
      const uint64_t pages = ((kib + balloon_kib(guest)) * guest.pages + guest.pages_kib - 1) / guest.pages_kib;
      plan_.next.asked[id] = {guest.pages - pages, guest.pages, sample_.time_ms, false};
    }
    for (const auto& [id, asked] : plan_.next.asked) {
      if (!asked.silent) plan_.pages_targets[id] = asked.target;
    }
    return missing;
  }
  // Pages that come back are larger than they were. Where its balloon may grow a guest takes that from the host, up to its limit.
  static uint64_t balloon_kib(const GuestView& guest) { return above(guest.limit_kib, guest.current_kib); }
  static uint64_t gain_kib(const GuestView& guest, uint64_t pages) {
    return guest.pages == 0 ? 0 : above(guest.pages_kib * pages / guest.pages, balloon_kib(guest));
  }

  // By weight, each down to its minimum. Returns what is still missing.
  uint64_t ask_guests(uint64_t missing) {
    std::vector<Giver> givers;
    for (const GuestView& guest : sample_.guests) {
      if (guest.migrating || !obeys(guest.id)) continue;
      missing = above(missing, above(guest.current_kib, guest.limit_kib));  // what it was asked for before and will give
      givers.push_back({guest.id, guest.weight, above(std::min(guest.current_kib, guest.limit_kib), guest.min_kib)});
    }
    for (const auto& [id, kib] : share_out(missing, givers)) plan_.limits_kib[id] = std::min(view(id).current_kib, view(id).limit_kib) - kib;
    return missing;
  }

  struct Giver {
    GuestId id;
    uint32_t weight;
    uint64_t can_kib;
  };
  // Twice the weight gives half as much; what one cannot give the others do. missing: what is left of it.
  static std::map<GuestId, uint64_t> share_out(uint64_t& missing, std::vector<Giver> givers) {
    std::map<GuestId, uint64_t> given;
    while (missing > 0) {
      std::erase_if(givers, [](const Giver& g) { return g.can_kib == 0; });
      if (givers.empty()) break;
      double shares = 0;
      for (const Giver& g : givers) shares += 1.0 / std::max(g.weight, 1u);
      uint64_t round = 0;
      for (Giver& g : givers) {
        const uint64_t part = static_cast<uint64_t>(static_cast<double>(missing) / std::max(g.weight, 1u) / shares) + 1;
        const uint64_t taken = std::min({part, g.can_kib, missing - std::min(missing, round)});
        g.can_kib -= taken;
        if (taken > 0) given[g.id] += taken;
        round += taken;
      }
      missing -= std::min(missing, round);
    }
    return given;
  }

  // Limits that were lowered go up again before tmem grows, also while room is kept: the surplus is beyond it.
  void grow(uint64_t surplus) {
    for (const GuestView& guest : sample_.guests) {
      const uint64_t step = std::min(above(guest.max_kib, limit_of(guest)), surplus);
      if (step == 0) continue;
      plan_.limits_kib[guest.id] = limit_of(guest) + step;
      surplus -= std::min(surplus, step);
    }
    if (sample_.tmem_current_kib == 0 || surplus <= params_.slack_kib) return;
    if (plan_.next.grew_ms && above(sample_.time_ms, *plan_.next.grew_ms) < params_.tmem_growth_ms) return;
    const uint64_t step = std::max(surplus / std::max(params_.tmem_growth_divisor, 1u), std::min(surplus, params_.slack_kib));
    plan_.tmem_target_kib = std::min(sample_.tmem_current_kib + step, std::max(params_.tmem_max_kib, sample_.tmem_current_kib));
    if (plan_.tmem_target_kib > sample_.tmem_current_kib) plan_.next.grew_ms = sample_.time_ms;
  }

  void keep_maxima() {
    for (const GuestView& guest : sample_.guests) {
      if (guest.limit_kib <= guest.max_kib || guest.migrating) continue;
      uint64_t& limit = plan_.limits_kib.try_emplace(guest.id, guest.max_kib).first->second;
      limit = std::min(limit, guest.max_kib);
    }
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
  std::map<GuestId, Asked> asked_before_;
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
