// SPDX-License-Identifier: MIT
// A local client's connection to the service, over a Unix socket and a memfd (proto/tmem/tmem_memfd.h), with the front on it.
//
// Owns the front, its tables, the socket, the mapped queues, and a thread that watches the socket: when its end comes, that
// thread tells the front, connects again with nonce and epoch, backing off, and lets the front replay. Callers just wait.
// What a lost connection shared is kept until the front has taken its pages over.
//
// Thread rule: any thread may use front() for operations; the functions here are safe from any thread.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "tmem/tmem_memfd.h"
#include "tmem_front.h"

namespace tmem::sim {

struct ConnectionOptions {
  std::string socket = TMEM_MEMFD_SOCKET;
  std::string name = "sim";                  // for people; cut to what the hello holds
  std::array<uint8_t, 16> uuid{};            // all zero: a random one
  uint32_t queues = 0;                       // 0: one for each shard
  uint32_t ring_order = TMEMIF_RING_ORDER_DEFAULT;
  uint32_t pools_max = 64;
  std::chrono::nanoseconds poll_window = std::chrono::microseconds(50);
  std::chrono::milliseconds give_up_after = std::chrono::seconds(60);  // of trying to connect again
  std::function<void()> on_forgotten;        // the service lost its memory: persistent pools are gone. Calls nothing back
};

class Connection {
 public:
  // Null: error says why, in one line.
  static std::unique_ptr<Connection> open(const ConnectionOptions& options, std::string& error);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  tmem_front* front() { return &front_; }
  uint32_t reconnects() const;
  uint32_t client() const;  // as the service calls us

  // Sleeps until the queue's doorbell rang, or a new connection stands. For owners that drive the front themselves after
  // tmem_front_arm() has said that there is nothing.
  void wait(uint32_t queue);

 private:
  struct Link;
  enum class Attempt { kConnected, kLater, kNever };

  explicit Connection(const ConnectionOptions& options);
  Attempt connect_once(std::shared_ptr<Link>& link, std::string& error);
  int attach(const std::shared_ptr<Link>& link);
  void start_front(const Link& link);
  void watch();
  bool connect_again();
  bool pause(std::chrono::milliseconds time);
  std::shared_ptr<Link> link() const;
  void notify(uint32_t queue);

  const ConnectionOptions options_;
  tmem_memfd_hello hello_{};  // its epoch moves with each welcome; the watching thread's after open()
  tmem_front front_{};
  std::unique_ptr<std::byte, decltype(&std::free)> front_memory_{nullptr, &std::free};

  mutable std::mutex mutex_;  // guards link_, closed_, reconnects_
  std::condition_variable changed_;
  std::shared_ptr<Link> link_;
  bool closed_ = false;       // the end: by the destructor, or because nobody answers any more
  uint32_t reconnects_ = 0;
  int stop_ = -1;             // eventfd: ends the watching thread
  std::thread watcher_;
};

}  // namespace tmem::sim
