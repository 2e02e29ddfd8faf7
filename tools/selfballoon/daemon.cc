// SPDX-License-Identifier: MIT
#include "selfballoon/daemon.h"

#include <syslog.h>

#include <algorithm>
#include <ctime>
#include <fstream>

#include "selfballoon/parse.h"
#include "tmem/tmem_xs.h"

namespace tmem::selfballoon {
namespace {

constexpr const char* kToolstackTarget = "memory/target";
constexpr const char* kOtherManager = "memory/dynamic-min";
constexpr uint64_t kUnswapPagesMax = 16384;  // at a time: 64 MiB
constexpr uint64_t kPageKib = 4;
constexpr uint64_t kTakeMsMax = 2400;  // within the controller's kTakeMs, in which stalls are the balloon's own

uint64_t wall_clock_s() { return static_cast<uint64_t>(std::time(nullptr)); }

}  // namespace

Daemon::Daemon(System& system, agent::Store& store, const Params& own, std::string run_file, bool dry_run, Log log)
    : system_(system), store_(store), tuning_(own), report_(store), unswap_(system.path("proc")), give_back_(system.path(System::kPagesTarget)), run_file_(std::move(run_file)), dry_run_(dry_run), log_(std::move(log)) {
  store_.watch("memory", "selfballoon");
  if (!system_.has_pressure()) log_(LOG_NOTICE, "this kernel has no pressure stall information (boot with psi=1); refaults and swap-ins are used instead");
  if (!dry_run_ && !system_.retry_each_second()) log_(LOG_NOTICE, "this kernel may wait for half a minute before it asks Xen again for memory that was not there, or give up");
  refresh();
  say_state();
}

void Daemon::refresh() {
  try {
    look_at_store();
  } catch (const std::runtime_error& error) {
    complain(error.what());
  }
}

// What is wrong with xenstore keeps no memory from the guest: it is said once.
void Daemon::complain(const std::string& what) {
  if (trouble_ != what) log_(LOG_ERR, what + "; goes on");
  trouble_ = what;
}

void Daemon::look_at_store() {
  std::string manager;
  if (store_.read(kOtherManager)) manager = "memory/dynamic-min is there: another manager adjusts this guest";
  if (manager != left_alone_) {
    left_alone_ = manager;
    take_ends_ms_ = 0;
    log_(LOG_NOTICE, manager.empty() ? "memory/dynamic-min is gone; adjusts again" : manager + "; does nothing");
    state_ = {};
    say_state();
  }
  if (tuning_.refresh(store_)) {
    log_(LOG_INFO, "tuning: " + tuning_.text());
    for (const auto& [key, reason] : tuning_.refused()) log_(LOG_WARNING, "tuning refused: " + key + ": " + reason);
    say_state();
  }
  report_.tell_again();  // after a restore all watches fire
}

void Daemon::say_state() {
  const char* doing = !left_alone_.empty() ? "left-alone" : !params().selfballooning ? "off" : dry_run_ ? "dry-run" : "running";
  try {
    report_.state(std::string("state=") + doing + " psi=" + (system_.has_pressure() ? "1 " : "0 ") + tuning_.text());
    report_.refused(tuning_.refused_text());
  } catch (const std::runtime_error& error) {
    complain(error.what());
  }
}

// An HVM or PVH guest's balloon counts less than the toolstack does (video memory, say), by an amount that the kernel fixed
// at boot and tells nobody. At our first start in this boot the two targets mean the same; later the note in run_file_ is used.
void Daemon::learn_offset(uint64_t toolstack_kib) {
  offset_known_ = true;
  if (system_.is_pv()) return;
  const std::string boot = std::string(system_.boot_id(), 0, 36);
  std::ifstream in(run_file_);
  std::string noted_boot;
  uint64_t noted = 0;
  if (in >> noted_boot >> noted && noted_boot == boot) {
    offset_kib_ = noted;
    return;
  }
  const uint64_t balloon = system_.target_kib();
  offset_kib_ = toolstack_kib > balloon ? toolstack_kib - balloon : 0;
  std::ofstream(run_file_) << boot << ' ' << offset_kib_ << '\n';
}

uint64_t Daemon::limit_kib() {
  const auto target = parse_number(store_.read(kToolstackTarget).value_or(""));
  if (!target) return system_.target_kib();  // nothing allows more
  if (!offset_known_) learn_offset(*target);
  return *target > offset_kib_ ? *target - offset_kib_ : 0;
}

void Daemon::step(uint64_t now_ms, bool between) {
  if (!left_alone_.empty()) return;
  try {
    if (taking() && !between) go_on_taking(now_ms);  // who gets a turn so rarely would begin a take each time, and end none
    Sample sample = system_.sample();
    sample.time_ms = now_ms;
    sample.between = between;
    sample.limit_kib = limit_kib();
    if (gave_back_) forgive(sample);
    gave_back_ = give_back_.under_way();
    const Decision decision = decide(params(), state_, sample);
    state_ = decision.next;
    const uint64_t asked = asked_back_pages(sample);
    if (asked > 0 && !dry_run_) bring_back(asked);
    if (decision.reason == Reason::kOff && off_) return;
    off_ = decision.reason == Reason::kOff;
    act(sample, decision);
    report_.decision(wall_clock_s(), sample, decision);
    trouble_.clear();
  } catch (const std::runtime_error& error) {
    complain(error.what());
  }
}

void Daemon::act(const Sample& sample, const Decision& decision) {
  if (decision.target_kib != sample.target_kib) {
    log_(decision.reason == Reason::kTakes ? LOG_DEBUG : LOG_INFO,
         "target " + std::to_string(sample.target_kib) + " -> " + std::to_string(decision.target_kib) + " KiB: " + to_string(decision.reason));
    take_ends_ms_ = 0;
    if (!dry_run_ && decision.reason == Reason::kTakes) {
      goal_kib_ = decision.target_kib;
      took_ms_ = sample.time_ms;
      took_to_kib_ = sample.target_kib;
      take_ends_ms_ = sample.time_ms + std::min(params().selfballoon_interval * uint64_t{800}, kTakeMsMax);
    } else if (!dry_run_) {
      system_.set_target(decision.target_kib);
    }
  }
  if (decision.unswap_kib > 0 && !dry_run_) bring_back(std::min(decision.unswap_kib / kPageKib, kUnswapPagesMax));
}

void Daemon::go_on_taking(uint64_t now_ms) {
  const uint64_t now_kib = system_.target_kib();
  if (now_kib != took_to_kib_) {
    take_ends_ms_ = 0;
    return;
  }
  const uint64_t left_kib = now_kib > goal_kib_ ? now_kib - goal_kib_ : 0;
  if (now_ms >= take_ends_ms_) {
    take_ends_ms_ = 0;
    if (left_kib > 0) system_.set_target(goal_kib_);
    return;
  }
  const uint64_t slice = left_kib * (now_ms - took_ms_) / (take_ends_ms_ - took_ms_);
  if (slice < kPageKib) return;
  took_ms_ = now_ms;
  took_to_kib_ = now_kib - slice / kPageKib * kPageKib;
  system_.set_target(took_to_kib_);
}

// dom0 wants pages of this guest, and its kernel has no frontswap by which the module would bring them: those of the swap disk
// come, at once, half of what is available at a time.
uint64_t Daemon::asked_back_pages(const Sample& sample) {
  if (system_.has_frontswap()) return 0;
  const auto may_stay = parse_number(store_.read(TMEM_XS_PAGES_TARGET).value_or(""));
  const uint64_t there = sample.in_tmem_kib / kPageKib;
  if (!may_stay || there <= *may_stay) return 0;
  return std::min({there - *may_stay, sample.available_kib / kPageKib / 2, kUnswapPagesMax});
}

// The kernel's own first, which come while we go on; then those of a swap disk.
void Daemon::bring_back(uint64_t pages) {
  const uint64_t frontswap = system_.frontswap_pages();
  const uint64_t may_stay = std::max<uint64_t>(frontswap - std::min(frontswap, pages), 1);  // the last one does so always
  if (frontswap > may_stay) {
    if (gave_back_) return;  // the ones before are still coming
    give_back_.start(may_stay);
    gave_back_ = true;
    log_(LOG_DEBUG, "brings pages back from frontswap: of " + std::to_string(frontswap) + " " + std::to_string(may_stay) + " may stay");
  }
  const size_t back = pages > frontswap ? unswap_.bring_back(pages - frontswap) : 0;
  if (back == 0) return;
  log_(LOG_DEBUG, "brought " + std::to_string(back) + " pages back from tmem, of " + std::to_string(pages - frontswap));
  const Sample after = system_.sample();
  state_.stall_us = after.stall_us.value_or(0);
  forgive(after);
}

// Pages that we brought back were not the guest's doing: the next look counts from here.
void Daemon::forgive(const Sample& sample) {
  state_.refaults_pages = sample.refaults_pages;
  state_.swapins_pages = sample.swapins_pages;
}

void Daemon::release() {
  if (left_alone_.empty() && !dry_run_) system_.set_target(limit_kib());
}

}  // namespace tmem::selfballoon
