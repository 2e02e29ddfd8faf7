// SPDX-License-Identifier: MIT
// The engine: all state of one shard, and no I/O. Built over a SegmentMemory (the arena's bytes) and limits; time is an
// argument where it matters; single-threaded: the thread that owns a shard makes every call.
//
// THE LAWS (the model test holds the engine to each):
//   1. put-put-get: after two puts of a handle a get returns the second page or misses; never the first.
//   2. A dup put that cannot replace removes the old page and says so (kPutFlushed).
//   3. get-get: a miss stays a miss until the next successful put of that handle.
//   4. Flush is absolute: after flush_page, flush_object, destroy_pool or detach the page is gone, in every state of the
//      client (frozen, suspended, over its cap), and stays gone after a crash.
//   5. A private ephemeral get is exclusive: it removes the page.
//   6. A shared ephemeral get keeps the page and refreshes its place in the eviction order.
//   7. A persistent get is not destructive.
//   8. Persistent pages leave only by flush, by destroy_pool, or by the client's end; never by eviction or compaction.
//   9. A put may be refused at any time, with nothing changed but what law 2 says; except with a credit, whose space is
//      reserved before it is granted and which overrides freeze and cap.
//  10. A page that fails its checksum is an error, is removed, and is never returned.
//
// Every call answers in bounded time: at most kEvictionsPerPutMax victims and kCompactionsPerPutMax segments per put, and as
// many for the credits granted after it; the pages of what is destroyed die at once in meaning, and are freed by step() a few
// at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tmem/limits.h"
#include "tmem/stats.h"
#include "tmem/status.h"
#include "tmem/types.h"

namespace tmem {

class SegmentMemory;  // store/segment_memory.h

// What dom0 sets for a client. The engine holds a client's share of it: the daemon divides cap and min by its queues.
struct ClientPolicy {
  uint32_t weight = 100;        // share of ephemeral space under pressure; 0: first to be evicted
  uint64_t cap_pages = 0;       // most pages, ephemeral and persistent together; 0: none
  uint64_t min_pages = 0;       // ephemeral pages below this are not evicted for others
  bool compress = true;         // off: pages are stored raw (same-filled ones still as a word)
  bool frozen = false;
  uint32_t dedup_group = 0;     // 0: no dedup; own group number: inside the client; equal numbers: across clients

  bool operator==(const ClientPolicy&) const = default;
};

// Who a client is over restarts. The engine keeps it in the arena and gives it back after recovery.
struct ClientIdentity {
  Uuid uuid;
  std::array<uint64_t, 2> nonce{};
  uint64_t epoch = 0;
  std::string_view name;        // at most kNameBytesMax bytes; copied
  uint32_t owner = 0;           // the local user to whom it belongs; 0: root, or the host's own word for a guest
};

struct ClientInfo {
  ClientId id;
  Uuid uuid;
  std::array<uint64_t, 2> nonce{};
  uint64_t epoch = 0;
  std::array<char, kNameBytesMax + 1> name{};
  uint32_t owner = 0;
  ClientPolicy policy;
  OpStats ops;
  SpaceStats space;
  uint32_t pools = 0;
  uint32_t credits = 0;
};

struct PoolInfo {
  PoolId id;
  bool persistent = false;
  bool shared = false;
  Uuid uuid;
  uint32_t sharers = 0;
  OpStats ops;
  SpaceStats space;
};

// A page given by the guest as one repeated word.
struct SameFilled {
  uint64_t word;
};

struct GetAnswer {
  bool same_filled = false;  // then word is the page, and the buffer was not written
  uint64_t word = 0;
};

struct Flushed {
  uint64_t pages = 0;
  uint64_t bytes = 0;
};

struct EngineConfig {
  uint64_t memory_bytes_target = 0;  // arena and index together
  bool all_queues_required = true;   // join_pool answers kNotAllQueues to clients attached without all_queues
};

// A random key for the hashes of what guests choose, so that none can slow the others down by what it chooses. For the whole
// process; before the first engine is made.
void set_engine_hash_key(const std::array<uint64_t, 2>& key);

class Engine {
 public:
  // Borrows memory for its whole life. An arena that already holds an engine's bytes is recovered (verify: every payload's
  // checksum is tested, else only the slot directories are read); one of another version answers kBadArena untouched.
  static Result<std::unique_ptr<Engine>> create(SegmentMemory& memory, const EngineConfig& config, bool verify = false);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // ---- clients ----
  // A client that recovery found is attached already; attach of a new id starts with no pools.
  Status attach(ClientId client, const ClientIdentity& identity, const ClientPolicy& policy, bool all_queues);
  // The client's pools die at once (a shared pool lives on with its other members and all its pages); step() frees them.
  Status detach(ClientId client);
  Status set_policy(ClientId client, const ClientPolicy& policy);
  Status set_identity(ClientId client, const ClientIdentity& identity);  // resume moved the epoch, or a rename
  Result<ClientInfo> client_info(ClientId client) const;
  std::vector<ClientId> clients() const;
  Result<std::vector<PoolInfo>> pools(ClientId client) const;

