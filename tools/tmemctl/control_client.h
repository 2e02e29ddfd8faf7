// SPDX-License-Identifier: MIT
// The client's side of a control connection: blocking calls with a timeout. Frames are a 32-bit little-endian length and one
// protobuf message; proto/tmem/control.proto has the rules. Whatever goes wrong is a Failure with a line for people.
//
// Owns the connection; one request at a time. A reply is whole or it is a Failure: nothing is ever cut silently.
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "tmem/control.pb.h"
#include "tools/tmemctl/failure.h"
#include "tools/tmemctl/link.h"

namespace tmem::tool {

inline constexpr size_t kRequestBytesMax = size_t{1} << 20;
inline constexpr size_t kReplyBytesMax = size_t{64} << 20;

class ControlClient {
 public:
  ControlClient(std::unique_ptr<Link> link, Milliseconds timeout);

  // Sends the request under an id of its own and waits for its reply. An error of the service becomes a Failure.
  control::Reply call(control::Request request);
  // After a Subscribe: the next event; none when the time is over.
  std::optional<control::Event> next_event(std::optional<Milliseconds> timeout);

 private:
  void write_all(std::span<const char> bytes, Deadline deadline);
  // False, only at the very start of a frame: nothing came in time.
  bool read_exact(std::span<char> bytes, Deadline deadline, bool may_stop);
  std::optional<control::Reply> read_reply(Deadline deadline, bool may_stop);
  [[noreturn]] void timed_out() const;

  std::unique_ptr<Link> link_;
  Milliseconds timeout_;
  uint64_t last_id_ = 0;
  std::deque<control::Event> events_;  // that came while a call waited for its reply
};

}  // namespace tmem::tool
