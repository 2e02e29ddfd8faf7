// SPDX-License-Identifier: MIT
// From an arena's bytes to an engine. Two walks over the records: the first takes up clients, memberships, objects and shared
// contents in whatever order they lie, and joins them; the second files the pages.
//
// What a crash leaves, and what becomes of it:
//   - a page whose object is dead, an object without a living pool, a membership without its client: killed. Their deaths were
//     told by one kill, and the rest had not been freed yet.
//   - two pages of one handle: the put that was replacing one by the other had not been answered, so either is right; the
//     front, which has no answer, puts again.
//   - two copies of one record, from a move: the same bytes, either is right. Of two records of a client the newer version.
//   - an object or a content to which nothing refers: killed.
#include <cstring>

#include "engine/engine_impl.h"

namespace tmem {

namespace {

constexpr size_t kBatch = 64;  // records read ahead

constexpr CodecSet kPages = codec_bit(Codec::kRaw) | codec_bit(Codec::kLz4) | codec_bit(Codec::kSameFilled) | codec_bit(Codec::kReference);
constexpr CodecSet kOthers = codec_bit(Codec::kMeta) | codec_bit(Codec::kContent);

// False: not of that size, so not written by this version.
template <typename Meta>
bool copy_meta(const RecordView& view, Meta& meta) {
  if (view.payload.size() != sizeof meta) return false;
  std::memcpy(&meta, view.payload.data(), sizeof meta);
  return true;
}

}  // namespace

Status Engine::Impl::recover() {
  if (const Status status = recover_metas(); status != Status::kOk) return status;
  if (const Status status = link_recovered(); status != Status::kOk) return status;
  if (const Status status = recover_pages(); status != Status::kOk) return status;
  dedup.recover_end();
  drop_empty_objects();
  return Status::kOk;
}

// A record may die before it is its turn only by its own hand: what is summarised is there.
Status Engine::Impl::recover_metas() {
  std::array<RecordSummary, kBatch> batch;
  RecordRef at = RecordRef::make(0, 0);
  while (const size_t count = arena->summarise(at, kOthers, batch)) {
    for (const RecordSummary& seen : std::span(batch).first(count)) {
      Status status = Status::kNoSpace;
      if (seen.codec == Codec::kMeta) status = recover_meta(seen.record, arena->view(seen.record));
      else if (dedup.recover(seen.key.object, seen.key.index, seen.record)) status = Status::kOk;
      if (status != Status::kOk) return status;
    }
  }
  return Status::kOk;
}

// Metas are few and everything hangs on them: their checksums are always tested.
Status Engine::Impl::recover_meta(RecordRef record, const RecordView& view) {
  if (arena->verify(record)) {
    const uint32_t number = view.key.object;
    switch (static_cast<MetaKind>(view.key.index)) {
      case MetaKind::kClient: {
        ClientMeta meta;
        if (copy_meta(view, meta)) return recover_client(record, number, meta);
        break;
      }
      case MetaKind::kMembership: {
        MembershipMeta meta;
        if (copy_meta(view, meta)) return recover_membership(record, number, meta);
        break;
      }
      case MetaKind::kObject: {
        ObjectMeta meta;
        if (copy_meta(view, meta)) return recover_object(record, number, meta);
        break;
      }
      case MetaKind::kAuthorisation: {
        AuthorisationMeta meta;
        if (copy_meta(view, meta)) return recover_authorisation(record, number, meta);
        break;
      }
    }
  }
  arena->kill(record);
  return Status::kOk;
}

Status Engine::Impl::recover_client(RecordRef record, uint32_t slot, const ClientMeta& meta) {
  const bool known = slot < clients.top() && clients[slot].used;
  if (slot >= kClientsMax || meta.weight > kWeightMax || (known && clients[slot].version == meta.version)) {
    arena->kill(record);
    return Status::kOk;
  }
  if (!known && !clients.claim(slot)) return Status::kNoSpace;
  Client& client = clients[slot];
  if (known) {  // two versions: the older is the spare, a third (from a move) has no use
    RecordRef& older = client.version < meta.version ? client.meta : record;
    if (!client.meta_spare.none()) arena->kill(client.meta_spare);
    client.meta_spare = older;
    if (older == record) return Status::kOk;
  }
  client.id = ClientId(meta.client);
  client.policy.weight = meta.weight;
  client.policy.cap_pages = meta.cap_pages;
  client.policy.min_pages = meta.min_pages;
  client.policy.compress = (meta.flags & kClientMetaCompress) != 0;
  client.policy.frozen = (meta.flags & kClientMetaFrozen) != 0;
  client.policy.dedup_group = meta.dedup_group;
  client.all_queues = (meta.flags & kClientMetaAllQueues) != 0;
  client.uuid = meta.uuid;
  client.nonce = meta.nonce;
  client.epoch = meta.epoch;
  client.owner = meta.owner;
  client.name = meta.name;
  client.name.back() = 0;
  client.version = meta.version;
  client.meta = record;
  client.used = true;
  return Status::kOk;
}

// The node holds what the record says until link_recovered() joins it; the pool's part goes to the pool at once.
Status Engine::Impl::recover_membership(RecordRef record, uint32_t number, const MembershipMeta& meta) {
  const bool known = number < memberships.top() && memberships[number].used;
  if (known || number >= kPoolsMax * 2 || meta.pool_number >= kPoolsMax || meta.client_slot >= kClientsMax ||
      meta.pool >= kPoolsPerClientMax) {
    arena->kill(record);
    return Status::kOk;
  }
  if (!memberships.claim(number)) return Status::kNoSpace;
  Membership& membership = memberships[number];
  membership.client = meta.client_slot;
  membership.pool = meta.pool_number;
  membership.id = meta.pool;
  membership.meta = record;
  membership.used = true;
  if (meta.pool_number < pools.top() && pools[meta.pool_number].used) return Status::kOk;
  if (!pools.claim(meta.pool_number)) return Status::kNoSpace;
  Pool& pool = pools[meta.pool_number];
  pool.uuid = meta.uuid;
  pool.flags = meta.flags;
  pool.persistent = (meta.flags & kPoolPersistent) != 0;
  pool.shared = (meta.flags & kPoolShared) != 0;
  pool.used = true;
  return Status::kOk;
}

Status Engine::Impl::recover_object(RecordRef record, uint32_t number, const ObjectMeta& meta) {
  const bool known = number < objects.top() && objects[number].used;
  if (known || number >= kObjectsMax || meta.object.reserved()) {
    arena->kill(record);
    return Status::kOk;
  }
  if (!objects.claim(number)) return Status::kNoSpace;
  Object& object = objects[number];
  object.id = meta.object;
  object.pool = meta.pool_number;
  object.meta = record;
  object.used = true;
  return Status::kOk;
}

Status Engine::Impl::recover_authorisation(RecordRef record, uint32_t number, const AuthorisationMeta& meta) {
  const bool known = number < authorisations.top() && authorisations[number].used;
  if (known || number >= kClientsMax * kAuthorisedUuidsMax) {
    arena->kill(record);
    return Status::kOk;
  }
  if (!authorisations.claim(number)) return Status::kNoSpace;
  authorisations[number].uuid = meta.uuid;
  authorisations[number].client = meta.client_slot;
  authorisations[number].meta = record;
  authorisations[number].used = true;
  return Status::kOk;
}

// Joins what the first walk found, from the top down; what hangs on nothing is killed.
Status Engine::Impl::link_recovered() {
  for (uint32_t n = 0; n < clients.top(); ++n) {
    if (!clients[n].used) continue;
    client_hash.insert(n);
    weight_sum += clients[n].policy.weight;
    meta_bytes += sizeof(ClientMeta) * (clients[n].meta_spare.none() ? 1 : 2);
  }
  for (uint32_t n = 0; n < memberships.top(); ++n) {
    if (memberships[n].used && !link_recovered_membership(n)) return Status::kNoSpace;
  }
  for (uint32_t n = 0; n < pools.top(); ++n) {
    pools[n].used = pools[n].used && pools[n].sharers > 0;
    if (pools[n].used && pools[n].shared) shared_pools.insert(n);
  }
  for (uint32_t n = 0; n < authorisations.top(); ++n) {
    if (authorisations[n].used) link_recovered_authorisation(n);
  }
  for (uint32_t n = 0; n < objects.top(); ++n) {
    if (objects[n].used) link_recovered_object(n);
  }
  const auto used = [](const auto& node) { return node.used; };
  clients.link_unclaimed(used);
  memberships.link_unclaimed(used);
  pools.link_unclaimed(used);
  authorisations.link_unclaimed(used);
  objects.link_unclaimed(used);
  return Status::kOk;
}

// False: no memory.
bool Engine::Impl::link_recovered_membership(uint32_t n) {
  Membership& membership = memberships[n];
  bool joined = client_recovered(membership.client) && (pools[membership.pool].shared || pools[membership.pool].sharers == 0);
  if (joined && !fit_pool_id(clients[membership.client], membership.id)) return false;
  joined = joined && clients[membership.client].membership_of[membership.id] == kNone;
  if (!joined) {
    arena->kill(membership.meta);
    membership.used = false;
    return true;
  }
  link_membership(n);
  meta_bytes += sizeof(MembershipMeta);
  return true;
}

void Engine::Impl::link_recovered_authorisation(uint32_t n) {
  Authorisation& authorisation = authorisations[n];
  if (!client_recovered(authorisation.client)) {
    arena->kill(authorisation.meta);
    authorisation.used = false;
    return;
  }
  Client& client = clients[authorisation.client];
  ClientAuthorisations::push_front(authorisations, client.first_authorisation, n);
  ++client.authorisations;
  meta_bytes += sizeof(AuthorisationMeta);
}

void Engine::Impl::link_recovered_object(uint32_t n) {
  Object& object = objects[n];
  if (object.pool >= pools.top() || !pools[object.pool].used) {
    arena->kill(object.meta);
    object.used = false;
    return;
  }
  object.shared = pools[object.pool].shared;
  object_hash.insert(n);
  ObjectList::push_front(objects, pools[object.pool].first_object, n);
  ++pools[object.pool].objects;
  meta_bytes += sizeof(ObjectMeta);
}

// Pages lie in no order: each needs a bucket and extents that no cache holds. The memory of a whole batch is asked for, line
// after line of the chains, before the first of it is needed.
Status Engine::Impl::recover_pages() {
  std::array<RecordSummary, kBatch> batch;
  std::array<uint64_t, kBatch> hash;
  std::array<uint32_t, kBatch> extent;
  extent_hash.expect(static_cast<uint32_t>(arena->recovered().records / kExtentPages));
  RecordRef at = RecordRef::make(0, 0);
  while (const size_t count = arena->summarise(at, kPages, batch)) {
    for (size_t i = 0; i < count; ++i) {
      hash[i] = hash_extent(batch[i].key.object, batch[i].key.index >> kExtentShift);
      extent_hash.prefetch(hash[i]);
    }
    for (size_t i = 0; i < count; ++i) {
      extent[i] = extent_hash.first(hash[i]);
      if (extent[i] != kNone) __builtin_prefetch(&extents[extent[i]], 1);
    }
    for (size_t i = 0; i < count; ++i) {
      const uint32_t next = extent[i] == kNone ? kNone : extents[extent[i]].hash_next;
      if (next != kNone) __builtin_prefetch(&extents[next], 1);
    }
    for (size_t i = 0; i < count; ++i) {
      if (!recover_page(batch[i], hash[i])) return Status::kNoSpace;
    }
  }
  return Status::kOk;
}

// A shared pool's pages are billed to one of its members: who put them is not written down. False: no memory.
bool Engine::Impl::recover_page(const RecordSummary& page, uint64_t hash) {
  const uint32_t object = page.key.object;
  const uint32_t number = page.key.index >> kExtentShift;
  const uint32_t slot = page.key.index & (kExtentPages - 1);
  const uint32_t content = page.codec == Codec::kReference ? content_of(page.record) : kNone;
  bool lost = object >= objects.top() || !objects[object].used;
  lost = lost || (page.codec == Codec::kReference && dedup.record_of(content).none());
  uint32_t n = lost ? kNone : find_extent(hash, object, number);
  // Two of one handle: a put that a crash cut short, or the key of one is damaged.
  const bool second = !lost && n != kNone && !extents[n].record[slot].none();
  if (second) lost = arena->verify(extents[n].record[slot]) || !arena->verify(page.record);
  if (lost) {
    arena->kill(page.record);
    return true;
  }
  if (n == kNone) {
    const uint32_t pool = objects[object].pool;
    const uint32_t membership = pools[pool].first_membership;
    n = create_extent({memberships[membership].client, membership, pool}, object, number, false);
    if (n == kNone) return false;
  }
  if (content != kNone) static_cast<void>(dedup.recover_reference(content));
  if (second) remove_record(n, slot);  // after that: it may have been the only reference to the same content
  place(n, slot, page.record, page.payload_bytes);
  return true;
}

// Of a reference whose bytes are sound; else kNone.
uint32_t Engine::Impl::content_of(RecordRef record) const {
  const RecordView view = arena->view(record);
  uint32_t content = kNone;
  if (view.payload.size() == sizeof content && arena->verify(record)) std::memcpy(&content, view.payload.data(), sizeof content);
  return content;
}

void Engine::Impl::drop_empty_objects() {
  for (uint32_t n = 0; n < objects.top(); ++n) {
    if (objects[n].used) release_if_empty(n, kNone);
  }
}

}  // namespace tmem
