// SPDX-License-Identifier: MIT
#include "flow/host_sim.h"

#include <algorithm>
#include <cmath>

namespace tmem::flow {
namespace {

using selfballoon::Demand;
using selfballoon::GuestModel;
using selfballoon::Params;

constexpr double kGib = 1024.0 * 1024;  // KiB
constexpr uint64_t kReserveKib = 256 * 1024;

class Host {
 public:
  explicit Host(const HostSetup& setup) : setup_(setup), memory_kib_(setup.guest_kib * setup.guests * setup.percent / 100) {
    params_.reserve_kib = std::min(kReserveKib, memory_kib_ / 20);
    params_.tmem_min_kib = memory_kib_ / 50;
    tmem_kib_ = setup_.scheme == Scheme::kStatic ? 0 : params_.tmem_min_kib;
    Params params;
    if (setup_.scheme == Scheme::kCommitted) params.policy = selfballoon::Policy::kCommitted;
    for (unsigned i = 0; i < setup_.guests; ++i) {
      GuestModel::Shape shape;
      shape.limit_kib = setup_.scheme == Scheme::kStatic ? memory_kib_ / setup_.guests : setup_.guest_kib;
      shape.start_kib = std::min(shape.limit_kib, (memory_kib_ - params_.reserve_kib - tmem_kib_) / setup_.guests);
      guests_.emplace_back(shape, params);
      if (setup_.scheme == Scheme::kStatic || i < setup_.disobedient) guests_.back().obeys(false);
      loads_.emplace_back(setup_, i);
      served_.push_back(0);
      wanted_.push_back(0);
    }
  }

  HostResult run() {
    for (unsigned s = 0; s < setup_.seconds; ++s) second(s);
    result_.moves_reversed = 0;
    for (const GuestModel& guest : guests_) {
      result_.moves_reversed += static_cast<uint64_t>(guest.reversals());
      result_.hurt_seconds += guest.hurt_seconds();
    }
    result_.wanted_gib_seconds = static_cast<uint64_t>(wanted_sum_);
    result_.in_tmem_gib_seconds = static_cast<uint64_t>(tmem_sum_);
    result_.on_disk_gib_seconds = static_cast<uint64_t>(disk_sum_);
    result_.fairness = fairness();
    return result_;
  }

 private:
  uint64_t used_kib() const {
    uint64_t sum = tmem_kib_;
    for (const GuestModel& guest : guests_) sum += guest.current_kib();
    return sum;
  }
  uint64_t free_kib() const { return memory_kib_ - std::min(memory_kib_, used_kib()); }

  void second(unsigned s) {
    uint64_t free = free_kib(), over = 0, swapped = 0, wanted = 0;
    // Who asks first gets first; the turn goes round.
    for (size_t n = 0; n < guests_.size(); ++n) {
      const size_t i = (n + s) % guests_.size();
      const int64_t moved = guests_[i].second(loads_[i].at(s), free);
      free = static_cast<uint64_t>(static_cast<int64_t>(free) - moved);
      over += guests_[i].short_kib();
      result_.short_seconds += guests_[i].short_kib() > 0;
      swapped += guests_[i].in_tmem_kib();
      wanted += guests_[i].wanted_kib();
    }
    const double room = static_cast<double>(tmem_kib_) * setup_.compression;
    const double fits = swapped == 0 ? 1 : std::min(1.0, room / static_cast<double>(swapped));
    account(over, wanted, setup_.scheme == Scheme::kStatic ? 0 : fits);
    breathe(s, static_cast<uint64_t>(static_cast<double>(swapped) / setup_.compression));
    result_.overcommitted |= used_kib() > memory_kib_;
    result_.free_kib_lowest = std::min(result_.free_kib_lowest, free_kib());
    if (s % 60 == 0) point(wanted);
  }

  void account(uint64_t over, uint64_t wanted, double fits) {
    wanted_sum_ += static_cast<double>(wanted) / kGib;
    tmem_sum_ += static_cast<double>(over) * fits / kGib;
    disk_sum_ += static_cast<double>(over) * (1 - fits) / kGib;
    for (size_t i = 0; i < guests_.size(); ++i) {
      wanted_[i] += static_cast<double>(guests_[i].wanted_kib());
      served_[i] += static_cast<double>(guests_[i].wanted_kib() - std::min(guests_[i].wanted_kib(), guests_[i].short_kib()));
    }
  }

  void breathe(unsigned s, uint64_t holds_kib) {
    if (setup_.scheme == Scheme::kStatic) return;
    HostSample sample;
    sample.time_ms = uint64_t{s} * 1000;
    sample.free_kib = free_kib();
    sample.tmem_current_kib = tmem_kib_;
    sample.tmem_persistent_kib = std::min(holds_kib, tmem_kib_);
    for (size_t i = 0; i < guests_.size(); ++i) {
      const GuestModel& guest = guests_[i];
      sample.guests.push_back({static_cast<GuestId>(i), guest.limit_kib() / 8, guest.limit_kib(), 100, 20, guest.limit_kib(), guest.current_kib(), false});
    }
    const HostPlan decided = plan(params_, state_, sample);
    state_ = decided.next;
    tmem_kib_ = std::min(decided.tmem_target_kib, tmem_kib_ + free_kib());
  }

  double fairness() const {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < guests_.size(); ++i) {
      const double share = wanted_[i] > 0 ? served_[i] / wanted_[i] : 1;
      sum += share;
      squares += share * share;
    }
    return squares > 0 ? sum * sum / (static_cast<double>(guests_.size()) * squares) : 1;
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
  std::vector<GuestModel> guests_;
  std::vector<DayLoad> loads_;
  std::vector<double> served_, wanted_;
  uint64_t tmem_kib_ = 0;
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
