// SPDX-License-Identifier: MIT
// The guest as files: samples out of /proc and /sys, and the balloon's target. Every path lies below a root, so that tests
// give it a tree of their own. Throws std::runtime_error naming the file when one that must be there is not.
//
// Thread rule: one thread. Nothing is kept open; after construction nothing is allocated that grows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "selfballoon/controller.h"

namespace tmem::selfballoon {

class System {
 public:
  explicit System(std::filesystem::path root = "/") : root_(std::move(root)) {}

  bool is_dom0() const;      // /proc/xen/capabilities, /sys/hypervisor
  bool has_balloon() const;  // a Xen balloon driver is at work
  // Why there is nothing to do here, which is no failure: a package may be installed in every guest and in dom0. Null: there is.
  const char* nothing_to_do() const;
  bool is_pv() const;
  bool has_pressure() const;  // PSI is on
  std::string boot_id() const;

  // All that a Sample holds but for time, limit and what the caller counts itself.
  Sample sample() const;
  bool has_frontswap() const;        // and a module that brings its pages back
  uint64_t frontswap_pages() const;  // that the kernel itself keeps in tmem
  static constexpr const char* kPagesTarget = "sys/kernel/tmem/pages_target";
  uint64_t target_kib() const;
  void set_target(uint64_t kib) const;
  // Where Xen has no memory for a balloon that is let go, the kernel asks again after a second, then two, up to 32, and gives up for an
  // hour after four times: from now on after one, and never. False: this kernel does not let us.
  bool retry_each_second() const;

  std::filesystem::path path(const char* below) const { return root_ / below; }

 private:
  std::string text(const char* below) const;
  std::optional<std::string> maybe_text(const char* below) const;
  uint64_t number(const char* below) const;
  uint64_t maybe_number(const char* below) const;  // 0: there is none

  std::filesystem::path root_;
};

}  // namespace tmem::selfballoon
