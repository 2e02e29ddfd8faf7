// SPDX-License-Identifier: MIT
#include "flow/host_sim.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <optional>

namespace tmem::flow {
namespace {

using selfballoon::Demand;
using selfballoon::GuestModel;
using selfballoon::Params;

constexpr double kGib = 1024.0 * 1024;  // KiB
constexpr uint64_t kReserveKib = 256 * 1024;
constexpr uint64_t kPageKib = 4;
constexpr unsigned kPatienceS = 300;                           // of who waits to be built
constexpr unsigned kLifeMinS = 600, kLifeMaxS = 3600;          // of a newcomer
constexpr unsigned kTurnS = 600, kMigrationS = 120;            // one guest after another begins to migrate, and how long that takes
constexpr unsigned kLastNewcomerS = kLifeMaxS + kTurnS;        // before the end, so that one sees what is left behind

uint64_t above(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

struct Guest {
  GuestId id;
  GuestModel model;
  DayLoad load;
  uint64_t max_kib, min_kib;
  uint32_t weight = 100, buffer_percent = 20;
  unsigned ends_s = UINT_MAX;
  double wanted = 0, served = 0;
  int direction = 0;  // in which its limit went last
};

struct Waiting {
  uint64_t kib = 0;
  unsigned since_s = 0;
  uint64_t possible_s = 0;  // of these there was enough beyond the others' minima
};

class Host {
 public:
  explicit Host(const HostSetup& setup)
      : setup_(setup), memory_kib_(setup.guest_kib * setup.guests * setup.percent / 100), random_(setup.seed) {
    params_.reserve_kib = std::min(kReserveKib, memory_kib_ / 20);
    params_.tmem_min_kib = memory_kib_ / 50;
    tmem_kib_ = setup_.scheme == Scheme::kStatic ? 0 : params_.tmem_min_kib;
    for (GuestId i = 0; i < setup_.guests; ++i) {
      const uint64_t kib = setup_.guest_kib * (setup_.newcomer_seconds > 0 ? 50 + i % 3 * 50 : 100) / 100;
      add(i, setup_.scheme == Scheme::kStatic ? memory_kib_ / setup_.guests : kib, kib, (memory_kib_ - params_.reserve_kib - tmem_kib_) / setup_.guests);
      if (setup_.scheme == Scheme::kStatic || i < setup_.disobedient) guests_.back().model.obeys(false);
    }
    next_newcomer_s_ = setup_.newcomer_seconds > 0 ? 0 : UINT_MAX;
  }

  HostResult run() {
    for (unsigned s = 0; s < setup_.seconds; ++s) second(s);
    for (const Guest& guest : guests_) {
      leave(guest);
      result_.newcomers.lowered_kib_last += above(guest.max_kib, guest.model.limit_kib());
    }
    result_.wanted_gib_seconds = static_cast<uint64_t>(wanted_sum_);
    result_.in_tmem_gib_seconds = static_cast<uint64_t>(tmem_sum_);
    result_.on_disk_gib_seconds = static_cast<uint64_t>(disk_sum_);
    result_.fairness = fairness();
    return result_;
  }

 private:
  // load_kib: the size that its load is meant for.
  void add(GuestId id, uint64_t limit_kib, uint64_t load_kib, uint64_t start_kib) {
    GuestModel::Shape shape;
    shape.limit_kib = limit_kib;
    shape.start_kib = std::min(shape.limit_kib, start_kib);
    Params params;
    if (setup_.scheme == Scheme::kCommitted) params.policy = selfballoon::Policy::kCommitted;
    if (setup_.newcomer_seconds > 0 && id / 2 % 2 == 0) params.frontswap_selfshrinking = 0;
    HostSetup load = setup_;
    load.guest_kib = load_kib;
    guests_.push_back({id, GuestModel(shape, params), DayLoad(load, id), limit_kib, limit_kib / 8});
    if (setup_.newcomer_seconds == 0) return;
    Guest& guest = guests_.back();  // every one of these with every other
    guest.weight = id % 2 == 0 ? 100 : 200;
    if (id / 6 % 2 == 0) guest.min_kib = limit_kib / 2;
    guest.buffer_percent = id / 12 % 2 == 0 ? 30 : 10;
  }
  void leave(const Guest& guest) {
    result_.moves_reversed += static_cast<uint64_t>(guest.model.reversals());
    result_.hurt_seconds += guest.model.hurt_seconds();
    shares_.push_back(guest.wanted > 0 ? guest.served / guest.wanted : 1);
  }

  uint64_t used_kib() const {
    uint64_t sum = tmem_kib_;
    for (const Guest& guest : guests_) sum += guest.model.current_kib();
    return sum;
  }
  uint64_t free_kib() const { return memory_kib_ - std::min(memory_kib_, used_kib()); }

  void second(unsigned s) {
    come_and_go(s);
    uint64_t free = free_kib(), over = 0, swapped = 0, wanted = 0;
    // Who asks first gets first; the turn goes round.
    for (size_t n = 0; n < guests_.size(); ++n) {
      Guest& guest = guests_[(n + s) % guests_.size()];
      const int64_t moved = guest.model.second(guest.load.at(s), free);
      free = static_cast<uint64_t>(static_cast<int64_t>(free) - moved);
      over += guest.model.short_kib();
      result_.short_seconds += guest.model.short_kib() > 0;
      swapped += guest.model.in_tmem_kib();
      wanted += guest.model.wanted_kib();
    }
    const double room = static_cast<double>(tmem_kib_) * setup_.compression;
    fits_ = swapped == 0 ? 1 : std::min(1.0, room / static_cast<double>(swapped));
    account(over, wanted, setup_.scheme == Scheme::kStatic ? 0 : fits_);
    breathe(s, static_cast<uint64_t>(static_cast<double>(swapped) / setup_.compression));
    result_.overcommitted |= used_kib() > memory_kib_;
    result_.free_kib_lowest = std::min(result_.free_kib_lowest, free_kib());
    if (s % 60 == 0) point(wanted);
  }

  // A newcomer takes its memory at once, when there is so much free: also of the reserve. Others' balloons may have been faster.
  void come_and_go(unsigned s) {
    std::erase_if(guests_, [&](const Guest& guest) {
      if (guest.ends_s > s) return false;
      leave(guest);
      return true;
    });
    if (!waiting_ && s >= next_newcomer_s_ && s + kLastNewcomerS < setup_.seconds) {
      waiting_ = Waiting{memory_kib_ / 32 + random_() % (memory_kib_ / 6), s};
      next_newcomer_s_ = s + static_cast<unsigned>(std::exponential_distribution<double>(1.0 / setup_.newcomer_seconds)(random_));
    }
    if (!waiting_) return;
    const uint64_t waited_s = s - waiting_->since_s;
    if (free_kib() >= waiting_->kib) {
      add(next_id_++, waiting_->kib, waiting_->kib, waiting_->kib);
      guests_.back().ends_s = s + kLifeMinS + static_cast<unsigned>(random_() % (kLifeMaxS - kLifeMinS));
      ++result_.newcomers.built;
    } else if (waited_s >= kPatienceS) {
      ++result_.newcomers.given_up;
    } else {
      return;
    }
    result_.newcomers.wait_seconds += waited_s;
    result_.newcomers.wait_seconds_max = std::max(result_.newcomers.wait_seconds_max, waiting_->possible_s);
    waiting_.reset();
  }

  void account(uint64_t over, uint64_t wanted, double fits) {
    wanted_sum_ += static_cast<double>(wanted) / kGib;
    tmem_sum_ += static_cast<double>(over) * fits / kGib;
    disk_sum_ += static_cast<double>(over) * (1 - fits) / kGib;
    for (Guest& guest : guests_) {
      guest.wanted += static_cast<double>(guest.model.wanted_kib());
      guest.served += static_cast<double>(above(guest.model.wanted_kib(), guest.model.short_kib()));
    }
  }

  void breathe(unsigned s, uint64_t holds_kib) {
    if (setup_.scheme == Scheme::kStatic) return;
    HostSample sample;
    sample.time_ms = uint64_t{s} * 1000;
    sample.free_kib = free_kib();
    sample.tmem_current_kib = tmem_kib_;
    sample.tmem_persistent_kib = std::min(holds_kib, tmem_kib_);
    sample.room_kib = waiting_ ? waiting_->kib : 0;
    for (const Guest& guest : guests_) sample.guests.push_back(view(guest, s));
    const HostPlan decided = plan(params_, state_, sample);
    state_ = decided.next;
    watch(sample, decided);
    tmem_kib_ = std::min(decided.tmem_target_kib, tmem_kib_ + free_kib());
    for (size_t i = 0; i < guests_.size(); ++i) obey(guests_[i], decided);
  }

  GuestView view(const Guest& guest, unsigned s) const {
    GuestView view{guest.id, guest.min_kib, guest.max_kib, guest.weight, guest.buffer_percent, guest.model.limit_kib(), guest.model.current_kib()};
    view.migrating = setup_.newcomer_seconds > 0 && guest.id == s / kTurnS % setup_.guests && s % kTurnS < kMigrationS;
    const double kept = static_cast<double>(guest.model.in_tmem_kib()) * fits_;
    view.pages = static_cast<uint64_t>(kept) / kPageKib;
    view.pages_kib = static_cast<uint64_t>(kept / setup_.compression);
    view.pages_weight = guest.weight;
    return view;
  }

  void obey(Guest& guest, const HostPlan& decided) {
    if (const auto limit = decided.limits_kib.find(guest.id); limit != decided.limits_kib.end()) guest.model.set_limit(limit->second);
    const auto asked = decided.pages_targets.find(guest.id);
    if (asked == decided.pages_targets.end()) return;
    const uint64_t before = guest.model.in_tmem_kib();
    guest.model.take_back(static_cast<uint64_t>(static_cast<double>(asked->second * kPageKib) / fits_));
    result_.newcomers.taken_back_kib += before - guest.model.in_tmem_kib();
  }

  // What was decided, against what may be.
  void watch(const HostSample& sample, const HostPlan& decided) {
    uint64_t least = params_.reserve_kib + std::max(params_.tmem_min_kib, sample.tmem_persistent_kib), kept = least, lowered = 0;
    bool raised = false;
    for (size_t i = 0; i < guests_.size(); ++i) {
      const GuestView& view = sample.guests[i];
      least += guests_[i].model.obeys() && !view.migrating ? view.min_kib : view.current_kib;
      kept += view.current_kib + std::min(above(view.limit_kib, view.current_kib), std::max(view.current_kib * view.buffer_percent / 100, params_.slack_kib));
      lowered += above(view.max_kib, view.limit_kib);
      if (const auto limit = decided.limits_kib.find(view.id); limit != decided.limits_kib.end()) raised |= moves(guests_[i], view, limit->second);
    }
    if (waiting_) waiting_->possible_s += least + waiting_->kib <= memory_kib_;
    idle_s_ = !waiting_ && !raised && lowered > 0 && kept + params_.slack_kib < memory_kib_ ? idle_s_ + 1 : 0;
    result_.newcomers.idle_seconds_max = std::max(result_.newcomers.idle_seconds_max, idle_s_);
  }

  // Is it raised?
  bool moves(Guest& guest, const GuestView& view, uint64_t limit_kib) {
    Newcomers& told = result_.newcomers;
    const int direction = limit_kib > view.limit_kib ? 1 : limit_kib < view.limit_kib ? -1 : 0;
    told.forbidden += limit_kib > view.max_kib || (direction < 0 && (limit_kib < view.min_kib || view.migrating));
    if (direction < 0 && guest.id < setup_.guests) told.asked_kib[view.weight] += above(std::min(view.limit_kib, view.current_kib), limit_kib);
    told.limits_reversed += direction * guest.direction < 0;
    if (direction != 0) guest.direction = direction;
    return direction > 0;
  }

  double fairness() const {
    double sum = 0, squares = 0;
    for (const double share : shares_) {
      sum += share;
      squares += share * share;
    }
    return squares > 0 ? sum * sum / (static_cast<double>(shares_.size()) * squares) : 1;
  }

  void point(uint64_t wanted) {
    result_.guests_mib.push_back((used_kib() - tmem_kib_) / 1024);
    result_.tmem_mib.push_back(tmem_kib_ / 1024);
    result_.wanted_mib.push_back(wanted / 1024);
  }

  const HostSetup setup_;
  const uint64_t memory_kib_;
  HostParams params_;
  HostState state_;
  std::vector<Guest> guests_;
  std::vector<double> shares_;  // of what it wanted, each guest that has been here
  std::optional<Waiting> waiting_;
  std::mt19937_64 random_;
  GuestId next_id_ = setup_.guests;
  unsigned next_newcomer_s_ = UINT_MAX;
  uint64_t tmem_kib_ = 0, idle_s_ = 0;
  double fits_ = 1;  // of what is swapped out, the part that has room in tmem
  double wanted_sum_ = 0, tmem_sum_ = 0, disk_sum_ = 0;
  HostResult result_;
};

}  // namespace

const char* to_string(Scheme scheme) {
  switch (scheme) {
    case Scheme::kStatic: return "static sizes";
    case Scheme::kCommitted: return "committed";
    case Scheme::kPressure: return "pressure";
  }
  return "unknown";
}

DayLoad::DayLoad(const HostSetup& setup, unsigned guest) : setup_(setup), guest_(guest), random_(setup.seed * 1000003 + guest) {}

selfballoon::Demand DayLoad::at(unsigned second) {
  if (setup_.turns) {  // a burst of ten minutes each, one after another
    const bool mine = second / 600 % setup_.guests == guest_;
    return {setup_.guest_kib * (mine ? 75 : 10) / 100, setup_.guest_kib / 50, !mine};
  }
  while (second >= until_) {
    const double hour = static_cast<double>(until_ % 86400) / 3600;
    const double by_day = 0.6 + 0.4 * std::sin((hour - 8) / 24 * 2 * 3.14159265);
    busy_ = !busy_;
    const double mean = busy_ ? 420 : 2400 / (0.4 + by_day);
    until_ += 30 + static_cast<unsigned>(std::exponential_distribution<double>(1 / mean)(random_));
    anon_kib_ = setup_.guest_kib * (busy_ ? 35 + random_() % 50 : 8 + random_() % 8) / 100;
  }
  return {anon_kib_, setup_.guest_kib / 50, !busy_};
}

HostResult simulate(const HostSetup& setup) { return Host(setup).run(); }

}  // namespace tmem::flow
