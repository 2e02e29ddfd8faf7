// SPDX-License-Identifier: MIT
#include "selfballoon/controller.h"

#include <algorithm>

namespace tmem::selfballoon {
namespace {

constexpr uint64_t kPageKib = 4;
constexpr uint64_t kMibKib = 1024;
constexpr uint64_t kMibPages = kMibKib / kPageKib;
constexpr uint32_t kBackoffMax = 7;   // a hold lasts at most 64 windows
constexpr uint32_t kAlarmsMax = 16;
constexpr uint64_t kLookMsMin = 100;           // looks that come sooner after each other are counted as if they did not
constexpr uint64_t kTakeMs = 3000;            // in which a balloon reaches its target, or never
constexpr uint64_t kStallRefaultsPart = 4;    // that many times fewer pages than pressure_refaults, where processes stall too
constexpr uint32_t kTakeStallPermille = 500;  // of them that the balloon itself may stall

uint64_t above(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }
// The balloon's target is whole pages: what is not would differ from what the kernel then says of it, and be set for ever.
uint64_t whole_pages(uint64_t kib) { return kib / kPageKib * kPageKib; }
uint64_t lowest_target_kib(uint64_t floor_kib, const Sample& sample) {
  return whole_pages(std::min(floor_kib + kPageKib - 1, sample.limit_kib));
}
uint64_t since(uint64_t now, uint64_t before) { return above(now, before); }  // counters restart after a restore

// Memory that the balloon counts and MemTotal does not: the kernel itself and what it set aside at boot.
uint64_t offset_kib(const Sample& sample) { return above(sample.current_kib, sample.total_kib); }

// What kept pages in the guest's own memory from being free or easily freed.
uint64_t need_kib(const Sample& sample) { return above(sample.total_kib, sample.available_kib); }

uint64_t reserved_kib(const Params& params, const Sample& sample) { return sample.limit_kib * params.pressure_reserve_percent / 100; }

// --- pages in tmem --------------------------------------------------------------------------------------------------------

// The rule of the former driver: nothing while it grows, then one part of hysteresis each interval.
uint64_t shrink_step_kib(const Params& params, const Sample& sample, State& next) {
  const uint64_t last = next.in_tmem_kib, now = sample.in_tmem_kib;
  next.in_tmem_kib = now;
  if (!params.frontswap_selfshrinking) return 0;
  if (now == 0 || now > last) {
    next.shrink_counter = params.frontswap_inertia;
    return 0;
  }
  next.shrink_counter = std::min(next.shrink_counter, params.frontswap_inertia);  // it may have been lowered
  if (next.shrink_counter > 0 && --next.shrink_counter > 0) return 0;
  const uint64_t pages = now / kPageKib;
  return (pages <= params.frontswap_hysteresis ? pages : pages / params.frontswap_hysteresis) * kPageKib;
}

// --- committed ------------------------------------------------------------------------------------------------------------

Decision decide_committed(const Params& params, const State& state, const Sample& sample) {
  Decision decision{sample.target_kib, Reason::kSettled, 0, 0, state};
  const uint64_t floor_pages = committed_floor_pages(params, sample.span_kib / kPageKib, sample.reserve_kib / kPageKib);
  decision.floor_kib = lowest_target_kib(floor_pages * kPageKib + offset_kib(sample), sample);
  if (sample.between) return decision;
  decision.unswap_kib = shrink_step_kib(params, sample, decision.next);
  const uint64_t kept_kib = params.frontswap_selfshrinking ? sample.in_tmem_kib : 0;
  const uint64_t goal_pages =
      (sample.committed_kib + sample.reserve_kib + kept_kib) / kPageKib + params.selfballoon_reserved_mb * kMibPages;
  const uint64_t target_pages = committed_target_pages(params, sample.total_kib / kPageKib, goal_pages);
  decision.reason = target_pages < floor_pages ? Reason::kFloor : Reason::kCommitted;
  decision.target_kib = std::max(target_pages, floor_pages) * kPageKib + offset_kib(sample);
  return decision;
}

// --- pressure -------------------------------------------------------------------------------------------------------------

class Pressure {
 public:
  Pressure(const Params& params, const State& state, const Sample& sample)
      : params_(params), sample_(sample), before_(state), decision_{sample.target_kib, Reason::kSettled, 0, 0, state}, next_(decision_.next) {
    const uint64_t reserve = reserved_kib(params, sample);
    slack_kib_ = std::max(reserve / 4, kMibKib);
    base_kib_ = offset_kib(sample) + reserve;
    const uint64_t least = std::max(sample.kernel_kib, sample.reserve_kib + params.selfballoon_min_usable_mb * kMibKib);
    decision_.floor_kib = lowest_target_kib(base_kib_ + least, sample);
  }

