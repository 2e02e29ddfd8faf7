// SPDX-License-Identifier: MIT
#include "tools/tmemctl/control_client.h"

#include <utility>

#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

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

ControlClient::ControlClient(std::unique_ptr<Link> link, Milliseconds timeout) : link_(std::move(link)), timeout_(timeout) {}

void ControlClient::timed_out() const {
  throw Failure(ExitCode::kUnreachable, link_->service() + " did not answer within " + std::to_string(timeout_.count()) +
                                            " ms; guests are not affected. Try a longer --timeout, or see: " + link_->see());
}

void ControlClient::write_all(std::span<const char> bytes, Deadline deadline) {
  while (!bytes.empty()) {
    if (!link_->wait(Link::Direction::kWrite, deadline)) timed_out();
    bytes = bytes.subspan(link_->write(bytes));
  }
}

bool ControlClient::read_exact(std::span<char> bytes, Deadline deadline, bool may_stop) {
  const size_t wanted = bytes.size();
  while (!bytes.empty()) {
    if (!link_->wait(Link::Direction::kRead, deadline)) {
      if (may_stop && bytes.size() == wanted) return false;
      timed_out();
    }
    bytes = bytes.subspan(link_->read(bytes));
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
    throw Failure(ExitCode::kProtocol, "the answer of " + link_->service() + " has an impossible length of " + std::to_string(size) +
                                           " bytes; is that the control socket of xen-tmemd?");
  std::string body(size, '\0');
  read_exact(body, deadline, false);
  control::Reply reply;
  if (!reply.ParseFromString(body))
    throw Failure(ExitCode::kProtocol, "the answer of " + link_->service() + " is not understood; is that the control socket of " +
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
