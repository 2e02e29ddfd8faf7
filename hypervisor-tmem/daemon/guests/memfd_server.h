// SPDX-License-Identifier: MIT
// Connections of local processes: accepts on the listening socket, hears one hello within kHelloSeconds, has the client
// admitted and attached, sends the welcome, then watches for the socket's end, which is the connection's.
//
// A connection is kept with the service manager too (socket, region, doorbells): after a crash the next service takes up
// the living rings where they stand, and the client notices nothing but the pause. What is not whole, is dropped; the client
// then sees the socket end, connects anew, claims its pools and replays.
//
// Owns the sockets. Borrows the rest for its whole life. Thread rule: the main thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "daemon/guests/client_life.h"
#include "daemon/guests/clients.h"
#include "transport/memfd/memfd_handshake.h"

namespace boost::asio {
class io_context;
}

namespace tmem {

class Notifier;

class MemfdServer {
 public:
  static constexpr unsigned kHelloSeconds = 5;

  // What becomes of connections, for logs and events.
  struct Observer {
    std::function<void(const ClientEntry&, const MemfdPeer&, bool resumed)> attached;
    std::function<void(const ClientEntry&)> detached;
    std::function<void(uid_t uid, const char* why)> refused;
  };

  MemfdServer(boost::asio::io_context& io, ClientRegistry& registry, ClientLife& life, ShardSet& shards, Notifier& notifier,
              const Config& config, Observer observer);
  ~MemfdServer();

  // Takes up connections that an earlier service kept; before the shards' threads run. Takes its descriptors out of the map.
  void adopt(std::map<std::string, FileDescriptor>& inherited);
  AdoptedChannels& adopted() { return adopted_; }
  // Of an adopted client that a shard cannot serve: its connection ends, its pools wait for the next. Safe as drop() is.
  void give_up(ClientId client);
  void listen(FileDescriptor listening);
  // Ends a client's connection; its pools are freed. Safe to call for clients of other transports.
  void drop(ClientId client);
  // No new connections; those there are stay as they are, for the next service or the kernel to end.
  void close();

 private:
  class Connection;
  struct Acceptor;
  using ConnectionPtr = std::shared_ptr<Connection>;

  void accept();
  void accept_all();
  void hear(const ConnectionPtr& connection);
  void admit(const ConnectionPtr& connection, const MemfdPeer& peer);
  void connect(const ConnectionPtr& connection, const MemfdPeer& peer, bool resumed);
  void welcome(const ConnectionPtr& connection, const MemfdPeer& peer, bool resumed, MemfdConnection& made);
  void refuse(const ConnectionPtr& connection, uid_t uid, tmem_memfd_result why);
  void watch(const ConnectionPtr& connection);
  void ended(const ConnectionPtr& connection, bool resume_failed = false);
  void keep(const ConnectionPtr& connection, const MemfdConnection& made);
  void keep_socket(const ConnectionPtr& connection);
  void unkeep(const ConnectionPtr& connection);

  boost::asio::io_context& io_;
  ClientRegistry& registry_;
  ClientLife& life_;
  ShardSet& shards_;
  Notifier& notifier_;
  uint32_t ring_order_max_;
  bool keep_connections_;
  Observer observer_;
  std::unique_ptr<Acceptor> acceptor_;
  std::map<ClientId, ConnectionPtr> connections_;
  AdoptedChannels adopted_;
  size_t unheard_ = 0;
  size_t kept_fds_ = 0;
};

}  // namespace tmem
