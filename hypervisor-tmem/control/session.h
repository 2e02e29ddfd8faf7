// SPDX-License-Identifier: MIT
// One control connection, whatever carries it: takes bytes, gives bytes. Decodes frames, has the service answer, and sends
// events once the peer has subscribed. The carrier (server.h for a Unix socket) owns the session.
//
// Bounded: at most kControlPendingMax requests are in work for one connection and kControlBacklogBytesMax bytes wait to be sent;
// a peer that asks for more without reading is cut off.
//
// Thread rule: the main thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "control/frame.h"
#include "control/service.h"
#include "tmem/limits.h"

namespace tmem {

struct ControlCounters {
  uint64_t requests = 0;
  uint64_t requests_refused = 0;     // answered with an error
  uint64_t frames_malformed = 0;     // the connection was closed for it
  uint64_t connections_cut = 0;      // did not read what it asked for
};

class ControlSession : public std::enable_shared_from_this<ControlSession> {
 public:
  // What the carrier does; it may drop the session inside close().
  struct Carrier {
    std::function<void(std::string frame)> send;
    std::function<void()> close;              // when all that was sent before is through
    std::function<size_t()> backlog_bytes;
  };

  // Make it with std::make_shared: answers that come late find out by a weak pointer that the session is gone.
  ControlSession(ControlService& service, ControlCounters& counters, Carrier carrier);

  void receive(std::string_view bytes);
  void publish(const control::Event& event);
  bool subscribed() const { return subscribed_; }

 private:
  void take_frame(const std::string& frame);
  void answer(control::Reply reply);
  void give_up(const std::string& why);

  ControlService& service_;
  ControlCounters& counters_;
  Carrier carrier_;
  FrameDecoder decoder_{kControlRequestBytesMax};
  size_t pending_ = 0;
  bool subscribed_ = false;
  bool closed_ = false;
};

}  // namespace tmem