  Decision run() {
    note_need();
    const Reason trouble = pressure();
    const uint64_t wanted = std::max(base_kib_ + need_kib(sample_), decision_.floor_kib);
    if (trouble != Reason::kSettled) give_under_pressure(trouble, wanted);
    else if (wanted > sample_.target_kib + slack_kib_) give(Reason::kNeed, wanted);
    else if (!sample_.between) quiet_interval();
    if (sample_.between || trouble != Reason::kSettled) return decision_;
    const uint64_t step = shrink_step_kib(params_, sample_, next_);
    // Pages come back only into memory that is there or may be had, and only while nothing else is going on.
    if (next_.calm_intervals > params_.pressure_inertia && wanted + step <= sample_.limit_kib) decision_.unswap_kib = step;
    return decision_;
  }

 private:
  void note_need() {
    if (!before_.seen) next_.needs_kib.fill(0);
    if (!sample_.between) next_.window_at = (next_.window_at + 1) % params_.pressure_window;
    uint64_t& now = next_.needs_kib[next_.window_at % State::kWindowMax];
    now = sample_.between ? std::max(now, need_kib(sample_)) : need_kib(sample_);
  }
  uint64_t highest_need_kib() const { return *std::max_element(next_.needs_kib.begin(), next_.needs_kib.begin() + params_.pressure_window); }

  // kSettled: quiet.
  Reason pressure() const {
    if (!before_.seen) return Reason::kSettled;
    const uint64_t elapsed_ms = std::max<uint64_t>(since(sample_.time_ms, before_.time_ms), kLookMsMin);
    const uint64_t pages = since(sample_.refaults_pages, before_.refaults_pages) + since(sample_.swapins_pages, before_.swapins_pages);
    if (stalls(elapsed_ms, pages)) return Reason::kStalls;
    return pages * 1000 > elapsed_ms * params_.pressure_refaults ? Reason::kRefaults : Reason::kSettled;
  }

  // PSI alone does not say for want of what: on a busy host, whoever waits for a page also waits for its turn. With memory at hand
  // a stall counts only where pages are read back as well, though fewer of them than would count alone.
  bool stalls(uint64_t elapsed_ms, uint64_t pages) const {
    if (!sample_.stall_us) return false;
    const bool short_of_memory = sample_.available_kib < reserved_kib(params_, sample_);
    if (!short_of_memory && pages * 1000 * kStallRefaultsPart <= elapsed_ms * params_.pressure_refaults) return false;
    // Inflating the balloon stalls the kernel's own thread, which is not the guest's need; that lasts for a moment after a take.
    const bool our_own = before_.took_ms != 0 && since(sample_.time_ms, before_.took_ms) <= kTakeMs;
    const uint64_t permille = our_own ? std::max(params_.pressure_stall_permille, kTakeStallPermille) : params_.pressure_stall_permille;
    return since(*sample_.stall_us, before_.stall_us) > elapsed_ms * permille;
  }

  void give(Reason reason, uint64_t wanted) {
    decision_.target_kib = sample_.target_kib + above(wanted, sample_.target_kib) / params_.selfballoon_uphysteresis;
    decision_.reason = reason;
    next_.calm_intervals = 0;
  }

  // Trouble so soon after memory was taken is put down to that; a guest that had been left alone has simply become busier.
  bool taking_hurt() const {
    const uint64_t window_ms = uint64_t{params_.pressure_window} * params_.selfballoon_interval * 1000;
    return before_.took_ms != 0 && since(sample_.time_ms, before_.took_ms) <= window_ms;
  }

  // The first alarm gives one reserve, each that follows twice as much: a guest that wakes has all of it within some samples.
  void give_under_pressure(Reason reason, uint64_t wanted) {
    const uint64_t step = std::max(reserved_kib(params_, sample_), kMibKib) << std::min(next_.alarms, kAlarmsMax);
    give(reason, wanted);
    decision_.target_kib = std::max(decision_.target_kib, sample_.target_kib + step);
    if (next_.alarms == 0 && taking_hurt()) next_.backoff = std::min(next_.backoff + 1, kBackoffMax);
    next_.alarms = std::min(next_.alarms + 1, kAlarmsMax);
    if (next_.backoff == 0) return;
    next_.hold_kib = std::min(decision_.target_kib, sample_.limit_kib);
    next_.hold_intervals = params_.pressure_window << (next_.backoff - 1);
  }

