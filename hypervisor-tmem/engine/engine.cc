// SPDX-License-Identifier: MIT
// The public face: finds who is meant, and hands on to the parts of Engine::Impl.
#include "tmem/engine.h"

#include <algorithm>
#include <new>

#include "engine/engine_impl.h"

namespace tmem {

Engine::Impl::Impl(SegmentMemory& segment_memory, std::unique_ptr<Arena> opened, const EngineConfig& engine_config)
    : memory(segment_memory), arena(std::move(opened)), config(engine_config), dedup(memory, *arena) {}

Engine::Impl::~Impl() {
  for (uint32_t n = 0; n < clients.top(); ++n) {
    if (clients[n].used) memory.release(clients[n].membership_of, clients[n].membership_of_count * sizeof(uint32_t));
  }
}

Status Engine::Impl::open() {
  if (!extent_hash.open() || !object_hash.open() || !shared_pools.open() || !client_hash.open() || !dedup.open())
    return Status::kNoSpace;
  if (arena->segments() == 0 && !arena->add_segment()) return Status::kNoSpace;
  const Status status = recover();
  if (status != Status::kOk) return status;
  memory_changed();
  return Status::kOk;
}

Result<std::unique_ptr<Engine>> Engine::create(SegmentMemory& memory, const EngineConfig& config, bool verify) {
  Result<std::unique_ptr<Arena>> arena = Arena::open(memory, verify);
  if (!arena.ok()) return arena.status();
  std::unique_ptr<Impl> impl(new (std::nothrow) Impl(memory, std::move(arena.value()), config));
  if (!impl) return Status::kNoSpace;
  const Status status = impl->open();
  if (status != Status::kOk) return status;
  std::unique_ptr<Engine> engine(new (std::nothrow) Engine(std::move(impl)));
  if (!engine) return Status::kNoSpace;
  return engine;
}

void set_engine_hash_key(const std::array<uint64_t, 2>& key) { engine_hash_key = key; }

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

// ---- pages ----

// A credit is spent by the put that names it, whatever becomes of the put.
template <typename Impl, typename Put>
static Status spend(Impl& impl, const typename Impl::Door& door, const Handle& handle, bool credit, Put&& put) {
  if (!credit) return put();
  if (impl.clients[door.client].credits == 0) return impl.put_uncredited(door, handle);
  const Status status = put();
  impl.give_up_credits(door.client, 1);
  return status;
}

Status Engine::put(ClientId client, const Handle& handle, PageView page, bool credit) {
  Impl::Door door;
  const Status status = impl_->enter(client, handle.pool, door);
  if (status != Status::kOk) return impl_->refuse_entry(door, status, credit);
  return spend(*impl_, door, handle, credit, [&] { return impl_->put(door, handle, page.data(), 0, credit); });
}

Status Engine::put(ClientId client, const Handle& handle, SameFilled page, bool credit) {
  Impl::Door door;
  const Status status = impl_->enter(client, handle.pool, door);
  if (status != Status::kOk) return impl_->refuse_entry(door, status, credit);
  return spend(*impl_, door, handle, credit, [&] { return impl_->put(door, handle, nullptr, page.word, credit); });
}

Result<GetAnswer> Engine::get(ClientId client, const Handle& handle, PageBuffer page) {
  Impl::Door door;
  const Status status = impl_->enter(client, handle.pool, door);
  if (status != Status::kOk) return status;
  return impl_->get(door, handle, page);
}

Status Engine::flush_page(ClientId client, const Handle& handle) {
  Impl::Door door;
  const Status status = impl_->enter(client, handle.pool, door);
  return status == Status::kOk ? impl_->flush_page(door, handle) : status;
}

Status Engine::flush_object(ClientId client, PoolId pool, const ObjectId& object) {
  Impl::Door door;
  const Status status = impl_->enter(client, pool, door);
  return status == Status::kOk ? impl_->flush_object(door, object) : status;
}

void Engine::prefetch(ClientId client, const Handle& handle) const {
  Impl::Door door;
  if (impl_->enter(client, handle.pool, door) != Status::kOk) return;
  const uint32_t object = impl_->find_object(door.pool, handle.object);
  if (object != kNone) impl_->look_ahead(object, handle.index);
}

// ---- clients ----

Status Engine::attach(ClientId client, const ClientIdentity& identity, const ClientPolicy& policy, bool all_queues) {
  return impl_->attach(client, identity, policy, all_queues);
}

Status Engine::detach(ClientId id) {
  const uint32_t client = impl_->find_client(id);
  return client == kNone ? Status::kNoClient : impl_->detach(client);
}

Status Engine::set_policy(ClientId id, const ClientPolicy& policy) {
  const uint32_t client = impl_->find_client(id);
  return client == kNone ? Status::kNoClient : impl_->set_policy(client, policy);
}

Status Engine::set_identity(ClientId id, const ClientIdentity& identity) {
  const uint32_t client = impl_->find_client(id);
  return client == kNone ? Status::kNoClient : impl_->set_identity(client, identity);
}

Result<ClientInfo> Engine::client_info(ClientId id) const {
  const uint32_t client = impl_->find_client(id);
  if (client == kNone) return Status::kNoClient;
  return impl_->client_info(client);
}

std::vector<ClientId> Engine::clients() const {
  std::vector<ClientId> ids;
  for (uint32_t n = 0; n < impl_->clients.top(); ++n) {
    if (impl_->clients[n].used && !impl_->clients[n].gone) ids.push_back(impl_->clients[n].id);
  }
  return ids;
}

Status Engine::join_pool(ClientId id, PoolId pool, uint32_t flags, const Uuid& uuid) {
  const uint32_t client = impl_->find_client(id);
  return client == kNone ? Status::kNoClient : impl_->join_pool(client, pool, flags, uuid);
}

Status Engine::authorise(ClientId id, const Uuid& uuid, bool allowed) {
  const uint32_t client = impl_->find_client(id);
  return client == kNone ? Status::kNoClient : impl_->authorise(client, uuid, allowed);
}

std::vector<Uuid> Engine::authorised(ClientId id) const {
  std::vector<Uuid> uuids;
  const uint32_t client = impl_->find_client(id);
  if (client == kNone) return uuids;
  for (uint32_t a = impl_->clients[client].first_authorisation; a != kNone; a = impl_->authorisations[a].client_next)
    uuids.push_back(impl_->authorisations[a].uuid);
  return uuids;
}

uint32_t Engine::top_up_credits(ClientId id, uint32_t want) {
  const uint32_t client = impl_->find_client(id);
  return client == kNone ? 0 : impl_->top_up_credits(client, want, kCreditsPerQueueMax);
}

uint32_t Engine::grant_credits(ClientId id, uint32_t want) {
  const uint32_t client = impl_->find_client(id);
  return client == kNone ? 0 : impl_->top_up_credits(client, impl_->credits_allowed(client, want), kCompactionsPerPutMax);
}

uint32_t Engine::revoke_credits(ClientId id) {
  const uint32_t client = impl_->find_client(id);
  if (client == kNone) return 0;
  const uint32_t unspent = impl_->clients[client].credits;
  impl_->give_up_credits(client, unspent);
  return unspent;
}

// ---- space ----

void Engine::set_memory_target(uint64_t bytes) {
  if (bytes > impl_->config.memory_bytes_target) impl_->index_starved = false;  // no segment has to go for it
  impl_->config.memory_bytes_target = bytes;
  impl_->memory_changed();
}

Result<Flushed> Engine::flush_ephemeral(ClientId id, uint64_t bytes) {
  const uint32_t client = impl_->find_client(id);
  if (client == kNone) return Status::kNoClient;
  return impl_->flush_ephemeral(client, bytes);
}

Flushed Engine::flush_ephemeral(uint64_t bytes) { return impl_->flush_ephemeral(kNone, bytes); }
uint64_t Engine::freeable_bytes() const { return impl_->freeable_bytes(); }
bool Engine::step() { return impl_->step(); }
uint64_t Engine::work_done() const { return impl_->work_done; }
EngineStats Engine::stats() const { return impl_->stats(); }
std::string Engine::check_invariants() const { return impl_->check_invariants(); }

// Payloads and slots of ephemeral pages, and the contents behind them; without the pages that clients' minimums keep, each as large
// as its client's are in the mean. Empty segments hold nothing at all.
uint64_t Engine::Impl::freeable_bytes() const {
  uint64_t bytes = uint64_t{arena->segments_empty()} * kSegmentBytes;
  bytes += dedup.bytes() + dedup.contents() * sizeof(Slot) + pages_ephemeral * sizeof(Slot);
  for (uint32_t n = 0; n < pools.top(); ++n) {
    if (pools[n].used && !pools[n].dead && !pools[n].persistent) bytes += pools[n].bytes;
  }
  uint64_t kept_bytes = 0;
  for (uint32_t n = 0; n < clients.top(); ++n) {
    const Client& client = clients[n];
    const uint64_t kept = client.used && !client.gone ? std::min(client.pages_ephemeral, client.policy.min_pages) : 0;
    if (kept > 0) kept_bytes += kept * sizeof(Slot) + kept * client.bytes / (client.pages_ephemeral + client.pages_persistent);
  }
  return bytes - std::min(bytes, kept_bytes);
}

EngineStats Engine::Impl::stats() const {
  const RecoveryCounts& recovered = arena->recovered();
  EngineStats stats;
  stats.memory_bytes = memory_bytes();
  stats.memory_bytes_target = config.memory_bytes_target;
  stats.arena_bytes = arena->arena_bytes();
  stats.index_bytes = stats.memory_bytes - stats.arena_bytes;
  stats.bytes_live = arena->live_bytes();
  stats.segments = arena->segments();
  stats.segments_compacted = arena->segments_compacted();
  stats.credits_outstanding = credits_sum;
  stats.teardown_pages = dead_pages;
  for (uint32_t n = gone_clients; n != kNone; n = clients[n].hash_next)
    stats.teardown_pages += clients[n].pages_ephemeral + clients[n].pages_persistent;
  stats.pages_evicted = pages_evicted;
  stats.records_recovered = recovered.records;
  stats.records_skipped_torn = recovered.skipped_torn;
  stats.records_skipped_unknown = recovered.skipped_unknown;
  stats.segments_damaged = recovered.segments_damaged;
  stats.segments_superseded = recovered.segments_superseded;
  stats.weight_sum = weight_sum;
  return stats;
}

}  // namespace tmem
