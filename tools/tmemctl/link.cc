// SPDX-License-Identifier: MIT
#include "tools/tmemctl/link.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

std::string system_text(int error) { return std::generic_category().message(error); }

std::string connect_advice(int error) {
  switch (error) {
    case ENOENT:
      return "there is no such socket; start the service (systemctl start xen-tmemd) or name its socket with --socket";
    case ECONNREFUSED:
      return "nobody listens there; the service is stopped or has just died. See: systemctl status xen-tmemd";
    case EACCES:
    case EPERM:
      return "this user may not use the socket; run as root";
    case EAGAIN:
      return "the service does not accept connections; it is busy or stuck. See: systemctl status xen-tmemd";
    case EPROTOTYPE:
      return "that is the socket of clients (memfd-socket); name the other, control-socket in the configuration, with --socket";
    default:
      return system_text(error);
  }
}

class SocketLink final : public Link {
 public:
  SocketLink(int fd, const std::string& path) : fd_(fd), path_(path) {}
  ~SocketLink() override { close(fd_); }
  SocketLink(const SocketLink&) = delete;
  SocketLink& operator=(const SocketLink&) = delete;

  std::string service() const override { return "xen-tmemd at " + printable(path_); }
  std::string see() const override { return "systemctl status xen-tmemd"; }

  size_t read(std::span<char> into) override {
    const ssize_t n = recv(fd_, into.data(), into.size(), MSG_DONTWAIT);
    if (n == 0) ended(received_ ? "it was closed in the middle of an answer" : "it was closed without an answer");
    if (n < 0 && errno != EAGAIN && errno != EINTR) ended(system_text(errno));
    received_ |= n > 0;
    return n > 0 ? static_cast<size_t>(n) : 0;
  }

  size_t write(std::span<const char> bytes) override {
    const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) ended(errno == EPIPE ? "it was closed while the request was sent" : system_text(errno));
    received_ = false;
    return n > 0 ? static_cast<size_t>(n) : 0;
  }

  bool wait(Direction direction, Deadline deadline) override {
    const int ready = poll_until(fd_, direction == Direction::kRead ? POLLIN : POLLOUT, deadline);
    if (ready < 0) ended(system_text(errno));
    return ready > 0;
  }

 private:
  const int fd_;
  const std::string path_;
  bool received_ = false;  // of the answer to what was sent last
};

}  // namespace

void Link::ended(const std::string& why) const {
  throw Failure(ExitCode::kUnreachable, "the connection to " + service() + " ended: " + why + ". See: " + see());
}

int poll_until(int fd, short events, Deadline deadline) {
  for (;;) {
    int left = -1;
    if (deadline) {
      auto now = std::chrono::steady_clock::now();
      if (now >= *deadline) return 0;
      left = static_cast<int>(std::chrono::ceil<Milliseconds>(*deadline - now).count());
    }
    pollfd waiting{fd, events, 0};
    int ready = poll(&waiting, 1, left);
    if (ready >= 0 || errno != EINTR) return ready;
  }
}

std::unique_ptr<Link> connect_socket(const std::string& path, Milliseconds timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    throw Failure(ExitCode::kUsage, "cannot use '" + printable(path) + "' as a socket: a path of 1 to " +
                                        std::to_string(sizeof address.sun_path - 1) + " bytes is needed");
  std::memcpy(address.sun_path, path.data(), path.size());
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw Failure(ExitCode::kFailed, "cannot make a socket: " + system_text(errno));
  auto link = std::make_unique<SocketLink>(fd, path);
  // A connect to a full backlog waits; the send timeout bounds that, and it needs at least a microsecond.
  timeval bound{};
  bound.tv_sec = timeout.count() / 1000;
  bound.tv_usec = timeout.count() % 1000 * 1000 + 1;
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw Failure(ExitCode::kUnreachable, "cannot reach xen-tmemd at " + printable(path) + ": " + connect_advice(errno));
  return link;
}

}  // namespace tmem::tool
