// SPDX-License-Identifier: MIT
#include "control/session.h"

namespace tmem {

ControlSession::ControlSession(ControlService& service, ControlCounters& counters, Carrier carrier)
    : service_(service), counters_(counters), carrier_(std::move(carrier)) {}

void ControlSession::receive(std::string_view bytes) {
  decoder_.add(bytes);
  while (!closed_) {
    const std::optional<std::string> frame = decoder_.next();
    if (!frame) break;
    take_frame(*frame);
  }
  if (decoder_.broken() && !closed_) {
    ++counters_.frames_malformed;
    give_up("a frame must have 1 to " + std::to_string(kControlRequestBytesMax) + " bytes; this is no control client");
  }
}

void ControlSession::take_frame(const std::string& frame) {
  control::Request request;
  if (!request.ParseFromString(frame)) {
    ++counters_.frames_malformed;
    return give_up("the frame holds no control request; is the client of another version?");
  }
  if (pending_ >= kControlPendingMax) {
    ++counters_.connections_cut;
    return give_up("more than " + std::to_string(kControlPendingMax) + " requests wait for their answers; read answers before asking on");
  }
  ++counters_.requests;
  ++pending_;
  const bool subscribes = request.has_subscribe();
  service_.handle(request, [weak = weak_from_this(), subscribes](control::Reply reply) {
    const auto self = weak.lock();
    if (!self || self->closed_) return;
    --self->pending_;
    self->subscribed_ |= subscribes;
    self->answer(std::move(reply));
  });
}

void ControlSession::answer(control::Reply reply) {
  if (reply.code() != control::ERROR_NONE) ++counters_.requests_refused;
  std::string frame = encode_frame(reply.SerializeAsString());
  if (frame.empty()) {
    control::Reply smaller;
    smaller.set_id(reply.id());
    smaller.set_code(control::ERROR_NOT_POSSIBLE);
    smaller.set_error("the answer is longer than 64 MiB: ask for one client at a time");
    frame = encode_frame(smaller.SerializeAsString());
  }
  if (carrier_.backlog_bytes() + frame.size() > kControlBacklogBytesMax) {
    ++counters_.connections_cut;
    closed_ = true;
    return carrier_.close();
  }
  carrier_.send(std::move(frame));
}

void ControlSession::publish(const control::Event& event) {
  if (!subscribed_ || closed_) return;
  control::Reply reply;
  *reply.mutable_event() = event;
  answer(std::move(reply));
}

void ControlSession::give_up(const std::string& why) {
  control::Reply reply;
  reply.set_code(control::ERROR_BAD_REQUEST);
  reply.set_error(why);
  answer(std::move(reply));
  if (closed_) return;
  closed_ = true;
  carrier_.close();
}

}  // namespace tmem
