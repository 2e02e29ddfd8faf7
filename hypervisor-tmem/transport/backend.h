// SPDX-License-Identifier: MIT
// The backend's side of one queue: takes requests out of the ring, each copied once and checked, turns them into engine
// calls, answers each with exactly one response, in order. The client is known from the channel, never from a request.
// A ring whose indexes are nonsense is given up (kBroken): the caller closes that channel, and nothing else is touched.
#pragma once

#include <cstdint>

#include "tmem/engine.h"
#include "transport/channel.h"

namespace tmem {

struct BackendStats {
  uint64_t requests = 0;
  uint64_t requests_malformed = 0;  // answered kBadRequest
  uint64_t doorbells_sent = 0;
  uint64_t doorbells_saved = 0;     // responses published while the front was not asleep
};

class Backend {
 public:
  // Borrows both for its life. shards: for the answer to QUERY.
  Backend(Channel& channel, Engine& engine, uint32_t shards);

  enum class Progress { kIdle, kWorked, kBroken };
  // Handles at most requests_max requests and publishes their responses with at most one doorbell.
  Progress drain(uint32_t requests_max);
  // Asks for a doorbell. False: a request came meanwhile, drain again before sleeping.
  bool arm();

  const BackendStats& stats() const { return stats_; }

 private:
  tmemif_response handle(const tmemif_request& request);

  Channel& channel_;
  Engine& engine_;
  uint32_t shards_;
  tmem_ring_back ring_;
  BackendStats stats_;
  alignas(64) std::byte page_[kPageBytes];  // a put's page, copied out of shared memory once
};

}  // namespace tmem
