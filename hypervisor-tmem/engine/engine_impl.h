// SPDX-License-Identifier: MIT
// All state of one shard, and what its parts may do with it. The public face (engine.cc) finds client and pool and comes here.
//
//   pages.cc     put, get, flush           teardown.cc  dead objects, dead pools, gone clients, a few pages at a time
//   room.cc      growth, eviction, weights shrink.cc    memory target, compaction
//   pools.cc     pools and memberships     recovery.cc  from an arena's bytes to all of this
//   clients.cc   clients, credits          invariants.cc
//
// Invariants: the equations in invariants.cc. Besides, at the end of every call:
//   - no extent without pages, no living object without extents
//   - a page's record is dead before the call that removed it returns
//   - weight_sum is over attached clients; credits_sum over all
// Numbers stay valid over calls; references to nodes too, nodes never move. A record's view is valid until the arena changes.
#pragma once

#include <memory>
#include <string>

#include "engine/dedup.h"
#include "engine/meta_format.h"
#include "engine/nodes.h"
#include "store/arena.h"
#include "store/codec.h"
#include "tmem/engine.h"

namespace tmem {

struct Engine::Impl {
  Impl(SegmentMemory& segment_memory, std::unique_ptr<Arena> opened, const EngineConfig& engine_config);
  ~Impl();
  Status open();

  // What a request names: the client, its pool id, the pool behind it.
  struct Door {
    uint32_t client = kNone;
    uint32_t membership = kNone;
    uint32_t pool = kNone;
  };
  struct Location {
    uint32_t object = kNone;
    uint32_t extent = kNone;
    RecordRef record;
  };
  // A page as it will be kept. Borrows the compressor, the page or word.
  struct Packed {
    Codec codec = Codec::kDead;
    std::span<const std::byte> payload;
    uint32_t content = kNone;  // kReference: one reference is held for it
    uint64_t word = 0;
    uint32_t number = 0;
  };

  // ---- finding (inline below) ----
  uint32_t find_client(ClientId id) const;
  Status enter(ClientId id, PoolId pool, Door& door) const;
  uint32_t find_object(uint32_t pool, const ObjectId& id) const;
  uint32_t find_extent(uint32_t object, uint32_t number) const { return find_extent(hash_extent(object, number), object, number); }
  uint32_t find_extent(uint64_t hash, uint32_t object, uint32_t number) const;
  Location locate(uint32_t pool, const Handle& handle) const;

  // ---- looking ahead (inline below): the next request's memory comes while this one's page is packed or unpacked ----
  void look_ahead(uint32_t object, PageIndex index);
  void look_ahead_slot();
  void look_ahead_payload();

  // ---- pages.cc ----
  Status put(const Door& door, const Handle& handle, const std::byte* page, uint64_t word, bool credit);
  Status refuse_entry(const Door& door, Status status, bool credit);
  Status put_uncredited(const Door& door, const Handle& handle);
  Status store(const Door& door, const Handle& handle, Location at, const Packed& packed, bool credit);
  void pack(const Door& door, const std::byte* page, uint64_t word, Packed& packed);
  bool pack_deduplicated(const Door& door, PageView page, Packed& packed);
  Result<GetAnswer> get(const Door& door, const Handle& handle, PageBuffer page);
  Status read(RecordRef record, PageBuffer page, GetAnswer& answer);
  Status flush_page(const Door& door, const Handle& handle);
  Status flush_object(const Door& door, const ObjectId& object);
  uint32_t create_object(const Door& door, const ObjectId& id, bool credit);
  uint32_t create_extent(const Door& door, uint32_t object, uint32_t number, bool credit);
  void place(uint32_t extent, uint32_t slot, RecordRef record, uint32_t bytes);
  void remove_record(uint32_t extent, uint32_t slot);  // the page dies; extent and object stay, perhaps empty
  void remove_page(uint32_t extent, uint32_t slot);    // and they go too if they are empty and not pinned
  void release_if_empty(uint32_t object, uint32_t extent);
  void unlink_extent(uint32_t extent);
  void account(uint32_t object, const Extent& extent, int64_t pages, int64_t bytes);

  // ---- room.cc ----
  bool room_in_arena(uint32_t client, size_t bytes, bool credit);
  bool room_in_arena_slow(uint32_t client, size_t bytes, bool credit);
  template <typename Nodes>
  uint32_t allocate_node(Nodes& nodes, uint32_t client, bool credit);
  template <typename Call>
  bool compacting(Call&& call);
  bool may_grow() const;
  bool grow();
  uint32_t free_dead();                      // looks taken from work_left; 0: nothing to free
  uint32_t free_something(uint32_t client);  // the same
  uint32_t pick_victim(uint32_t client, bool mind_minimum);
  bool above_share(const Client& client) const;
  uint32_t evict_head(uint32_t loser, uint64_t floor, bool second_chances);  // pages dropped
  Flushed flush_ephemeral(uint32_t client, uint64_t bytes);
  bool insert_meta(MetaKind kind, uint32_t number, std::span<const std::byte> payload, uint32_t client, bool credit,
                   RecordRef& record);
  void kill_meta(RecordRef& record);
  void begin_work();

