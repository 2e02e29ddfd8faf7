// SPDX-License-Identifier: MIT
// What carries the control protocol's bytes to the service: its Unix socket, or a vchan to the domain that it runs in. Waits
// are bounded by a deadline; whatever breaks is a Failure with a line for people.
//
// Owns the connection. Thread rule: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "tools/tmemctl/failure.h"

namespace tmem::tool {

using Milliseconds = std::chrono::milliseconds;
using Deadline = std::optional<std::chrono::steady_clock::time_point>;  // none: as long as it takes

class Link {
 public:
  enum class Direction { kRead, kWrite };

  virtual ~Link() = default;
  virtual std::string service() const = 0;  // "xen-tmemd at /run/...", for messages
  virtual std::string see() const = 0;      // the command that shows why it does not answer
  // Bytes moved at once; 0: none now.
  virtual size_t read(std::span<char> into) = 0;
  virtual size_t write(std::span<const char> bytes) = 0;
  // Until it is worth trying. False: the time is over.
  virtual bool wait(Direction direction, Deadline deadline) = 0;

 protected:
  [[noreturn]] void ended(const std::string& why) const;
};

// poll() on one descriptor. 1: ready, 0: the time is over, -1: errno says why.
int poll_until(int fd, short events, Deadline deadline);

std::unique_ptr<Link> connect_socket(const std::string& path, Milliseconds timeout);
// To the service in another domain, from dom0. name is for messages, and may be empty.
std::unique_ptr<Link> connect_domain(uint32_t domid, const std::string& name, Milliseconds timeout);

}  // namespace tmem::tool
