// SPDX-License-Identifier: MIT
// A guest for crash tests, written on the contract alone: rings, shadows of what is in flight, credits, replay. It checks
// what it gets as it goes: of each page it knows the version that must be there.
//
// One operation at a time for each page, so that there is exactly one right answer whatever was replayed.
// Thread rule: one thread.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tmem/tmem_memfd.h"
#include "tmem/tmem_ring.h"
#include "transport/file_descriptor.h"

namespace tmem::test {

class RawClient {
 public:
  static constexpr uint32_t kPages = 4500;
  static constexpr uint32_t kPersistentPages = 3600;  // the rest is put into an ephemeral pool: may miss, and must after a hit

  RawClient(std::string socket_path, uint64_t seed);
  ~RawClient();

  // Connects, or connects again and replays. Waits as long as the service needs to come back.
  void connect();
  void make_pools();
  // Submits one random operation, and takes what answers there are.
  void work();
  // Waits until nothing is in flight.
  void settle();
  // Gets every page and compares.
  void verify_all();

  uint64_t operations() const { return operations_; }
  uint64_t credited_puts() const { return credited_puts_; }
  uint32_t reconnects() const { return reconnects_; }
  uint32_t refused() const { return refused_; }  // puts without a credit: the page is absent then
  uint32_t lost() const { return lost_; }    // a page that must be there was not
  uint32_t wrong() const { return wrong_; }  // other bytes than the last put, or a page that was flushed
  const std::string& trouble() const { return trouble_; }

 private:
  struct Shadow {
    uint8_t op;
    uint32_t index;
    uint32_t version;  // put: the new one; get: the one that must come, 0: none
    bool credited;
  };
  struct Queue {
    tmem_ring_front ring{};
    void* memory = nullptr;
    FileDescriptor requests;   // we write
    FileDescriptor responses;  // we wait; here only kept
    std::deque<Shadow> in_flight;
    uint32_t credits = 0;
  };

  bool try_connect();
  void publish(Queue& queue, const Shadow& shadow);
  void submit(uint8_t op, uint32_t index);
  bool take_answers(Queue& queue);
  void check(Queue& queue, const Shadow& shadow, const tmemif_response& response, uint32_t slot);
  bool connection_ended() const;
  void pause_or_reconnect();
  Queue& queue_of(uint32_t index);

  const std::string socket_path_;
  std::mt19937_64 random_;
  std::array<uint8_t, 16> uuid_{};
  std::array<uint64_t, 2> nonce_{};
  uint64_t epoch_ = 0;
  FileDescriptor socket_;
  void* region_ = nullptr;
  size_t region_bytes_ = 0;
  uint32_t order_ = 0;
  std::vector<Queue> queues_;
  std::vector<uint32_t> version_ = std::vector<uint32_t>(kPages, 0);  // 0: not there
  std::vector<bool> busy_ = std::vector<bool>(kPages, false);
  uint32_t next_version_ = 1;
  uint64_t operations_ = 0;
  uint64_t credited_puts_ = 0;
  uint32_t reconnects_ = 0;
  uint32_t refused_ = 0;
  uint32_t lost_ = 0;
  uint32_t wrong_ = 0;
  std::string trouble_;
};

}  // namespace tmem::test
