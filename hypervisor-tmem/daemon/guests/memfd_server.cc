// SPDX-License-Identifier: MIT
#include "daemon/guests/memfd_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <cerrno>

#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "daemon/base/clock.h"
#include "daemon/base/notify.h"
#include "daemon/guests/kept_connection.h"
#include "tmem/limits.h"

namespace tmem {

using boost::asio::posix::stream_descriptor;
using boost::system::error_code;

namespace {

const char* to_text(tmem_memfd_result why) {
  switch (why) {
    case TMEM_MEMFD_WELCOME: return "welcome";
    case TMEM_MEMFD_BAD_HELLO: return "malformed hello";
    case TMEM_MEMFD_BAD_VERSION: return "version not spoken";
    case TMEM_MEMFD_NOT_ALLOWED: return "uuid of another user";
    case TMEM_MEMFD_IN_USE: return "uuid is connected already";
    case TMEM_MEMFD_FULL: return "limit of clients reached, or no memory";
    case TMEM_MEMFD_SHUTTING_DOWN: return "shutting down";
  }
  return "unknown";
}

uid_t peer_uid(int socket) {
  ucred credentials{};
  socklen_t length = sizeof(credentials);
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 ? credentials.uid : static_cast<uid_t>(-1);
}

bool readable(int fd) {
  pollfd waited{fd, POLLIN, 0};
  return poll(&waited, 1, 0) > 0;
}

}  // namespace

class MemfdServer::Connection {
 public:
  Connection(boost::asio::io_context& io, int fd) : socket(io, fd), deadline(io) {}
  int fd() { return socket.native_handle(); }

