// SPDX-License-Identifier: MIT
// The service manager's protocol, spoken directly: descriptors that we are started with (LISTEN_FDS, LISTEN_FDNAMES),
// datagrams that we send (NOTIFY_SOCKET), descriptors that the manager keeps over our death (FDSTORE=1). systemd is one
// manager; our own supervisor (supervisor.h) speaks the same, so the service knows one way only.
//
// Thread rule: inherited_fds() before there are threads; Notifier: the main thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "transport/file_descriptor.h"

namespace tmem {

inline constexpr int kInheritedFdFirst = 3;
inline constexpr const char* kEnvRestarts = "TMEM_RESTARTS";

// Takes the descriptors over, close-on-exec, by name; the environment forgets them. Names twice: the later is closed.
std::map<std::string, FileDescriptor> inherited_fds();

class Notifier {
 public:
  Notifier();  // reads and forgets NOTIFY_SOCKET and WATCHDOG_USEC
  bool present() const { return socket_.valid(); }
  // How often the manager wants a sign of life, halved; 0: never.
  uint64_t watchdog_period_ms() const { return watchdog_period_ms_; }

  bool send(std::string_view message, std::span<const int> fds = {});
  bool ready(std::string_view status) { return send("READY=1\nSTATUS=" + std::string(status)); }
  bool status(std::string_view text) { return send("STATUS=" + std::string(text)); }
  bool alive() { return send("WATCHDOG=1"); }
  bool stopping() { return send("STOPPING=1\nSTATUS=stopping"); }
  bool store(std::string_view name, int fd);
  bool forget(std::string_view name);

 private:
  FileDescriptor socket_;
  uint64_t watchdog_period_ms_ = 0;
};

}  // namespace tmem
