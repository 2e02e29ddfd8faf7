// SPDX-License-Identifier: MIT
// The client's side of the control socket: blocking calls with a timeout. Frames are a 32-bit little-endian length and one
// protobuf message; proto/tmem/control.proto has the rules. Whatever goes wrong is a Failure with a line for people.
//
// Owns the connection; one request at a time. A reply is whole or it is a Failure: nothing is ever cut silently.
// Thread rule: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>

#include "tmem/control.pb.h"
#include "tools/tmemctl/failure.h"

namespace tmem::tool {

inline constexpr const char* kControlSocketDefault = "/run/xen-tmem/control.sock";
inline constexpr size_t kRequestBytesMax = size_t{1} << 20;
inline constexpr size_t kReplyBytesMax = size_t{64} << 20;

class ControlClient {
 public:
  using Milliseconds = std::chrono::milliseconds;

  ControlClient(const std::string& socket_path, Milliseconds timeout);
  ~ControlClient();
  ControlClient(const ControlClient&) = delete;
  ControlClient& operator=(const ControlClient&) = delete;

  // Sends the request under an id of its own and waits for its reply. An error of the service becomes a Failure.
  control::Reply call(control::Request request);
  // After a Subscribe: the next event; none when the time is over.
  std::optional<control::Event> next_event(std::optional<Milliseconds> timeout);

 private:
  using Deadline = std::optional<std::chrono::steady_clock::time_point>;

  // False: the time is over.
  bool wait(short events, Deadline deadline);
  void write_all(std::span<const char> bytes, Deadline deadline);
  // False, only at the very start of a frame: nothing came in time.
  bool read_exact(std::span<char> bytes, Deadline deadline, bool may_stop);
  std::optional<control::Reply> read_reply(Deadline deadline, bool may_stop);
  [[noreturn]] void timed_out() const;
  [[noreturn]] void connection_ended(const std::string& why) const;

  std::string path_;
  Milliseconds timeout_;
  int fd_ = -1;
  uint64_t last_id_ = 0;
  std::deque<control::Event> events_;  // that came while a call waited for its reply
};

}  // namespace tmem::tool
