// SPDX-License-Identifier: MIT
#include "daemon/vchan_server.h"

#include <array>
#include <deque>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "tmem/tmem_xs.h"
#include "transport/xen/xen_store.h"

namespace tmem {

using boost::asio::posix::stream_descriptor;
using boost::system::error_code;

namespace {

constexpr size_t kTurnBytesMax = 65536;  // read of one stream before others have their turn
constexpr auto kRetry = std::chrono::seconds(1);

}  // namespace

struct VchanServer::Slot {
  Slot(boost::asio::io_context& io, uint32_t n) : number(n), retry(io) {}
  const uint32_t number;
  boost::asio::steady_timer retry;
  std::shared_ptr<Connection> connection;
};

// Owns stream and session; lives as long as the slot or a handler under way holds it.
class VchanServer::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(VchanServer& server, Slot& slot, std::unique_ptr<XenVchan> stream)
      : server_(server), slot_(slot), stream_(std::move(stream)), descriptor_(server.io_, stream_->fd()) {}
  ~Connection() { descriptor_.release(); }  // it is the stream's
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start() {
    session_ = std::make_shared<ControlSession>(
        server_.service_, server_.counters_,
        ControlSession::Carrier{[this](std::string frame) { send(std::move(frame)); }, [this] { close_when_sent(); }, [this] { return backlog_bytes_; }});
    wait();
    turn();
  }

  void publish(const control::Event& event) {
    const std::shared_ptr<ControlSession> session = session_;  // it may be dropped by what it sends
    if (session) session->publish(event);
  }

  // No handler does anything from here on.
  void end() {
    session_.reset();
    descriptor_.release();
  }

 private:
  bool over() const { return session_ == nullptr; }

  void drop() {
    end();
    server_.offer_later(slot_);
  }

  void wait() {
    descriptor_.async_wait(stream_descriptor::wait_read, [self = shared_from_this()](const error_code& error) {
      if (error || self->over()) return;
      self->stream_->acknowledge();
      self->turn();
      if (!self->over()) self->wait();
    });
  }

  // Writes and reads what can be; again, after others, when there may be more to read.
  void turn() {
    flush();
    std::array<char, 4096> bytes;
    size_t taken = 0;
    while (!over() && !closing_ && taken < kTurnBytesMax) {
      const size_t got = stream_->read(bytes);
      if (got == 0) break;
      taken += got;
      // Held here: the session may be dropped by what it receives.
      const std::shared_ptr<ControlSession> session = session_;
      session->receive({bytes.data(), got});
    }
    if (over()) return;
    if (stream_->peer() == XenVchan::Peer::kGone) return drop();
    if (taken < kTurnBytesMax) return;
    boost::asio::post(server_.io_, [self = shared_from_this()] {
      if (!self->over()) self->turn();
    });
  }

  void send(std::string frame) {
    backlog_bytes_ += frame.size();
    output_.push_back(std::move(frame));
    flush();
  }

  void flush() {
    while (!over() && !output_.empty()) {
      const std::string_view rest = std::string_view(output_.front()).substr(sent_bytes_);
      const size_t written = stream_->write(rest);
      sent_bytes_ += written;
      backlog_bytes_ -= written;
      if (written == 0) return;
      if (written < rest.size()) continue;
      sent_bytes_ = 0;
      output_.pop_front();
    }
    if (!over() && closing_) drop();
  }

  void close_when_sent() {
    closing_ = true;
    if (output_.empty() || backlog_bytes_ > kControlBacklogBytesMax / 2) drop();
  }

  VchanServer& server_;
  Slot& slot_;
  std::unique_ptr<XenVchan> stream_;
  stream_descriptor descriptor_;
  std::shared_ptr<ControlSession> session_;
  std::deque<std::string> output_;
  size_t sent_bytes_ = 0;  // of the first
  size_t backlog_bytes_ = 0;
  bool closing_ = false;
};

VchanServer::VchanServer(boost::asio::io_context& io, ControlService& service) : io_(io), service_(service) {}

VchanServer::~VchanServer() { close(); }

VchanServer::Offer VchanServer::offer_to_dom0() {
  const std::unique_ptr<XenStore> store = XenStore::open();
  const std::string own = store ? store->read("domid").value_or("0") : "0";
  if (own == "0") return nullptr;
  return [](uint32_t n) { return XenVchan::offer(0, TMEM_XS_CONTROL "/" + std::to_string(n)); };
}

bool VchanServer::open(Offer offer_stream, uint32_t streams) {
  offer_ = std::move(offer_stream);
  bool any = false;
  for (uint32_t n = 0; n < streams; ++n) {
    slots_.push_back(std::make_unique<Slot>(io_, n));
    if (offer(*slots_.back())) any = true;
    else if (any) offer_later(*slots_.back());
    else break;
  }
  if (!any) slots_.clear();
  return any;
}

bool VchanServer::offer(Slot& slot) {
  std::unique_ptr<XenVchan> stream = offer_(slot.number);
  if (!stream) return false;
  slot.connection = std::make_shared<Connection>(*this, slot, std::move(stream));
  slot.connection->start();
  return true;
}

// From the loop, so never within the connection that it replaces; where that failed, not at once again.
void VchanServer::offer_later(Slot& slot) {
  slot.retry.expires_after(slot.connection ? std::chrono::seconds(0) : kRetry);
  slot.retry.async_wait([this, &slot](const error_code& error) {
    if (error) return;
    slot.connection.reset();
    if (!offer(slot)) offer_later(slot);
  });
}

void VchanServer::publish(const control::Event& event) {
  for (const auto& slot : slots_) {
    if (slot->connection) slot->connection->publish(event);
  }
}

void VchanServer::close() {
  for (const auto& slot : slots_) {
    slot->retry.cancel();
    if (slot->connection) slot->connection->end();
  }
  slots_.clear();
}

}  // namespace tmem