  void quiet_interval() {
    next_.alarms = 0;
    next_.calm_intervals = std::min(next_.calm_intervals + 1, UINT32_MAX - 1);
    next_.hold_intervals = std::min(next_.hold_intervals, next_.backoff == 0 ? 0 : params_.pressure_window << (next_.backoff - 1));
    if (next_.hold_intervals > 0) --next_.hold_intervals;
    // After as long again without trouble, trouble is thought a little less likely.
    else if (next_.backoff > 0 && next_.calm_intervals % (params_.pressure_window << next_.backoff) == 0) --next_.backoff;
    take();
  }

  void take() {
    const bool held = next_.hold_intervals > 0;
    uint64_t goal = std::max(base_kib_ + highest_need_kib(), decision_.floor_kib);
    if (held) goal = std::max(goal, next_.hold_kib);
    if (sample_.target_kib <= goal + slack_kib_) {
      decision_.reason = held ? Reason::kHolds : Reason::kSettled;
    } else if (next_.calm_intervals <= params_.pressure_inertia) {
      decision_.reason = Reason::kWaits;
    } else if (sample_.current_kib > sample_.target_kib + slack_kib_) {
      decision_.reason = Reason::kBalloonBusy;
    } else {
      const uint64_t distance = sample_.target_kib - goal;
      decision_.target_kib = sample_.target_kib - std::max(distance / params_.selfballoon_downhysteresis, std::min(distance, kMibKib));
      decision_.reason = Reason::kTakes;
      next_.took_ms = sample_.time_ms;
    }
  }

  const Params& params_;
  const Sample& sample_;
  const State& before_;
  Decision decision_;
  State& next_;
  uint64_t slack_kib_ = 0;  // moves smaller than this are not made
  uint64_t base_kib_ = 0;   // a target holds need and this
};

}  // namespace

const char* to_string(Reason reason) {
  switch (reason) {
    case Reason::kOff: return "off: everything given back";
    case Reason::kSettled: return "settled";
    case Reason::kLimit: return "the toolstack's memory/target";
    case Reason::kBalloonBusy: return "waits for the balloon";
    case Reason::kCommitted: return "follows what is committed";
    case Reason::kFloor: return "at the floor";
    case Reason::kTakes: return "takes what was not needed";
    case Reason::kNeed: return "need has grown";
    case Reason::kStalls: return "processes stall for memory";
    case Reason::kRefaults: return "pages are read back";
    case Reason::kHolds: return "holds: below this hurt before";
    case Reason::kWaits: return "quiet, but not for long enough";
  }
  return "unknown";
}

uint64_t committed_floor_pages(const Params& params, uint64_t max_pfn, uint64_t totalreserve_pages) {
  if (params.selfballoon_min_usable_mb != 0) return totalreserve_pages + params.selfballoon_min_usable_mb * kMibPages;
  const uint64_t useful = above(max_pfn, totalreserve_pages);
  const auto piece = [&](uint64_t from_mb, unsigned shift) { return totalreserve_pages + from_mb * kMibPages + ((useful - from_mb * kMibPages) >> shift); };
  if (useful < 16 * kMibPages) return max_pfn;
  if (useful < 64 * kMibPages) return piece(16, 1);
  if (useful < 512 * kMibPages) return piece(40, 3);
  return piece(99, 5);
}

uint64_t committed_target_pages(const Params& params, uint64_t totalram_pages, uint64_t goal_pages) {
  if (totalram_pages > goal_pages) return totalram_pages - (totalram_pages - goal_pages) / params.selfballoon_downhysteresis;
  return totalram_pages + (goal_pages - totalram_pages) / params.selfballoon_uphysteresis;
}

Decision decide(const Params& params, const State& state, const Sample& sample) {
  Decision decision;
  if (!params.selfballooning) decision = {sample.limit_kib, Reason::kOff, 0, whole_pages(sample.limit_kib), State{}};
  else if (params.policy == Policy::kCommitted) decision = decide_committed(params, state, sample);
  else decision = Pressure(params, state, sample).run();

  if (decision.target_kib < decision.floor_kib) {
    decision.target_kib = decision.floor_kib;
    if (decision.reason == Reason::kTakes || decision.reason == Reason::kSettled) decision.reason = Reason::kFloor;
  }
  if (decision.target_kib > sample.limit_kib) {
    decision.target_kib = sample.limit_kib;
    if (sample.target_kib > sample.limit_kib) decision.reason = Reason::kLimit;
  }
  decision.target_kib = whole_pages(decision.target_kib);
  State& next = decision.next;
  next.seen = true;
  next.time_ms = sample.time_ms;
  next.stall_us = sample.stall_us.value_or(0);
  next.refaults_pages = sample.refaults_pages;
  next.swapins_pages = sample.swapins_pages;
  return decision;
}

}  // namespace tmem::selfballoon