  // ---- pools; flags are the ABI's word (kPool* in types.h); join_pool's have kPoolShared, new_pool's do not ----
  // Idempotent: the same id with the same flags and uuid answers kOk and keeps the pages, so that it can be replayed.
  Status new_pool(ClientId client, PoolId pool, uint32_t flags);
  Status join_pool(ClientId client, PoolId pool, uint32_t flags, const Uuid& uuid);
  Status leave_pool(ClientId client, PoolId pool);    // of a private pool: kBadFlags
  Status destroy_pool(ClientId client, PoolId pool);  // of a shared pool: leaves it
  // Authorised: the client may join pools of this uuid. Revoking also removes it from a joined pool.
  Status authorise(ClientId client, const Uuid& uuid, bool allowed);
  std::vector<Uuid> authorised(ClientId client) const;

  // ---- pages ----
  // credit: spends a credit, whatever becomes of the put; without one it is refused (kNoCredit, or kPutFlushed by law 2).
  Status put(ClientId client, const Handle& handle, PageView page, bool credit = false);
  Status put(ClientId client, const Handle& handle, SameFilled page, bool credit = false);
  Result<GetAnswer> get(ClientId client, const Handle& handle, PageBuffer page);
  Status flush_page(ClientId client, const Handle& handle);
  Status flush_object(ClientId client, PoolId pool, const ObjectId& object);
  // Brings what the next request will touch into the cache, step by step while the request before it is served: call it right
  // before that one. A hint, no effect on what is answered.
  void prefetch(ClientId client, const Handle& handle) const;

  // Tops the client's unspent credits up to at most want, as far as space can be reserved; returns how many it has then.
  // What was promised before is reserved again whatever the policy says; grant_credits() promises anew, so it keeps pages and
  // credits together within the cap, and gives a frozen client none. Neither takes an unspent credit away.
  uint32_t top_up_credits(ClientId client, uint32_t want);
  uint32_t grant_credits(ClientId client, uint32_t want);
  // The connection ended or starts anew: unspent credits go back. Returns how many there were.
  uint32_t revoke_credits(ClientId client);

  // ---- space ----
  // Asks for this much memory in all. Growing is immediate; shrinking proceeds by step(): records move together into fewer
  // segments, and where they find no space there, ephemeral pages go by weight, none below its client's minimum; what stays
  // then, and persistent pages, may keep the target from being reached.
  void set_memory_target(uint64_t bytes);
  // What a smaller target can free: ephemeral pages above their clients' minimums, and empty segments. An estimate where there
  // are minimums: pages differ in size. A flush drops what minimums keep, too.
  uint64_t freeable_bytes() const;
  // Drops the client's ephemeral pages (everyone's by weight, without a client) until so many bytes are free, in one call at
  // most kTeardownPagesPerStep pages and the rest of an extent: who wants more asks again, until no page was dropped.
  Result<Flushed> flush_ephemeral(ClientId client, uint64_t bytes);
  Flushed flush_ephemeral(uint64_t bytes);
  // A bounded piece of background work: teardown, shrinking, compaction. True while there is more to do.
  bool step();

  // What requests have cost beside themselves since the start: victims looked at, segments compacted (kCompactionWork each).
  uint64_t work_done() const;
  EngineStats stats() const;
  // Every book-keeping equation of this shard, tested over all state. The text says which one failed; empty: none.
  std::string check_invariants() const;

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tmem
