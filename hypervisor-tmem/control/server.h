// SPDX-License-Identifier: MIT
// The control socket: accepts connections on a listening Unix socket and gives each a session. One more than
// kControlConnectionsMax cuts off the one that has said nothing for longest: nobody can hold all of them idle. Who may connect
// is the socket file's mode (0600) to say; whoever connects may do everything.
//
// Owns the listening socket and the connections. Thread rule: the main thread, which runs the io_context.
#pragma once

#include <memory>
#include <set>

#include "control/session.h"

namespace boost::asio {
class io_context;
}

namespace tmem {

class ControlServer {
 public:
  // Takes the listening descriptor. Borrows io and service for its whole life.
  ControlServer(boost::asio::io_context& io, int listening_fd, ControlService& service);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  void publish(const control::Event& event);
  const ControlCounters& counters() const { return counters_; }
  size_t connections() const { return connections_.size(); }
  // No new connections, and those there are end.
  void close();

 private:
  struct Acceptor;
  class Connection;

  void accept();
  void cut_longest_silent();

  ControlService& service_;
  ControlCounters counters_;
  std::unique_ptr<Acceptor> acceptor_;
  std::set<std::shared_ptr<Connection>> connections_;
  uint64_t heard_ = 0;  // counts what is received, for the order of it
};

}  // namespace tmem
