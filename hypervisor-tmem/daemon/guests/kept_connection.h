// SPDX-License-Identifier: MIT
// A client's connection as descriptors that the service manager keeps by name: region, doorbells, and at last the socket.
// Here are the names, and how the pieces come together again. Thread rule: the main thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "transport/memfd/memfd_handshake.h"

namespace tmem {

class Notifier;

constexpr size_t kept_fds_of(uint32_t queues) { return 2 + 2 * size_t{queues}; }
std::string kept_socket_name(ClientId client);

// All but the socket.
void keep_connection(Notifier& notifier, ClientId client, const MemfdConnection& made);
void forget_connection(Notifier& notifier, ClientId client, uint32_t queues);

struct KeptConnection {
  std::shared_ptr<MemfdRegion> region;
  FileDescriptor socket;
  std::map<uint32_t, MemfdDoorbells> doorbells;

  bool whole() const;
  uint32_t queues_seen() const;
  std::vector<std::unique_ptr<Channel>> make_channels(ClientId client);
};
using KeptConnections = std::map<ClientId, KeptConnection>;

// Takes all that is named like a connection out of the map; what makes no sense is closed.
KeptConnections take_kept_connections(std::map<std::string, FileDescriptor>& inherited);

}  // namespace tmem
