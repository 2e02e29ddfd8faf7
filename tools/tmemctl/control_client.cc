// SPDX-License-Identifier: MIT
#include "tools/tmemctl/control_client.h"

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
    default:
      return system_text(error);
  }
}

ExitCode exit_code_of(control::ErrorCode code) {
  switch (code) {
    case control::ERROR_BAD_REQUEST: return ExitCode::kUsage;
    case control::ERROR_NO_CLIENT:
    case control::ERROR_NO_POOL: return ExitCode::kNotFound;
    case control::ERROR_NOT_POSSIBLE: return ExitCode::kNotPossible;
    default: return ExitCode::kFailed;
  }
}

void put_le32(char* to, uint32_t value) {
  for (int i = 0; i < 4; i++) to[i] = static_cast<char>(value >> (8 * i));
}

uint32_t get_le32(const char* from) {
  uint32_t value = 0;
  for (int i = 0; i < 4; i++) value |= uint32_t{static_cast<uint8_t>(from[i])} << (8 * i);
  return value;
}

}  // namespace

ControlClient::ControlClient(const std::string& socket_path, Milliseconds timeout) : path_(socket_path), timeout_(timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.empty() || path_.size() >= sizeof address.sun_path)
    throw Failure(ExitCode::kUsage, "cannot use '" + printable(path_) + "' as a socket: a path of 1 to " +
                                        std::to_string(sizeof address.sun_path - 1) + " bytes is needed");
  std::memcpy(address.sun_path, path_.data(), path_.size());
  fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) throw Failure(ExitCode::kFailed, "cannot make a socket: " + system_text(errno));
  // A connect to a full backlog waits; the send timeout bounds that, and it needs at least a microsecond.
  timeval bound{};
  bound.tv_sec = timeout_.count() / 1000;
  bound.tv_usec = timeout_.count() % 1000 * 1000 + 1;
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    int error = errno;
    close(fd_);
    throw Failure(ExitCode::kUnreachable, "cannot reach xen-tmemd at " + printable(path_) + ": " + connect_advice(error));
  }
}

ControlClient::~ControlClient() { close(fd_); }

void ControlClient::timed_out() const {
  throw Failure(ExitCode::kUnreachable, "xen-tmemd at " + printable(path_) + " did not answer within " +
                                            std::to_string(timeout_.count()) +
                                            " ms; guests are not affected. Try a longer --timeout, or see: systemctl status xen-tmemd");
}

void ControlClient::connection_ended(const std::string& why) const {
  throw Failure(ExitCode::kUnreachable, "the connection to xen-tmemd at " + printable(path_) + " ended: " + why +
                                            ". See: systemctl status xen-tmemd");
}

bool ControlClient::wait(short events, Deadline deadline) {
  for (;;) {
    int left = -1;
    if (deadline) {
      auto now = std::chrono::steady_clock::now();
      if (now >= *deadline) return false;
      left = static_cast<int>(std::chrono::ceil<Milliseconds>(*deadline - now).count());
    }
    pollfd waiting{fd_, events, 0};
    int ready = poll(&waiting, 1, left);
    if (ready >= 0) return ready > 0;
    if (errno != EINTR) connection_ended(system_text(errno));
  }
}

void ControlClient::write_all(std::span<const char> bytes, Deadline deadline) {
  while (!bytes.empty()) {
    if (!wait(POLLOUT, deadline)) timed_out();
    ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
      bytes = bytes.subspan(static_cast<size_t>(sent));
    else if (errno != EAGAIN && errno != EINTR)
      connection_ended(errno == EPIPE ? "it was closed while the request was sent" : system_text(errno));
  }
}

bool ControlClient::read_exact(std::span<char> bytes, Deadline deadline, bool may_stop) {
  size_t got = 0;
  while (got < bytes.size()) {
    if (!wait(POLLIN, deadline)) {
      if (may_stop && got == 0) return false;
      timed_out();
    }
    ssize_t n = recv(fd_, bytes.data() + got, bytes.size() - got, MSG_DONTWAIT);
    if (n > 0)
      got += static_cast<size_t>(n);
    else if (n == 0)
      connection_ended(got == 0 ? "it was closed without an answer" : "it was closed in the middle of an answer");
    else if (errno != EAGAIN && errno != EINTR)
      connection_ended(system_text(errno));
  }
  return true;
}

std::optional<control::Reply> ControlClient::read_reply(Deadline deadline, bool may_stop) {
  char head[4];
  if (!read_exact(head, deadline, may_stop)) return std::nullopt;
  // A frame that has begun comes in one piece, events too.
  if (!deadline) deadline = std::chrono::steady_clock::now() + timeout_;
  size_t size = get_le32(head);
  if (size == 0 || size > kReplyBytesMax)
    throw Failure(ExitCode::kProtocol, "the answer at " + printable(path_) + " has an impossible length of " + std::to_string(size) +
                                           " bytes; is that the control socket of xen-tmemd?");
  std::string body(size, '\0');
  read_exact(body, deadline, false);
  control::Reply reply;
  if (!reply.ParseFromString(body))
    throw Failure(ExitCode::kProtocol, "the answer at " + printable(path_) + " is not understood; is that the control socket of " +
                                           "xen-tmemd, and of this version? See: xen-tmemctl doctor");
  return reply;
}

control::Reply ControlClient::call(control::Request request) {
  Deadline deadline = std::chrono::steady_clock::now() + timeout_;
  request.set_id(++last_id_);
  std::string frame(4, '\0');
  request.AppendToString(&frame);
  if (frame.size() - 4 > kRequestBytesMax) throw Failure(ExitCode::kUsage, "the request is longer than 1 MiB");
  put_le32(frame.data(), static_cast<uint32_t>(frame.size() - 4));
  write_all(frame, deadline);
  for (;;) {
    control::Reply reply = *read_reply(deadline, false);
    if (reply.has_event()) events_.push_back(reply.event());
    // Id 0 answers a frame that the service could not read at all.
    bool ours = reply.id() == last_id_ || (reply.id() == 0 && !reply.error().empty());
    if (!ours || reply.has_event()) continue;
    if (!reply.error().empty() || reply.code() != control::ERROR_NONE) {
      std::string line = reply.error().empty() ? "the service gave no reason" : reply.error();
      throw Failure(exit_code_of(reply.code()), printable(line));
    }
    return reply;
  }
}

std::optional<control::Event> ControlClient::next_event(std::optional<Milliseconds> timeout) {
  Deadline deadline;
  if (timeout) deadline = std::chrono::steady_clock::now() + *timeout;
  while (events_.empty()) {
    std::optional<control::Reply> reply = read_reply(deadline, true);
    if (!reply) return std::nullopt;
    if (reply->has_event()) events_.push_back(reply->event());
  }
  control::Event event = events_.front();
  events_.pop_front();
  return event;
}

}  // namespace tmem::tool
