// SPDX-License-Identifier: MIT
// The loop of one shard: it serves every channel of the shard in turn, polls for a while when there is nothing, then asks
// for doorbells and sleeps. All of a shard's state (engine, channels, backends) is touched by this one thread, so that put
// and get take no lock; other threads hand in closures, which run between two rounds.
//
// Owns the channels and their backends. Borrows the engine for its whole life.
// Thread rule: run() is the shard's thread. post() and stop() may be called by any thread; everything else by the shard's
// thread only, which means: inside a posted closure, in on_broken, or while run() does not run.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "transport/backend.h"
#include "transport/channel.h"
#include "transport/file_descriptor.h"

namespace tmem {

struct ShardWorkerConfig {
  uint32_t shards = 1;  // for the answer to QUERY
  // How long an idle worker polls before it sleeps. A wake costs about this much, so that polling as long costs at most
  // twice what knowing the future would.
  std::chrono::nanoseconds poll_window = std::chrono::microseconds(50);
};

struct WorkerStats {
  uint64_t rounds = 0;           // passes over all channels
  uint64_t sleeps = 0;           // epoll_wait entered with nothing to do
  uint64_t wakeups_doorbell = 0; // sleeps ended by a front
  uint64_t wakeups_mailbox = 0;  // sleeps ended by post() or stop()
  uint64_t engine_steps = 0;
  uint64_t channels_broken = 0;
  BackendStats backends;         // sum over all channels there are and were
};

class ShardWorker {
 public:
  // on_broken: the front of this client wrote nonsense into its ring; its channel of this shard is gone already.
  ShardWorker(Engine& engine, const ShardWorkerConfig& config, std::function<void(ClientId)> on_broken);
  ~ShardWorker();
  ShardWorker(const ShardWorker&) = delete;
  ShardWorker& operator=(const ShardWorker&) = delete;

  bool ready() const { return ready_; }  // false: no descriptors left; do not run it
  // Serves until stop(). May be called again after it returned.
  void run();
  void stop();
  // Runs the closure on the shard's thread, in the order of posting; at the latest when run() is called again. Never blocks.
  void post(std::function<void()> closure);

  // At most one channel for each client; the client is attached to the engine already. A living ring is taken up where it
  // stands. After a restart add all channels before run(), so that credits are reserved before anybody is served.
  // False: no descriptors left, or the client has a channel here already; nothing was kept.
  bool add_channel(std::unique_ptr<Channel> channel, RingState state = RingState::kNew);
  // Closes the client's channel, whatever requests are in it, and gives its credits back. False: no such channel.
  bool remove_channel(ClientId client);

  WorkerStats stats() const;
  const BackendStats* channel_stats(ClientId client) const;  // of its channel; null: it has none here

 private:
  struct Served;

  bool drain_all();
  bool step();
  bool arm_all();
  void sleep();
  bool run_mailbox();
  void wake();
  void forget(const Served& served);
  void drop_broken();

  Engine& engine_;
  const ShardWorkerConfig config_;
  const std::function<void(ClientId)> on_broken_;
  std::vector<std::unique_ptr<Served>> served_;
  size_t turn_ = 0;     // whose turn is next in served_
  WorkerStats stats_;   // all but backends
  BackendStats past_;   // of channels that are gone
  uint64_t requests_since_step_ = 0;
  const FileDescriptor epoll_;
  const FileDescriptor mailbox_bell_;  // eventfd: rung by post() and stop() while the worker sleeps
  bool ready_ = false;                 // the two above could be made

  std::mutex mailbox_mutex_;  // guards mailbox_ only; never held while a closure runs
  std::vector<std::function<void()>> mailbox_;
  std::atomic<bool> mailbox_full_{false};
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> stopping_{false};
};

}  // namespace tmem