  // ---- clients.cc ----
  Status attach(ClientId id, const ClientIdentity& identity, const ClientPolicy& policy, bool all_queues);
  Status detach(uint32_t client);
  Status write_client(uint32_t client);
  Status set_policy(uint32_t client, const ClientPolicy& policy);
  Status set_identity(uint32_t client, const ClientIdentity& identity);
  ClientInfo client_info(uint32_t client) const;
  Status authorise(uint32_t client, const Uuid& uuid, bool allowed);
  uint32_t find_authorisation(uint32_t client, const Uuid& uuid) const;
  void drop_authorisation(uint32_t authorisation);
  bool try_credits(uint32_t client, uint32_t count);
  uint32_t top_up_credits(uint32_t client, uint32_t want, uint32_t compactions);
  uint32_t credits_allowed(uint32_t client, uint32_t want) const;
  void give_up_credits(uint32_t client, uint32_t count);

  // ---- pools.cc ----
  bool may_have_another_pool(uint32_t client) const;
  uint32_t find_shared_pool(const Uuid& uuid);
  Status open_pool(uint32_t client, PoolId id, uint32_t flags, const Uuid& uuid);
  Status join_pool(uint32_t client, PoolId id, uint32_t flags, const Uuid& uuid);
  uint32_t create_pool(uint32_t client, uint32_t flags, const Uuid& uuid);
  Status add_membership(uint32_t client, PoolId id, uint32_t pool);
  bool fit_pool_id(Client& client, uint32_t id);
  void link_membership(uint32_t membership);
  void drop_membership(uint32_t membership);
  void kill_pool(uint32_t pool);
  PoolInfo pool_info(uint32_t membership) const;

  // ---- teardown.cc ----
  void kill_object(uint32_t object);
  bool is_dead(uint32_t object) const { return objects[object].dead || pools[objects[object].pool].dead; }
  uint32_t teardown(uint32_t budget);  // units of work done
  uint32_t teardown_object(uint32_t object, uint32_t budget);
  void teardown_pool(uint32_t pool);
  void teardown_client(uint32_t client);
  uint32_t teardown_extent(uint32_t extent);  // pages freed
  void rebill_head(uint32_t client);

  // ---- shrink.cc ----
  bool step();
  bool shrink();
  bool give_back_empty();
  bool move_record(uint32_t segment);
  bool reference_moved(RecordKey key, Codec codec, RecordRef from, RecordRef to);
  void memory_changed();
  uint64_t memory_bytes() const { return arena->arena_bytes() + arena->overhead_bytes() + memory.bytes(); }

  // ---- recovery.cc ----
  Status recover();
  Status recover_metas();
  Status recover_meta(RecordRef record, const RecordView& view);
  Status recover_client(RecordRef record, uint32_t slot, const ClientMeta& meta);
  Status recover_membership(RecordRef record, uint32_t number, const MembershipMeta& meta);
  Status recover_object(RecordRef record, uint32_t number, const ObjectMeta& meta);
  Status recover_authorisation(RecordRef record, uint32_t number, const AuthorisationMeta& meta);
  Status link_recovered();
  bool client_recovered(uint32_t client) const { return client < clients.top() && clients[client].used; }
  bool link_recovered_membership(uint32_t membership);
  void link_recovered_authorisation(uint32_t authorisation);
  void link_recovered_object(uint32_t object);
  Status recover_pages();
  bool recover_page(const RecordSummary& page, uint64_t hash);
  uint32_t content_of(RecordRef record) const;
  void drop_empty_objects();

  // ---- invariants.cc ----
  std::string check_invariants() const;
  EngineStats stats() const;
  uint64_t freeable_bytes() const;

  IndexMemory memory;
  std::unique_ptr<Arena> arena;
  EngineConfig config;

  Extents extents{memory, RecordRef::kNone - 1};
  Objects objects{memory, kObjectsMax};
  Pools pools{memory, kPoolsMax, IndexMemory::For::kFew};
  Memberships memberships{memory, kPoolsMax * 2, IndexMemory::For::kFew};
  Authorisations authorisations{memory, kClientsMax * kAuthorisedUuidsMax, IndexMemory::For::kFew};
  Clients clients{memory, kClientsMax, IndexMemory::For::kFew};
  LinearHash<Extents, ExtentTraits> extent_hash{memory, extents};
  LinearHash<Objects, ObjectTraits> object_hash{memory, objects};
  LinearHash<Pools, SharedPoolTraits> shared_pools{memory, pools, IndexMemory::For::kFew};
  LinearHash<Clients, ClientTraits> client_hash{memory, clients, IndexMemory::For::kFew};
  Dedup dedup;
  Compressor compressor;

