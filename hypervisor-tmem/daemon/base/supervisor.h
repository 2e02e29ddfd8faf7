// SPDX-License-Identifier: MIT
// The small parent that outlives the service: where no systemd keeps our descriptors (a stub domain, a terminal), this does.
// It speaks the manager's side of the protocol in notify.h: starts the service, keeps what FDSTORE=1 hands over (arenas,
// listening sockets, clients' rings), starts it again with those after a crash, with back-off. One thread, no protobuf, no Asio: there is
// next to nothing in here that could crash.
//
// SIGTERM, SIGINT: stop the service, then end; the arenas' memory is free when both are gone.
// SIGHUP: let the service stop cleanly and start it anew with the same arenas (new binary, new configuration).
//
// Owns the kept descriptors. Thread rule: one thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "transport/file_descriptor.h"

namespace tmem {

// Exit statuses of xen-tmemd, also for scripts.
enum ExitStatus : int { kExitOk = 0, kExitFailure = 1, kExitUsage = 2, kExitConfig = 3, kExitInUse = 4 };

class Supervisor {
 public:
  // command: program and arguments of the service.
  explicit Supervisor(std::vector<std::string> command);
  int run();

  // A message of the service: STATUS=, READY=1, FDSTORE=1 and so on. Public for tests.
  void take_message(std::string_view message, std::vector<FileDescriptor> fds);
  const std::map<std::string, FileDescriptor>& kept() const { return kept_; }

 private:
  bool open_descriptors();
  bool start_service();
  [[noreturn]] void become_service();
  void receive_message();
  void take_signal();
  void service_ended(int wait_status);
  void check_deadlines();
  void remove_socket_files();
  int poll_timeout_ms() const;

  std::vector<std::string> command_;
  std::map<std::string, FileDescriptor> kept_;
  FileDescriptor signals_;
  FileDescriptor notify_;
  std::string notify_name_;
  pid_t service_ = -1;
  uint32_t restarts_ = 0;
  uint32_t failed_starts_ = 0;     // in a row, without READY=1
  bool ready_ = false;             // this service said READY=1
  bool was_ready_ = false;         // any did
  bool stopping_ = false;
  bool restart_asked_ = false;
  int exit_status_ = -1;           // decided: the loop ends
  int64_t start_at_ms_ = 0;        // when to start the next one
  int64_t started_at_ms_ = 0;
  int64_t alive_until_ms_ = 0;     // watchdog
  int64_t kill_at_ms_ = 0;         // a stop that takes too long
};

}  // namespace tmem
