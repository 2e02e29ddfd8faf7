// SPDX-License-Identifier: MIT
// The service in this process: a listening socket, the memfd handshake, one worker and one engine for each shard. One thread
// accepts and watches connections. crash() drops every connection without a word, as a death of the service does; engines
// keep what they hold (that is what recovery restores), or are made anew when forget is asked for.
//
// Thread rule: start, crash and the destructor by one thread; the rest is inside.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <future>
#include <thread>

#include "support/heap_memory.h"
#include "transport/memfd/memfd_handshake.h"
#include "transport/shard_worker.h"

namespace tmem::test {

class TestService {
 public:
  explicit TestService(uint32_t shards, uint32_t segments_each = 256) : shards_(shards), segments_(segments_each) {
    char directory[] = "/tmp/tmem-sim-XXXXXX";
    if (!::mkdtemp(directory)) std::abort();
    directory_ = directory;
    path_ = directory_ + "/socket";
    make_engines();
    start();
  }
  ~TestService() {
    crash();
    std::filesystem::remove_all(directory_);
  }

  const std::string& path() const { return path_; }
  uint32_t connections() const { return connections_; }

  // Dead: nobody listens, every connection ends.
  void crash(bool forget = false) {
    if (!thread_.joinable()) return;
    stopping_ = true;
    const uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof(one));
    thread_.join();
    for (auto& shard : shard_) {
      shard->worker->stop();
      shard->thread.join();
      shard->worker.reset();  // channels and backends with it; the engines stay
    }
    peers_.clear();
    ::unlink(path_.c_str());
    if (forget) make_engines();
  }
  void start() {
    stopping_ = false;
    for (auto& shard : shard_) {
      shard->worker = std::make_unique<ShardWorker>(*shard->engine, ShardWorkerConfig{.shards = shards_}, [](ClientId) {});
      shard->thread = std::thread([&worker = *shard->worker] { worker.run(); });
    }
    listener_ = FileDescriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    stop_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof(address.sun_path), "%s", path_.c_str());
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || ::listen(listener_.get(), 8) != 0)
      std::abort();
    thread_ = std::thread([this] { run(); });
  }
  // To be called while crashed.
  std::string check_invariants() {
    std::string text;
    for (auto& shard : shard_) text += shard->engine->check_invariants();
    return text;
  }

 private:
  struct Shard {
    std::unique_ptr<HeapMemory> memory;
    std::unique_ptr<Engine> engine;
    std::unique_ptr<ShardWorker> worker;
    std::thread thread;
  };
  struct Peer {
    FileDescriptor socket;
    ClientId client;
    bool welcomed = false;
  };

  void make_engines() {
    shard_.clear();
    known_.clear();
    for (uint32_t i = 0; i < shards_; ++i) {
      auto shard = std::make_unique<Shard>();
      shard->memory = std::make_unique<HeapMemory>(segments_);
      auto engine = Engine::create(*shard->memory, {.memory_bytes_target = size_t{segments_} * kSegmentBytes});
      if (!engine.ok()) std::abort();
      shard->engine = std::move(engine.value());
      shard_.push_back(std::move(shard));
    }
  }

  // Runs on every shard's thread, and waits.
  template <typename Call>
  void on_shard(uint32_t number, Call call) {
    std::promise<void> done;
    shard_[number]->worker->post([&] {
      call(*shard_[number]);
      done.set_value();
    });
    done.get_future().wait();
  }

  void run() {
    while (!stopping_) {
      std::vector<pollfd> fds{{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
      for (const Peer& peer : peers_) fds.push_back({peer.socket.get(), POLLIN, 0});
      ::poll(fds.data(), fds.size(), -1);
      for (size_t i = peers_.size(); i-- > 0;)
        if (fds[2 + i].revents && !serve(peers_[i])) peers_.erase(peers_.begin() + static_cast<long>(i));
      if (fds[1].revents) peers_.push_back({FileDescriptor(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)), {}, false});
    }
  }

  // False: this connection has ended.
  bool serve(Peer& peer) {
    MemfdPeer who;
    tmem_memfd_result why{};
    if (peer.welcomed) {
      for (uint32_t i = 0; i < shards_; ++i) on_shard(i, [&](Shard& shard) {
        shard.worker->remove_channel(peer.client);
        (void)shard.engine->detach(peer.client);
      });
      known_.erase(peer.client.value());
      return false;
    }
    const HelloProgress progress = receive_hello(peer.socket.get(), shards_, who, why);
    if (progress == HelloProgress::kRefused) send_refusal(peer.socket.get(), why);
    if (progress == HelloProgress::kAgain) return true;
    if (progress != HelloProgress::kReady) return false;
    return welcome(peer, who);
  }

  bool welcome(Peer& peer, const MemfdPeer& who) {
    auto connection = make_connection(who.hello.queues, who.hello.ring_order);
    if (!connection) return false;
    uint32_t id = 1;
    while (known_.count(id) && known_[id] != who.hello.nonce[0]) ++id;
    const bool resumed = known_.count(id) && who.hello.epoch != 0;
    known_[id] = who.hello.nonce[0];
    peer.client = ClientId(id);
    peer.welcomed = true;
    for (uint32_t i = 0; i < who.hello.queues; ++i) on_shard(i, [&](Shard& shard) {
      FileDescriptor copy(::dup(connection->doorbells[i].requests.get()));  // for send_welcome; the channel takes the rest
      if (!resumed && shard.engine->attach(peer.client, {who.uuid(), {who.hello.nonce[0], who.hello.nonce[1]}, 1, "sim"}, {},
                                           who.hello.queues == shards_) != Status::kOk)
        std::abort();
      shard.worker->add_channel(std::make_unique<MemfdChannel>(peer.client, connection->region, i, std::move(connection->doorbells[i])));
      connection->doorbells[i].requests = std::move(copy);
    });
    ++connections_;
    tmem_memfd_welcome answer{};
    answer.client = id;
    answer.resumed = resumed;
    answer.epoch = who.hello.epoch + 1;
    answer.generation = 1;
    return send_welcome(peer.socket.get(), answer, *connection);
  }

  const uint32_t shards_, segments_;
  std::string directory_, path_;
  std::vector<std::unique_ptr<Shard>> shard_;
  std::map<uint32_t, uint64_t> known_;  // client -> nonce; survives a crash as the arena does
  std::vector<Peer> peers_;
  FileDescriptor listener_, stop_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint32_t> connections_{0};
};

}  // namespace tmem::test
