// SPDX-License-Identifier: MIT
#include "control/server.h"

#include <algorithm>
#include <array>
#include <deque>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

namespace tmem {

using boost::asio::local::stream_protocol;
using boost::system::error_code;

struct ControlServer::Acceptor {
  Acceptor(boost::asio::io_context& io, int fd) : socket(io, stream_protocol(), fd), retry(io) {}
  stream_protocol::acceptor socket;
  boost::asio::steady_timer retry;
};

// Owns socket and session; lives as long as an operation is under way or the server holds it.
class ControlServer::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ControlServer& server, stream_protocol::socket socket) : server_(&server), socket_(std::move(socket)) {}

  void start() {
    heard_ = ++server_->heard_;
    session_ = std::make_shared<ControlSession>(
        server_->service_, server_->counters_,
        ControlSession::Carrier{[this](std::string frame) { send(std::move(frame)); }, [this] { close_when_sent(); },
                                [this] { return backlog_bytes_; }});
    receive();
  }

  void publish(const control::Event& event) { session_->publish(event); }
  uint64_t heard() const { return heard_; }

  // Ends it at once; the handlers under way come back with an error and let go.
  void drop() {
    session_.reset();
    error_code ignored;
    socket_.close(ignored);
    if (server_ != nullptr) std::exchange(server_, nullptr)->connections_.erase(shared_from_this());
  }

 private:
  void receive() {
    socket_.async_read_some(boost::asio::buffer(input_), [self = shared_from_this()](const error_code& error, size_t bytes) {
      if (self->session_ == nullptr) return;
      if (error) return self->drop();
      self->heard_ = ++self->server_->heard_;
      // Held here: the session may be dropped by what it receives.
      const std::shared_ptr<ControlSession> session = self->session_;
      session->receive({self->input_.data(), bytes});
      if (self->session_ != nullptr && !self->closing_) self->receive();
    });
  }

  void send(std::string frame) {
    backlog_bytes_ += frame.size();
    output_.push_back(std::move(frame));
    if (output_.size() == 1) send_next();
  }

  void send_next() {
    boost::asio::async_write(socket_, boost::asio::buffer(output_.front()), [self = shared_from_this()](const error_code& error, size_t) {
      if (self->session_ == nullptr) return;
      self->backlog_bytes_ -= self->output_.front().size();
      self->output_.pop_front();
      if (error || (self->output_.empty() && self->closing_)) return self->drop();
      if (!self->output_.empty()) self->send_next();
    });
  }

  void close_when_sent() {
    closing_ = true;
    if (output_.empty() || backlog_bytes_ > kControlBacklogBytesMax / 2) drop();
  }

  ControlServer* server_;
  stream_protocol::socket socket_;
  std::shared_ptr<ControlSession> session_;
  std::array<char, 16384> input_;
  std::deque<std::string> output_;
  size_t backlog_bytes_ = 0;
  uint64_t heard_ = 0;
  bool closing_ = false;
};

ControlServer::ControlServer(boost::asio::io_context& io, int listening_fd, ControlService& service)
    : service_(service), acceptor_(std::make_unique<Acceptor>(io, listening_fd)) {
  accept();
}

ControlServer::~ControlServer() { close(); }

void ControlServer::close() {
  error_code ignored;
  acceptor_->socket.close(ignored);
  acceptor_->retry.cancel(ignored);
  while (!connections_.empty()) {
    const std::shared_ptr<Connection> connection = *connections_.begin();
    connection->drop();
  }
}

void ControlServer::accept() {
  acceptor_->socket.async_accept([this](const error_code& error, stream_protocol::socket socket) {
    if (error == boost::asio::error::operation_aborted) return;
    if (error) {
      // Out of descriptors, most likely: trying at once would spin.
      acceptor_->retry.expires_after(std::chrono::milliseconds(100));
      acceptor_->retry.async_wait([this](const error_code& cancelled) {
        if (!cancelled) accept();
      });
      return;
    }
    if (connections_.size() >= kControlConnectionsMax) cut_longest_silent();
    const auto connection = std::make_shared<Connection>(*this, std::move(socket));
    connections_.insert(connection);
    connection->start();
    accept();
  });
}

void ControlServer::cut_longest_silent() {
  ++counters_.connections_cut;
  const auto silent = std::min_element(connections_.begin(), connections_.end(), [](const auto& a, const auto& b) { return a->heard() < b->heard(); });
  const std::shared_ptr<Connection> cut = *silent;
  cut->drop();
}

void ControlServer::publish(const control::Event& event) {
  const auto connections = connections_;  // publishing may drop one
  for (const auto& connection : connections) connection->publish(event);
}

}  // namespace tmem
