// SPDX-License-Identifier: MIT
// Counters, one per outcome, the same name in code, in control.proto and in the tools. Each says when it moves. Plain
// integers: an engine has one thread, and a reader gets a copy made by that thread.
#pragma once

#include <cstdint>

namespace tmem {

// Moves with data operations; kept for each client and for each pool.
struct OpStats {
  uint64_t put_stored = 0;         // a new handle was stored
  uint64_t put_replaced = 0;       // a dup put replaced the page
  uint64_t put_flushed = 0;        // a dup put failed and removed the old page
  uint64_t put_no_space = 0;       // refused, handle absent: no room
  uint64_t put_over_cap = 0;       // refused, handle absent: cap
  uint64_t put_frozen = 0;         // refused, handle absent: frozen
  uint64_t put_same_filled = 0;    // of the stored and replaced: nothing but a word was kept
  uint64_t put_raw = 0;            // of the stored and replaced: kept uncompressed
  uint64_t put_deduplicated = 0;   // of the stored and replaced: content was there already
  uint64_t get_hit = 0;
  uint64_t get_miss = 0;
  uint64_t get_corrupt = 0;        // the record failed its checksum
  uint64_t flush_page_hit = 0;
  uint64_t flush_page_miss = 0;
  uint64_t flush_object_hit = 0;
  uint64_t flush_object_miss = 0;
  uint64_t pages_evicted = 0;      // ephemeral pages dropped to make room
};

// Moves with requests that are refused for what they ask; kept for each queue. A put's outcomes are in OpStats.
struct RefusalStats {
  uint64_t no_pool = 0;
  uint64_t pool_exists = 0;
  uint64_t no_pool_slots = 0;
  uint64_t bad_version = 0;
  uint64_t bad_page_size = 0;
  uint64_t bad_flags = 0;
  uint64_t not_authorised = 0;
  uint64_t not_all_queues = 0;
  uint64_t bad_object = 0;
  uint64_t no_credit = 0;          // a put that named a credit, had none, and found no room
};

// What is there now.
struct SpaceStats {
  uint64_t pages_ephemeral = 0;
  uint64_t pages_persistent = 0;
  uint64_t bytes_compressed = 0;   // payloads of those pages
  uint64_t objects = 0;
};

// Of one engine (shard).
struct EngineStats {
  uint64_t memory_bytes = 0;          // arena segments present + index
  uint64_t memory_bytes_target = 0;
  uint64_t arena_bytes = 0;           // segments present
  uint64_t index_bytes = 0;           // everything that is not arena: index, client and pool tables
  uint64_t bytes_live = 0;            // payload of all live records
  uint64_t segments = 0;
  uint64_t segments_compacted = 0;    // since start
  uint64_t credits_outstanding = 0;
  uint64_t teardown_pages = 0;        // pages of dead pools still to be freed
  uint64_t pages_evicted = 0;
  uint64_t records_recovered = 0;     // at start
  uint64_t records_skipped_torn = 0;  // at start: bad checksum or impossible geometry
  uint64_t records_skipped_unknown = 0;
  uint64_t segments_damaged = 0;      // at start: bad header, or a copy that was never finished; left out
  uint64_t segments_superseded = 0;   // at start: a newer copy was there
  uint64_t weight_sum = 0;
};

}  // namespace tmem
