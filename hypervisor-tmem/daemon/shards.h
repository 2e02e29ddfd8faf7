// SPDX-License-Identifier: MIT
// The shards: for each an arena file, an engine over it, a worker and its thread. The main thread never touches an engine
// while the threads run; it hands closures to them and is told when all have run.
//
// Owns all of it. Invariant: an engine is destroyed before its arena, a worker before its engine, all threads before any.
// Thread rule: everything here is called by the main thread; on_shards() closures run on the shards' threads.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "control/host.h"
#include "daemon/base/arena_file.h"
#include "daemon/config/config.h"
#include "transport/shard_worker.h"

namespace boost::asio {
class io_context;
}

namespace tmem {

class Notifier;

// Of connections that outlived an earlier service: channel i of a client is for shard i.
using AdoptedChannels = std::map<ClientId, std::vector<std::unique_ptr<Channel>>>;

// One shard as seen by closures on its thread.
class Shard final : public ShardAccess {
 public:
  Shard(uint32_t number, std::unique_ptr<ArenaFile> arena) : number_(number), arena_(std::move(arena)) {}

  uint32_t shard() const override { return number_; }
  Engine& engine() override { return *engine_; }
  QueueFigures queue(ClientId client) const override;
  uint64_t sleeps() const override { return worker_->stats().sleeps; }
  uint64_t wakeups() const override { return worker_->stats().wakeups_doorbell; }
  uint64_t channels_broken() const override { return worker_->stats().channels_broken; }
  ShardWorker& worker() { return *worker_; }
  // Takes its channels, before its thread runs. Returns whose it could not take: nobody would serve that queue.
  [[nodiscard]] std::vector<ClientId> adopt(AdoptedChannels& channels);

 private:
  friend class ShardSet;
  uint32_t number_;
  uint64_t instance_ = 0;  // of its arena
  std::unique_ptr<ArenaFile> arena_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ShardWorker> worker_;
  std::thread thread_;
};

class ShardSet {
 public:
  // Borrows io for its whole life: done-closures and on_broken run on it. on_broken: a client's ring is nonsense.
  ShardSet(boost::asio::io_context& io, std::function<void(ClientId)> on_broken);
  ~ShardSet();
  ShardSet(const ShardSet&) = delete;
  ShardSet& operator=(const ShardSet&) = delete;

  // Takes up the arenas among the inherited descriptors, or makes new ones and has the manager keep them; recovers them
  // all at once. The arenas that are there decide how many shards there are. Empty: done; else why not.
  std::string open(const Config& config, std::map<std::string, FileDescriptor>& inherited, Notifier& notifier);
  // Before start() only: the engines are the main thread's until then.
  void each(const std::function<void(Shard&)>& work);
  void start();
  // Lets the threads end their round and come home.
  void stop();

  uint32_t count() const { return static_cast<uint32_t>(shards_.size()); }
  // Runs work once on each shard's thread, then done on the main thread.
  void on_shards(std::function<void(Shard&)> work, std::function<void()> done);

  // Changes whenever an arena was made from nothing.
  uint64_t generation() const { return generation_; }
  bool recovered() const { return recovered_; }
  // Kept arenas that could not be read: what was in them is lost.
  uint64_t arenas_refused() const { return arenas_refused_; }
  uint64_t memory_bytes_max() const { return memory_bytes_max_; }

 private:
  std::string open_arena(uint32_t number, const Config& config, FileDescriptor inherited, uint64_t instance, Notifier& notifier);
  std::string replace_arena(uint32_t number, const Config& config, Notifier& notifier);
  Status make_engine(Shard& shard, const Config& config);

  boost::asio::io_context& io_;
  std::function<void(ClientId)> on_broken_;
  std::vector<std::unique_ptr<Shard>> shards_;
  uint64_t generation_ = 0;
  uint64_t memory_bytes_max_ = 0;
  uint64_t arenas_refused_ = 0;
  bool recovered_ = false;
  bool running_ = false;
};

}  // namespace tmem
