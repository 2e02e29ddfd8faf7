// SPDX-License-Identifier: MIT
// A thread that makes rounds of the Breather: each interval, sooner while something moves, and at once on xenstore's events
// (domains that come and go, dom0's target, a request for room). It has connections of its own, so neither a slow service nor
// a slow script holds up the attaching of guests, nor the other way round.
//
// Owns the thread; the destructor ends it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "breathe/breather.h"

namespace tmem::breathe {

struct LoopOptions {
  flow::HostParams params;
  std::string service_domain;
  unsigned interval_seconds = 2;
  std::filesystem::path events_directory = "/etc/xen/tmem/events.d";
  std::filesystem::path proc = "/proc";
};

class Loop {
 public:
  using Log = std::function<void(int priority, const std::string& text)>;  // syslog priorities; called by the thread
  Loop(LoopOptions options, Log log);  // throws std::system_error
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

 private:
  void run();
  void session(bool& told);
  bool wait(int fd, int timeout_ms) const;  // false: it is over
  bool stopping() const;

  LoopOptions options_;
  Log log_;
  int stop_;
  std::thread thread_;
};

}  // namespace tmem::breathe
