// SPDX-License-Identifier: MIT
// Pools and who is a member of them. A private pool has one member for its whole life; a shared one lives until the last has
// left. Nothing is observable of a call that failed.
#include <cstring>

#include "engine/engine_impl.h"

namespace tmem {

namespace {

Status check_flags(uint32_t flags, bool shared) {
  if (flags >> kPoolVersionShift != kAbiVersion) return Status::kBadVersion;
  if ((flags & kPoolPageMask) != 0) return Status::kBadPageSize;  // log2(4096) - 12
  if ((flags & (kPoolReserved | kPoolPrecompressed)) != 0) return Status::kBadFlags;
  if (((flags & kPoolShared) != 0) != shared) return Status::kBadFlags;
  if (shared && (flags & kPoolPersistent) != 0) return Status::kBadFlags;
  return Status::kOk;
}

void add(OpStats& to, const OpStats& from) {
  static_assert(sizeof(OpStats) % sizeof(uint64_t) == 0);
  auto* sum = reinterpret_cast<uint64_t*>(&to);
  const auto* term = reinterpret_cast<const uint64_t*>(&from);
  for (size_t i = 0; i < sizeof(OpStats) / sizeof(uint64_t); ++i) sum[i] += term[i];
}

}  // namespace

// Members that were detached have left, though step() has not come to them yet: a pool of none but these ends here, else its
// pages would outlive its last member. At most kSharersMax of them.
uint32_t Engine::Impl::find_shared_pool(const Uuid& uuid) {
  const auto same = [&](const Pool& p) { return p.uuid == uuid; };
  const uint32_t pool = shared_pools.find(hash_uuid(uuid), same);
  if (pool == kNone) return kNone;
  for (uint32_t m = pools[pool].first_membership; m != kNone;) {
    const uint32_t next = memberships[m].pool_next;
    if (clients[memberships[m].client].gone) drop_membership(m);
    m = next;
  }
  return pools[pool].dead ? kNone : pool;
}

// The first kPoolsSurePerClient of every client are kept back; beyond them first come, first served.
bool Engine::Impl::may_have_another_pool(uint32_t client) const {
  constexpr uint32_t kBeyondMax = kPoolsMax - kClientsMax * kPoolsSurePerClient;
  return clients[client].memberships < kPoolsSurePerClient || memberships_beyond < kBeyondMax;
}

Status Engine::Impl::open_pool(uint32_t number, PoolId id, uint32_t flags, const Uuid& uuid) {
  const bool shared = (flags & kPoolShared) != 0;
  Client& client = clients[number];
  if (id.value() >= kPoolsPerClientMax) return Status::kNoPoolSlots;
  if (id.value() < client.membership_of_count && client.membership_of[id.value()] != kNone) {
    const Pool& pool = pools[memberships[client.membership_of[id.value()]].pool];
    return pool.flags == flags && (!shared || pool.uuid == uuid) ? Status::kOk : Status::kPoolExists;
  }
  if (client.policy.frozen) return Status::kFrozen;
  if (!may_have_another_pool(number)) return Status::kNoPoolSlots;
  uint32_t pool = kNone;
  if (shared) pool = find_shared_pool(uuid);
  if (pool != kNone && pools[pool].sharers >= kSharersMax) return Status::kNoPoolSlots;
  const bool made = pool == kNone;
  if (made) pool = create_pool(number, flags, uuid);
  if (pool == kNone) return Status::kNoPoolSlots;
  const Status status = add_membership(number, id, pool);
  if (status != Status::kOk && made) {
    if (shared) shared_pools.remove(pool);
    pools[pool].used = false;
    pools.release(pool);
  }
  return status;
}

Status Engine::Impl::join_pool(uint32_t client, PoolId id, uint32_t flags, const Uuid& uuid) {
  const Status status = check_flags(flags, true);
  if (status != Status::kOk) return status;
  if (config.all_queues_required && !clients[client].all_queues) return Status::kNotAllQueues;
  if (find_authorisation(client, uuid) == kNone) return Status::kNotAuthorised;
  return open_pool(client, id, flags, uuid);
}

Status Engine::new_pool(ClientId id, PoolId pool, uint32_t flags) {
  const uint32_t client = impl_->find_client(id);
  if (client == kNone) return Status::kNoClient;
  const Status status = check_flags(flags, false);
  return status == Status::kOk ? impl_->open_pool(client, pool, flags, Uuid{}) : status;
}

uint32_t Engine::Impl::create_pool(uint32_t client, uint32_t flags, const Uuid& uuid) {
  begin_work();
  const uint32_t n = allocate_node(pools, client, false);
  if (n == kNone) return kNone;
  Pool& pool = pools[n];
  pool.uuid = uuid;
  pool.flags = flags;
  pool.persistent = (flags & kPoolPersistent) != 0;
  pool.shared = (flags & kPoolShared) != 0;
  pool.used = true;
  if (pool.shared) shared_pools.insert(n);
  return n;
}

bool Engine::Impl::fit_pool_id(Client& client, uint32_t id) {
  if (id < client.membership_of_count) return true;
  uint32_t count = client.membership_of_count == 0 ? 16 : client.membership_of_count;
  while (count <= id) count *= 2;
  auto* table = static_cast<uint32_t*>(memory.allocate(count * sizeof(uint32_t), IndexMemory::For::kFew));
  if (table == nullptr) return false;
  std::memset(table, 0xff, count * sizeof(uint32_t));
  if (client.membership_of != nullptr)
    std::memcpy(table, client.membership_of, client.membership_of_count * sizeof(uint32_t));
  memory.release(client.membership_of, client.membership_of_count * sizeof(uint32_t));
  client.membership_of = table;
  client.membership_of_count = count;
  return true;
}
static_assert(kNone == 0xffffffff && (kPoolsPerClientMax & (kPoolsPerClientMax - 1)) == 0);

Status Engine::Impl::add_membership(uint32_t client, PoolId id, uint32_t pool) {
  begin_work();
  if (!fit_pool_id(clients[client], id.value())) return Status::kNoSpace;
  const uint32_t n = allocate_node(memberships, client, false);
  if (n == kNone) return Status::kNoPoolSlots;
  const MembershipMeta meta{client, id.value(), pool, pools[pool].flags, pools[pool].uuid};
  RecordRef record;
  if (!insert_meta(MetaKind::kMembership, n, std::as_bytes(std::span(&meta, 1)), client, false, record)) {
    memberships.release(n);
    return Status::kNoSpace;
  }
  Membership& membership = memberships[n];
  membership.client = client;
  membership.pool = pool;
  membership.id = id.value();
  membership.meta = record;
  membership.used = true;
  link_membership(n);
  return Status::kOk;
}

void Engine::Impl::link_membership(uint32_t n) {
  const Membership& membership = memberships[n];
  Client& client = clients[membership.client];
  Pool& pool = pools[membership.pool];
  client.membership_of[membership.id] = n;
  ClientMemberships::push_front(memberships, client.first_membership, n);
  memberships_beyond += client.memberships >= kPoolsSurePerClient;
  ++client.memberships;
  PoolMembers::push_front(memberships, pool.first_membership, n);
  ++pool.sharers;
}

// The last member takes the pool with it.
void Engine::Impl::drop_membership(uint32_t n) {
  Membership& membership = memberships[n];
  Client& client = clients[membership.client];
  Pool& pool = pools[membership.pool];
  kill_meta(membership.meta);
  client.membership_of[membership.id] = kNone;
  ClientMemberships::remove(memberships, client.first_membership, n);
  --client.memberships;
  memberships_beyond -= client.memberships >= kPoolsSurePerClient;
  PoolMembers::remove(memberships, pool.first_membership, n);
  add(client.past, membership.ops);
  add(pool.past, membership.ops);
  if (--pool.sharers == 0) {
    if (!pool.shared) {
      client.bytes -= pool.bytes;
      (pool.persistent ? client.pages_persistent : client.pages_ephemeral) -= pool.pages;
      (pool.persistent ? pages_persistent : pages_ephemeral) -= pool.pages;
    }
    kill_pool(membership.pool);
  }
  membership.used = false;
  memberships.release(n);
}

void Engine::Impl::kill_pool(uint32_t n) {
  Pool& pool = pools[n];
  if (pool.shared) shared_pools.remove(n);
  dead_pages += pool.pages;
  dead_bytes += pool.bytes;
  pool.dead = true;
  pool.hash_next = dead_pools;
  dead_pools = n;
}

Status Engine::leave_pool(ClientId id, PoolId pool) {
  Impl::Door door;
  const Status status = impl_->enter(id, pool, door);
  if (status != Status::kOk) return status;
  if (!impl_->pools[door.pool].shared) return Status::kBadFlags;
  impl_->drop_membership(door.membership);
  return Status::kOk;
}

Status Engine::destroy_pool(ClientId id, PoolId pool) {
  Impl::Door door;
  const Status status = impl_->enter(id, pool, door);
  if (status == Status::kOk) impl_->drop_membership(door.membership);
  return status;
}

// The pool's own figures: of a shared pool, those of all members.
PoolInfo Engine::Impl::pool_info(uint32_t n) const {
  const Membership& membership = memberships[n];
  const Pool& pool = pools[membership.pool];
  PoolInfo info;
  info.id = PoolId(membership.id);
  info.persistent = pool.persistent;
  info.shared = pool.shared;
  info.uuid = pool.uuid;
  info.sharers = pool.sharers;
  info.ops = pool.past;
  for (uint32_t m = pool.first_membership; m != kNone; m = memberships[m].pool_next) add(info.ops, memberships[m].ops);
  (pool.persistent ? info.space.pages_persistent : info.space.pages_ephemeral) = pool.pages;
  info.space.bytes_compressed = pool.bytes;
  info.space.objects = pool.objects;
  return info;
}

Result<std::vector<PoolInfo>> Engine::pools(ClientId id) const {
  const uint32_t client = impl_->find_client(id);
  if (client == kNone) return Status::kNoClient;
  std::vector<PoolInfo> list;
  for (uint32_t pool = 0; pool < impl_->clients[client].membership_of_count; ++pool) {
    const uint32_t membership = impl_->clients[client].membership_of[pool];
    if (membership != kNone) list.push_back(impl_->pool_info(membership));
  }
  return list;
}

ClientInfo Engine::Impl::client_info(uint32_t n) const {
  const Client& client = clients[n];
  ClientInfo info;
  info.id = client.id;
  info.uuid = client.uuid;
  info.nonce = client.nonce;
  info.epoch = client.epoch;
  info.name = client.name;
  info.owner = client.owner;
  info.policy = client.policy;
  info.ops = client.past;
  info.space.pages_ephemeral = client.pages_ephemeral;
  info.space.pages_persistent = client.pages_persistent;
  info.space.bytes_compressed = client.bytes;
  info.pools = client.memberships;
  info.credits = client.credits;
  for (uint32_t m = client.first_membership; m != kNone; m = memberships[m].client_next) {
    add(info.ops, memberships[m].ops);
    if (!pools[memberships[m].pool].shared) info.space.objects += pools[memberships[m].pool].objects;
  }
  return info;
}

}  // namespace tmem
