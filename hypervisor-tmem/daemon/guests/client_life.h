// SPDX-License-Identifier: MIT
// What a decision about a client means on the shards: attach it, open its channels, free it, write its identity or policy.
// The same for every transport.
//
// Borrows registry and shards for its whole life. The mailbox of a shard keeps the order of calls: freeing an old client and
// then attaching its successor needs no waiting.
// Thread rule: the main thread; done-closures come there.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/guests/clients.h"
#include "daemon/shards.h"

namespace tmem {

class ClientLife {
 public:
  ClientLife(ClientRegistry& registry, ShardSet& shards) : registry_(registry), shards_(shards) {}

  // Makes the client and its identity known to its shards; a recovered or suspended one keeps its pools there.
  // done(false): a shard refused.
  void attach(ClientId client, std::function<void(bool)> done);
  // Channel i goes to shard i, where it is served from now on. done(false): a shard refused.
  void open_channels(std::vector<std::unique_ptr<Channel>> channels, std::function<void(bool)> done);
  // Closes its channels; its pools stay, and the room that its unanswered credited puts need when they come again.
  void close_channels(ClientId client, std::function<void()> done = [] {});
  // The shared pools that it may join, besides those it may already.
  void authorise(ClientId client, const std::vector<Uuid>& uuids);
  // Closes its channels and frees its pools. The entry is kClosing already, or there is none.
  void free(ClientId client, std::function<void()> done = [] {});
  void write_identity(ClientId client);
  // done(false): a shard has no room to write it down, and the policy is what it was.
  void set_policy(ClientId client, const ClientPolicy& policy, const std::string& dedup_group, std::function<void(bool)> done);

 private:
  void write_policy(ClientId client, std::function<void(bool)> done);

  ClientRegistry& registry_;
  ShardSet& shards_;
};

}  // namespace tmem
