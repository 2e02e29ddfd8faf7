// SPDX-License-Identifier: MIT
// What the control plane needs of the process that it runs in: who the clients are, and a way onto the shards' threads. The
// daemon implements it with real workers, tests with engines in the same thread.
//
// Thread rule: everything is called on the main thread; only the work given to on_shards() runs on the shards' threads.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tmem/engine.h"

namespace tmem {

enum class ControlClientState : uint8_t { kConnected, kRecovered, kSuspended, kClosing };

struct ControlClient {
  ClientId id;
  std::string name;
  Uuid uuid;
  ControlClientState state = ControlClientState::kConnected;
  std::string transport;
  uint32_t queues = 0;    // it lives on the shards 0 to queues - 1
  ClientPolicy policy;    // of the whole client
  std::string dedup_group;
};

struct ServiceFigures {
  std::string version;
  uint32_t abi_version = 0;
  uint64_t generation = 0;
  uint64_t uptime_seconds = 0;
  uint32_t restarts = 0;
  uint32_t pid = 0;
  std::string config_path;
  uint64_t memory_bytes_max = 0;
  uint64_t clients_refused = 0;
  uint64_t arenas_refused = 0;
  uint64_t control_frames_malformed = 0;
  uint64_t control_connections_cut = 0;
  std::string huge_pages;
};

// What a client's queue on a shard has done.
struct QueueFigures {
  uint64_t requests = 0;
  uint64_t requests_malformed = 0;
  uint64_t doorbells_sent = 0;
  RefusalStats refused;
};

// One shard, seen from its own thread.
class ShardAccess {
 public:
  virtual ~ShardAccess() = default;
  virtual uint32_t shard() const = 0;
  virtual Engine& engine() = 0;
  virtual QueueFigures queue(ClientId client) const = 0;
  virtual uint64_t sleeps() const = 0;
  virtual uint64_t wakeups() const = 0;
  virtual uint64_t channels_broken() const = 0;
};

class ControlHost {
 public:
  virtual ~ControlHost() = default;
  virtual ServiceFigures figures() const = 0;
  virtual uint32_t shards() const = 0;
  virtual std::vector<ControlClient> clients() const = 0;
  // Runs work once on every shard's thread, several at a time, then done on the main thread. The service serves on.
  virtual void on_shards(std::function<void(ShardAccess&)> work, std::function<void()> done) = 0;
  // A client's policy as a whole; the host divides it among the shards. dedup_group as the operator names it. done(false): there
  // is no room to write it down, and the policy is what it was.
  virtual void set_policy(ClientId client, const ClientPolicy& policy, const std::string& dedup_group, std::function<void(bool)> done) = 0;
  // Frees the pools of a client that is not connected. False: it is connected, or unknown.
  virtual bool forget(ClientId client) = 0;
  // Divides it among the shards. Returns what it was before; nothing: not between the minimum and the maximum.
  virtual std::optional<uint64_t> set_memory(uint64_t bytes) = 0;
};

}  // namespace tmem