  uint32_t dead_objects = kNone;  // by list_next
  uint32_t dead_pools = kNone;    // by hash_next
  uint32_t gone_clients = kNone;  // by hash_next
  uint64_t dead_pages = 0;        // of dead objects and dead pools, still to be freed
  uint64_t dead_bytes = 0;
  uint64_t pages_ephemeral = 0;   // sum over clients, gone ones too
  uint64_t pages_persistent = 0;
  uint64_t page_bytes = 0;        // payloads of all page records, dead pages' too
  uint64_t meta_bytes = 0;
  uint64_t weight_sum = 0;
  uint32_t memberships_beyond = 0;  // of each client those beyond kPoolsSurePerClient
  uint64_t credits_sum = 0;
  uint64_t pages_evicted = 0;

  uint32_t ahead_object = kNone;   // what the next request will touch: a hint, may be stale
  uint32_t ahead_index = 0;
  RecordRef ahead_record;
  uint32_t pinned_object = kNone;  // of the put in progress: not released while empty
  uint32_t pinned_extent = kNone;  // nor evicted
  uint32_t work_left = 0;          // victims that the call in progress may still look at
  uint32_t compactions_left = 0;
  uint64_t work_done = 0;          // by all calls
  uint32_t victim = kNone;         // whom pick_victim() chose last, and for how many more times
  uint32_t victim_turns = 0;
  uint32_t retiring_segment = kNone;
  bool index_starved = false;      // the index was refused memory that segments hold, and may have it
};

// ---- finding: the head of every request ----

inline uint32_t Engine::Impl::find_client(ClientId id) const {
  return client_hash.find(mix64(id.value()), [id](const Client& client) { return client.id == id; });
}

inline Status Engine::Impl::enter(ClientId id, PoolId pool, Door& door) const {
  door.client = find_client(id);
  if (door.client == kNone) return Status::kNoClient;
  const Client& client = clients[door.client];
  if (pool.value() >= client.membership_of_count) return Status::kNoPool;
  door.membership = client.membership_of[pool.value()];
  if (door.membership == kNone) return Status::kNoPool;
  door.pool = memberships[door.membership].pool;
  return Status::kOk;
}

inline uint32_t Engine::Impl::find_object(uint32_t pool, const ObjectId& id) const {
  return object_hash.find(hash_object(pool, id), [&](const Object& object) { return object.pool == pool && object.id == id; });
}

inline uint32_t Engine::Impl::find_extent(uint64_t hash, uint32_t object, uint32_t number) const {
  return extent_hash.find(hash,
                          [=](const Extent& extent) { return extent.object == object && extent.number == number; });
}

inline Engine::Impl::Location Engine::Impl::locate(uint32_t pool, const Handle& handle) const {
  Location at;
  at.object = find_object(pool, handle.object);
  if (at.object == kNone) return at;
  at.extent = find_extent(at.object, handle.index.value() >> kExtentShift);
  if (at.extent != kNone) at.record = extents[at.extent].record[handle.index.value() & (kExtentPages - 1)];
  return at;
}

// Three steps, because each needs what the one before fetched: extent, slot, payload.
inline void Engine::Impl::look_ahead(uint32_t object, PageIndex index) {
  ahead_object = object;
  ahead_index = index.value();
  const uint32_t extent = extent_hash.first(hash_extent(object, ahead_index >> kExtentShift));
  if (extent != kNone) __builtin_prefetch(&extents[extent]);
}
inline void Engine::Impl::look_ahead_slot() {
  if (ahead_object == kNone) return;
  const uint32_t extent = find_extent(ahead_object, ahead_index >> kExtentShift);
  ahead_object = kNone;
  ahead_record = extent == kNone ? RecordRef{} : extents[extent].record[ahead_index & (kExtentPages - 1)];
  if (!ahead_record.none()) arena->prefetch(ahead_record);
}
inline void Engine::Impl::look_ahead_payload() {
  if (ahead_record.none()) return;
  arena->prefetch_payload(ahead_record);
  ahead_record = {};
}

inline bool Engine::Impl::room_in_arena(uint32_t client, size_t bytes, bool credit) {
  return arena->reserve(bytes, 0, credit) == Status::kOk || room_in_arena_slow(client, bytes, credit);
}

// All that may compact segments is called through here, with compactions_left at most, and so booked.
template <typename Call>
bool Engine::Impl::compacting(Call&& call) {
  const uint64_t before = arena->segments_compacted();
  const bool done = call();
  const uint64_t compacted = arena->segments_compacted() - before;
  compactions_left -= static_cast<uint32_t>(std::min<uint64_t>(compacted, compactions_left));
  work_done += compacted * kCompactionWork;
  return done;
}

// A node, making room for it if the index may not grow: from what is dead, and for pages from those that may be dropped, which
// brings no node of another kind.
template <typename Nodes>
uint32_t Engine::Impl::allocate_node(Nodes& nodes, uint32_t client, bool credit) {
  constexpr bool kOfPages = std::is_same_v<Nodes, Extents> || std::is_same_v<Nodes, Objects>;
  const uint64_t refused = memory.refused_by_limit();
  uint32_t n = nodes.allocate(credit);
  while (n == kNone && work_left > 0 && (kOfPages ? free_something(client) : free_dead()) > 0) n = nodes.allocate(credit);
  if (n == kNone && memory.refused_by_limit() != refused) index_starved = true;
  return n;
}

}  // namespace tmem
