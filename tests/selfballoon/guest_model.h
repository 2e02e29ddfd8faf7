// SPDX-License-Identifier: MIT
// A guest as far as memory goes, in virtual time: what processes and their hot files want, what the balloon leaves, and the
// samples that its kernel would show. The very controller of xen-selfballoond moves its balloon. Used by the trace tests and
// by the simulator of hosts.
#pragma once

#include <algorithm>
#include <cstdint>

#include "selfballoon/controller.h"

namespace tmem::selfballoon {

constexpr uint64_t kMib = 1024;  // in KiB

// What a guest wants during one second.
struct Demand {
  uint64_t anon_kib = 0;      // processes' memory, all of it in use
  uint64_t hot_file_kib = 0;  // file pages that are read again and again
  bool idle = false;          // nobody touches what is swapped out
};

class GuestModel {
 public:
  struct Shape {
    uint64_t limit_kib = 1024 * kMib;
    uint64_t start_kib = UINT64_MAX;     // what it has at first; the limit unless less
    uint64_t offset_kib = 24 * kMib;     // the kernel's image and what it set aside at boot
    uint64_t kernel_kib = 40 * kMib;
    uint64_t balloon_kib_per_second = 256 * kMib;
    bool pressure_stalls = true;         // PSI is on
  };

  explicit GuestModel(const Shape& shape, const Params& params = {})
      : shape_(shape), params_(params), limit_kib_(shape.limit_kib), target_kib_(std::min(shape.limit_kib, shape.start_kib)), current_kib_(target_kib_) {}

  // One second. room_kib: how far the balloon may grow, as the host has no more. Returns what the balloon grew (negative: shrank).
  int64_t second(const Demand& demand, uint64_t room_kib = UINT64_MAX) {
    ++now_s_;
    const int64_t moved = move_balloon(room_kib);
    live(demand);
    if (obeys_) control();
    return moved;
  }

  void set_limit(uint64_t kib) { limit_kib_ = kib; }
  // dom0 wants pages of this guest back. As its daemon does: into half of what is available at a time.
  void take_back(uint64_t may_stay_kib) {
    if (obeys_) in_tmem_kib_ -= std::min(in_tmem_kib_ - std::min(in_tmem_kib_, may_stay_kib), available_kib_ / 2);
  }
  void set_params(const Params& params) { params_ = params; }
  void obeys(bool yes) { obeys_ = yes; }

  bool obeys() const { return obeys_; }
  uint64_t limit_kib() const { return limit_kib_; }
  uint64_t target_kib() const { return target_kib_; }
  uint64_t current_kib() const { return current_kib_; }
  uint64_t floor_kib() const { return last_.floor_kib; }
  Reason reason() const { return last_.reason; }
  uint64_t short_kib() const { return short_kib_; }        // wanted and not there, this second
  uint64_t hurt_seconds() const { return hurt_seconds_; }  // short although the limit would have been enough
  uint64_t in_tmem_kib() const { return in_tmem_kib_; }
  uint64_t wanted_kib() const { return wanted_kib_; }
  int reversals() const { return reversals_; }

 private:
  int64_t move_balloon(uint64_t room_kib) {
    if (!obeys_) return 0;
    const uint64_t before = current_kib_;
    if (target_kib_ > current_kib_) current_kib_ += std::min({target_kib_ - current_kib_, shape_.balloon_kib_per_second, room_kib});
    else current_kib_ -= std::min(current_kib_ - target_kib_, shape_.balloon_kib_per_second);
    return static_cast<int64_t>(current_kib_) - static_cast<int64_t>(before);
  }

  void live(const Demand& demand) {
    const uint64_t total = current_kib_ - std::min(current_kib_, shape_.offset_kib);
    const uint64_t anon = shape_.kernel_kib + demand.anon_kib;
    wanted_kib_ = anon + demand.hot_file_kib + shape_.offset_kib;
    const uint64_t over = anon > total ? anon - total : 0;  // has to be swapped out
    const uint64_t for_files = total > anon ? total - anon : 0;
    const uint64_t cold = demand.hot_file_kib > for_files ? demand.hot_file_kib - for_files : 0;
    short_kib_ = demand.idle ? 0 : over + cold;
    if (demand.idle) in_tmem_kib_ = std::max(std::min(in_tmem_kib_, anon), over);
    else in_tmem_kib_ = over;
    available_kib_ = for_files;
    need_anon_kib_ = anon;
    if (short_kib_ > 0) {
      stall_us_ += 150000;
      swapins_pages_ += over / 4 / 4;
      refaults_pages_ += cold / 4;
      if (wanted_kib_ <= limit_kib_) ++hurt_seconds_;
    }
  }

  Sample sample(bool between) const {
    Sample s;
    s.time_ms = now_s_ * 1000;
    s.between = between;
    s.limit_kib = limit_kib_;
    s.target_kib = target_kib_;
    s.current_kib = current_kib_;
    s.total_kib = current_kib_ - std::min(current_kib_, shape_.offset_kib);
    s.available_kib = available_kib_;
    s.committed_kib = need_anon_kib_ - shape_.kernel_kib;
    s.reserve_kib = 8 * kMib;
    s.kernel_kib = shape_.kernel_kib;
    s.span_kib = shape_.limit_kib;
    s.in_tmem_kib = in_tmem_kib_;
    if (shape_.pressure_stalls) s.stall_us = stall_us_;
    s.refaults_pages = refaults_pages_;
    s.swapins_pages = swapins_pages_;
    return s;
  }

  void control() {
    const bool between = now_s_ % params_.selfballoon_interval != 0;
    last_ = decide(params_, state_, sample(between));
    state_ = last_.next;
    const int direction = last_.target_kib > target_kib_ ? 1 : last_.target_kib < target_kib_ ? -1 : 0;
    if (direction != 0 && direction_ != 0 && direction != direction_) ++reversals_;
    if (direction != 0) direction_ = direction;
    target_kib_ = last_.target_kib;
    in_tmem_kib_ -= std::min(in_tmem_kib_, last_.unswap_kib);
  }

  Shape shape_;
  Params params_;
  State state_;
  Decision last_;
  bool obeys_ = true;
  uint64_t limit_kib_, target_kib_, current_kib_;
  uint64_t now_s_ = 0, stall_us_ = 0, swapins_pages_ = 0, refaults_pages_ = 0;
  uint64_t available_kib_ = 0, need_anon_kib_ = 0, wanted_kib_ = 0, short_kib_ = 0, in_tmem_kib_ = 0, hurt_seconds_ = 0;
  int direction_ = 0, reversals_ = 0;
};

}  // namespace tmem::selfballoon
