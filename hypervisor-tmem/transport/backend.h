// SPDX-License-Identifier: MIT
// The backend's side of one queue: takes requests out of the ring, each copied once and checked, turns them into engine
// calls, answers each with exactly one response, in order. The client is known from the channel, never from a request.
// A ring whose indexes are nonsense is given up (kBroken): the caller closes that channel, and nothing else is touched.
//
// Borrows channel and engine for its life; the client is attached to the engine before. Thread rule: the shard's thread.
// Invariant between two calls: every request taken is answered and published, so that response_prod in the ring is all
// that a later process needs to go on.
#pragma once

#include <array>
#include <cstdint>

#include "tmem/engine.h"
#include "transport/channel.h"

namespace tmem {

struct BackendStats {
  uint64_t requests = 0;
  uint64_t requests_malformed = 0;  // answered BAD_REQUEST
  RefusalStats refused;
  uint64_t doorbells_sent = 0;
  uint64_t doorbells_saved = 0;     // drains whose responses found the front awake
  uint64_t credits_not_kept = 0;    // told to a front before a restart, and not reserved again
};

// How a Status leaves the service towards a guest. Total: what a data operation cannot return says that nothing was done.
tmemif_status abi_status(Status status);
// Unknown op or flag, slot out of range, or a field that the op does not use and is not zero: docs/abi.md, "Operations".
bool well_formed(const tmemif_request& request, uint32_t slots);

// Living: an earlier service served it, and its words are believed. New: it came with a handshake and holds no credits.
enum class RingState : uint8_t { kNew, kLiving };

class Backend {
 public:
  // Takes the ring up where it stands, reserves the credits that its front was told of, and rings once: whoever served
  // this ring before may have died between publishing and ringing. shards: for the answer to QUERY.
  Backend(Channel& channel, Engine& engine, uint32_t shards, RingState state);
  ~Backend();  // unspent credits go back
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  enum class Progress { kIdle, kWorked, kBroken };
  // Handles at most requests_max requests, fewer if they cost the engine kDrainWorkMax, and publishes their responses with at
  // most one doorbell.
  Progress drain(uint32_t requests_max);
  // Asks for a doorbell. False: a request came meanwhile, drain again before sleeping.
  bool arm();

  const BackendStats& stats() const { return stats_; }

 private:
  void prefetch(const tmemif_request& request) const;
  void prefetch_slot(const tmemif_request& request) const;
  tmemif_response handle(const tmemif_request& request);
  tmemif_status dispatch(const tmemif_request& request, tmemif_response& response);
  tmemif_status query(const tmemif_request& request);
  Status put(const tmemif_request& request);
  Status put_page(const tmemif_request& request, bool credit);
  tmemif_status get(const tmemif_request& request, tmemif_response& response);
  std::byte* slot(const tmemif_request& request) const;

  Channel& channel_;
  Engine& engine_;
  const uint32_t shards_;
  uint32_t credits_;           // what the engine holds reserved for this queue
  uint32_t replays_left_ = 0;  // credited puts that may come again after they were stored
  tmem_ring_back ring_;
  BackendStats stats_;
  std::array<tmemif_request, kDrainRequestsMax> batch_;  // private copies: all checks and all use are on these
  alignas(64) std::byte page_[kPageBytes];               // a put's page, copied out of shared memory once
};

}  // namespace tmem
