// SPDX-License-Identifier: MIT
// The loop in the guest: once a second, and at once when the kernel says that processes stall, it takes a sample, asks the
// controller, and moves the balloon. Tuning is applied as soon as xenstore tells of it.
//
// Thread rule: one thread. run() returns at SIGTERM or SIGINT, after the balloon was let go.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/xenstore.h"
#include "selfballoon/giveback.h"
#include "selfballoon/report.h"
#include "selfballoon/system.h"
#include "selfballoon/tuning.h"
#include "selfballoon/unswap.h"

namespace tmem::selfballoon {

class Daemon {
 public:
  using Log = std::function<void(int priority, const std::string& text)>;  // syslog priorities
  using Clock = std::function<uint64_t()>;                                 // milliseconds

  Daemon(System& system, agent::Store& store, const Params& own, std::string run_file, bool dry_run, Log log);

  // One look and what follows from it. between: not the end of an interval.
  void step(uint64_t now_ms, bool between);
  // A take is spread over a while: clean pages that leave all at once come faster than any pool takes them. As long as taking()
  // says so, go_on_taking() is due every kSliceMs (later where the guest is busy: it then takes more); whatever else moves the balloon
  // ends it.
  static constexpr uint64_t kSliceMs = 20;
  bool taking() const { return take_ends_ms_ != 0; }
  void go_on_taking(uint64_t now_ms);
  // xenstore told of a change below memory/.
  void refresh();
  // Everything that the toolstack allows.
  void release();
  // Why nothing is to be done here, or empty.
  const std::string& left_alone() const { return left_alone_; }
  const Params& params() const { return tuning_.params(); }

 private:
  uint64_t limit_kib();
  void learn_offset(uint64_t toolstack_kib);
  void act(const Sample& sample, const Decision& decision);
  uint64_t asked_back_pages(const Sample& sample);
  void bring_back(uint64_t pages);
  void forgive(const Sample& sample);
  void look_at_store();
  void say_state();
  void complain(const std::string& what);

  System& system_;
  agent::Store& store_;
  Tuning tuning_;
  Report report_;
  Unswap unswap_;
  GiveBack give_back_;
  std::string run_file_;
  bool dry_run_;
  Log log_;
  State state_;
  std::string left_alone_;
  std::string trouble_;           // the last error said, so that it is said once
  uint64_t offset_kib_ = 0;       // the toolstack's numbers less the balloon's: memory that an HVM or PVH guest never sees
  bool offset_known_ = false;
  bool off_ = false;              // and everything was given back
  uint64_t goal_kib_ = 0;         // where the take under way ends
  uint64_t take_ends_ms_ = 0;     // and when; 0: none is
  uint64_t took_ms_ = 0;          // its last slice
  uint64_t took_to_kib_ = 0;      // where that left the balloon: if it is elsewhere, somebody else has moved it
  bool gave_back_ = false;        // pages came from frontswap since the last look
};

// Waits and calls step() until a signal. Returns the exit status.
int run(Daemon& daemon, agent::XenStore& store, const System& system, const Daemon::Log& log);

}  // namespace tmem::selfballoon
