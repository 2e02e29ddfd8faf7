// SPDX-License-Identifier: MIT
// Control connections from dom0, for a service in a domain of its own: a fixed number of streams is offered, each carries one
// session of control/ and is offered anew when that has ended. What the sessions do is the control socket's doing.
//
// Bounded: so many streams and no more, a turn of reading for each, a session's limit of what waits to be sent. A peer that
// stalls, lies or dies costs its own stream.
//
// Owns the streams. Borrows io and service for its whole life. Thread rule: the main thread.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "control/session.h"
#include "transport/xen/xen_vchan.h"

namespace boost::asio {
class io_context;
}

namespace tmem {

class VchanServer {
 public:
  // Offers stream number n; null: it cannot be had now.
  using Offer = std::function<std::unique_ptr<XenVchan>(uint32_t n)>;

  // Streams to dom0 at the places of tmem_xs.h; nothing where this is dom0 or no Xen domain.
  static Offer offer_to_dom0();

  VchanServer(boost::asio::io_context& io, ControlService& service);
  ~VchanServer();
  VchanServer(const VchanServer&) = delete;
  VchanServer& operator=(const VchanServer&) = delete;

  // False: not one stream could be offered, and none will be.
  bool open(Offer offer, uint32_t streams);
  void publish(const control::Event& event);
  const ControlCounters& counters() const { return counters_; }
  // The loop is not to run after it.
  void close();

 private:
  struct Slot;
  class Connection;

  bool offer(Slot& slot);
  void offer_later(Slot& slot);

  boost::asio::io_context& io_;
  ControlService& service_;
  ControlCounters counters_;
  Offer offer_;
  std::vector<std::unique_ptr<Slot>> slots_;
};

}  // namespace tmem