  stream_descriptor socket;
  boost::asio::steady_timer deadline;  // for the hello
  ClientId client;
  uint32_t queues = 0;
  size_t kept_fds = 0;
};

struct MemfdServer::Acceptor {
  Acceptor(boost::asio::io_context& io, int fd) : socket(io, fd), retry(io) {}
  stream_descriptor socket;
  boost::asio::steady_timer retry;
};

MemfdServer::MemfdServer(boost::asio::io_context& io, ClientRegistry& registry, ClientLife& life, ShardSet& shards, Notifier& notifier,
                         const Config& config, Observer observer)
    : io_(io), registry_(registry), life_(life), shards_(shards), notifier_(notifier), ring_order_max_(config.ring_order_max),
      keep_connections_(config.keep_connections), observer_(std::move(observer)) {}

MemfdServer::~MemfdServer() = default;

void MemfdServer::listen(FileDescriptor listening) {
  acceptor_ = std::make_unique<Acceptor>(io_, listening.release());
  for (const auto& [client, connection] : connections_) watch(connection);
  accept();
}

void MemfdServer::close() {
  if (!acceptor_) return;
  error_code ignored;
  acceptor_->socket.close(ignored);
  acceptor_->retry.cancel(ignored);
}

void MemfdServer::accept() {
  acceptor_->socket.async_wait(stream_descriptor::wait_read, [this](const error_code& error) {
    if (!error) accept_all();
  });
}

void MemfdServer::accept_all() {
  for (;;) {
    FileDescriptor fd(accept4(acceptor_->socket.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) break;
    if (unheard_ >= kUnheardConnectionsMax) {
      observer_.refused(peer_uid(fd.get()), "too many connections that say nothing");
      continue;
    }
    const auto connection = std::make_shared<Connection>(io_, fd.release());
    ++unheard_;
    connection->deadline.expires_after(std::chrono::seconds(kHelloSeconds));
    connection->deadline.async_wait([weak = std::weak_ptr(connection)](const error_code& cancelled) {
      const auto late = weak.lock();
      error_code ignored;
      if (!cancelled && late) late->socket.cancel(ignored);
    });
    hear(connection);
  }
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ECONNABORTED) return accept();
  // Out of descriptors, most likely: trying at once would spin.
  acceptor_->retry.expires_after(std::chrono::milliseconds(100));
  acceptor_->retry.async_wait([this](const error_code& cancelled) {
    if (!cancelled) accept();
  });
}

void MemfdServer::hear(const ConnectionPtr& connection) {
  connection->socket.async_wait(stream_descriptor::wait_read, [this, connection](const error_code& error) {
    MemfdPeer peer;
    tmem_memfd_result why = TMEM_MEMFD_BAD_HELLO;
    const HelloProgress progress = error ? HelloProgress::kClosed : receive_hello(connection->fd(), shards_.count(), peer, why);
    if (progress == HelloProgress::kAgain) return hear(connection);
    --unheard_;
    connection->deadline.cancel();
    if (error) observer_.refused(peer_uid(connection->fd()), "no hello in time");
    if (progress == HelloProgress::kRefused) refuse(connection, peer_uid(connection->fd()), why);
    if (progress == HelloProgress::kReady) admit(connection, peer);
  });
}

void MemfdServer::refuse(const ConnectionPtr& connection, uid_t uid, tmem_memfd_result why) {
  send_refusal(connection->fd(), why);
  observer_.refused(uid, to_text(why));
}

void MemfdServer::admit(const ConnectionPtr& connection, const MemfdPeer& peer) {
  ClientHello hello;
  hello.uuid = peer.uuid();
  hello.nonce = {peer.hello.nonce[0], peer.hello.nonce[1]};
  hello.epoch = peer.hello.epoch;
  hello.name = peer.hello.name;
  hello.transport = "memfd";
  hello.queues = peer.hello.queues;
  hello.owner = peer.uid;
  Admission admission = registry_.admit(hello);
  if (admission.outcome == Admission::Outcome::kInUse) {
    // The old connection may have ended, and we have not looked yet.
    const auto old = connections_.find(admission.id);
    if (old == connections_.end() || !readable(old->second->fd())) return refuse(connection, peer.uid, TMEM_MEMFD_IN_USE);
    ended(ConnectionPtr(old->second));
    admission = registry_.admit(hello);
  }
  if (admission.freed) life_.free(*admission.freed);
  if (admission.outcome == Admission::Outcome::kNotOwner) return refuse(connection, peer.uid, TMEM_MEMFD_NOT_ALLOWED);
  if (admission.outcome == Admission::Outcome::kFull) return refuse(connection, peer.uid, TMEM_MEMFD_FULL);
  connection->client = admission.id;
  connection->queues = hello.queues;
  connections_[admission.id] = connection;
  connect(connection, peer, admission.outcome == Admission::Outcome::kResumed);
}

void MemfdServer::connect(const ConnectionPtr& connection, const MemfdPeer& peer, bool resumed) {
  life_.attach(connection->client, [this, connection, peer, resumed](bool attached) {
    const auto current = connections_.find(connection->client);
    if (current == connections_.end() || current->second != connection) return;
    auto made = attached ? make_connection(connection->queues, std::min(peer.hello.ring_order, ring_order_max_)) : std::nullopt;
    if (!made) {
      refuse(connection, peer.uid, TMEM_MEMFD_FULL);
      return ended(connection, resumed);
    }
    welcome(connection, peer, resumed, *made);
  });
}

void MemfdServer::welcome(const ConnectionPtr& connection, const MemfdPeer& peer, bool resumed, MemfdConnection& made) {
  const ClientEntry& entry = *registry_.find(connection->client);
  tmem_memfd_welcome answer{};
  answer.client = connection->client.value();
  answer.resumed = resumed ? 1 : 0;
  answer.epoch = entry.epoch;
  answer.generation = shards_.generation();
  observer_.attached(entry, peer, resumed);
  // The socket last: a service that finds it kept knows that the welcome was said.
  keep(connection, made);
  if (!send_welcome(connection->fd(), answer, made)) return ended(connection, resumed);
  keep_socket(connection);
  std::vector<std::unique_ptr<Channel>> channels;
  for (uint32_t queue = 0; queue < connection->queues; ++queue) {
    channels.push_back(std::make_unique<MemfdChannel>(connection->client, made.region, queue, std::move(made.doorbells[queue])));
  }
  life_.open_channels(std::move(channels), [this, connection, resumed](bool opened) {
    if (!opened) ended(connection, resumed);
  });
  watch(connection);
}

// Nothing is said after the welcome: whatever makes the socket readable is the end.
void MemfdServer::watch(const ConnectionPtr& connection) {
  connection->socket.async_wait(stream_descriptor::wait_read, [this, connection](const error_code& error) {
    if (!error) ended(connection);
  });
}

void MemfdServer::drop(ClientId client) {
  const auto found = connections_.find(client);
  if (found != connections_.end()) ended(ConnectionPtr(found->second));
}

void MemfdServer::give_up(ClientId client) {
  const auto found = connections_.find(client);
  if (found != connections_.end()) ended(ConnectionPtr(found->second), true);
}

// resume_failed: the client had pools here, and its new connection never served: they are not to pay for that.
void MemfdServer::ended(const ConnectionPtr& connection, bool resume_failed) {
  const auto current = connections_.find(connection->client);
  if (current == connections_.end() || current->second != connection) return;
  connections_.erase(current);
  unkeep(connection);
  error_code ignored;
  connection->socket.close(ignored);
  const ClientEntry* entry = registry_.find(connection->client);
  if (resume_failed) {
    registry_.resume_failed(connection->client, monotonic_seconds());
    life_.write_identity(connection->client);
    return life_.close_channels(connection->client);
  }
  if (entry != nullptr) observer_.detached(*entry);
  if (registry_.disconnected(connection->client, false, monotonic_seconds())) life_.free(connection->client);
}

void MemfdServer::keep(const ConnectionPtr& connection, const MemfdConnection& made) {
  const size_t wanted = kept_fds_of(connection->queues);
  if (!keep_connections_ || !notifier_.present() || kept_fds_ + wanted > kKeptFdsOfClientsMax) return;
  kept_fds_ += wanted;
  connection->kept_fds = wanted;
  keep_connection(notifier_, connection->client, made);
}

void MemfdServer::keep_socket(const ConnectionPtr& connection) {
  if (connection->kept_fds != 0) notifier_.store(kept_socket_name(connection->client), connection->fd());
}

void MemfdServer::unkeep(const ConnectionPtr& connection) {
  if (connection->kept_fds == 0) return;
  kept_fds_ -= std::exchange(connection->kept_fds, 0);
  forget_connection(notifier_, connection->client, connection->queues);
}

void MemfdServer::adopt(std::map<std::string, FileDescriptor>& inherited) {
  KeptConnections kept = take_kept_connections(inherited);
  for (auto& [client, parts] : kept) {
    if (parts.whole() && registry_.reconnected(client, "memfd", parts.region->queues())) {
      const auto connection = std::make_shared<Connection>(io_, parts.socket.release());
      connection->client = client;
      connection->queues = parts.region->queues();
      connection->kept_fds = kept_fds_of(connection->queues);
      kept_fds_ += connection->kept_fds;
      connections_[client] = connection;
      adopted_[client] = parts.make_channels(client);
    } else {
      forget_connection(notifier_, client, parts.queues_seen());
    }
  }
}

}  // namespace tmem
