// SPDX-License-Identifier: MIT
// Clients: identity, policy, what they may join, and their credits.
#include <algorithm>
#include <cstring>

#include "engine/engine_impl.h"

namespace tmem {

namespace {

Status check(const ClientPolicy& policy) { return policy.weight <= kWeightMax ? Status::kOk : Status::kBadArgument; }

Status assign(Client& client, const ClientIdentity& identity) {
  if (identity.name.size() > kNameBytesMax) return Status::kBadArgument;
  client.uuid = identity.uuid;
  client.nonce = identity.nonce;
  client.epoch = identity.epoch;
  client.owner = identity.owner;
  client.name = {};
  std::copy(identity.name.begin(), identity.name.end(), client.name.begin());
  return Status::kOk;
}

uint32_t flags_of(const Client& client) {
  return (client.policy.compress ? kClientMetaCompress : 0) | (client.policy.frozen ? kClientMetaFrozen : 0) |
         (client.all_queues ? kClientMetaAllQueues : 0);
}

}  // namespace

Status Engine::Impl::attach(ClientId id, const ClientIdentity& identity, const ClientPolicy& policy, bool all_queues) {
  if (find_client(id) != kNone) return Status::kClientExists;
  const Status status = check(policy);
  if (status != Status::kOk) return status;
  begin_work();
  const uint32_t n = allocate_node(clients, kNone, false);
  if (n == kNone) return Status::kNoClientSlots;
  Client& client = clients[n];
  client.id = id;
  client.policy = policy;
  client.all_queues = all_queues;
  Status made = assign(client, identity);
  if (made == Status::kOk) made = write_client(n);
  if (made == Status::kOk) made = write_client(n);  // the spare
  if (made != Status::kOk) {
    kill_meta(client.meta);
    clients.release(n);
    return made;
  }
  client.used = true;
  client_hash.insert(n);
  weight_sum += policy.weight;
  return Status::kOk;
}

// A client keeps two records, its state and the one before. The older dies and its place takes the new one, so that a change
// needs no room in a full arena, and at every moment one whole record is there. Recovery takes the greater version.
Status Engine::Impl::write_client(uint32_t n) {
  Client& client = clients[n];
  const ClientPolicy& policy = client.policy;
  const ClientMeta meta{client.version + 1, client.nonce,  client.epoch,       policy.cap_pages,
                        policy.min_pages,   client.uuid,   client.id.value(),  policy.weight,
                        policy.dedup_group, flags_of(client), client.owner,       0,
                        client.name};
  kill_meta(client.meta_spare);
  RecordRef record;
  if (!insert_meta(MetaKind::kClient, n, std::as_bytes(std::span(&meta, 1)), n, false, record)) return Status::kNoSpace;
  client.meta_spare = client.meta;
  client.meta = record;
  ++client.version;
  return Status::kOk;
}

Status Engine::Impl::set_policy(uint32_t n, const ClientPolicy& policy) {
  const Status status = check(policy);
  if (status != Status::kOk) return status;
  begin_work();
  Client& client = clients[n];
  const ClientPolicy before = client.policy;
  client.policy = policy;
  const Status written = write_client(n);
  if (written != Status::kOk) {
    client.policy = before;
    return written;
  }
  weight_sum += policy.weight;
  weight_sum -= before.weight;
  return Status::kOk;
}

Status Engine::Impl::set_identity(uint32_t n, const ClientIdentity& identity) {
  Client& client = clients[n];
  const ClientIdentity before{client.uuid, client.nonce, client.epoch, {}, client.owner};
  const auto name = client.name;
  begin_work();
  Status status = assign(client, identity);
  if (status == Status::kOk) status = write_client(n);
  if (status != Status::kOk) {
    client.uuid = before.uuid;
    client.nonce = before.nonce;
    client.epoch = before.epoch;
    client.owner = before.owner;
    client.name = name;
  }
  return status;
}

// The death of its newest record ends the client and all that is its own; step() takes it apart.
Status Engine::Impl::detach(uint32_t n) {
  Client& client = clients[n];
  give_up_credits(n, client.credits);
  kill_meta(client.meta_spare);  // first: else a crash in between would bring it back
  kill_meta(client.meta);
  client_hash.remove(n);
  weight_sum -= client.policy.weight;
  client.policy.weight = 0;
  client.gone = true;
  client.hash_next = gone_clients;
  gone_clients = n;
  return Status::kOk;
}

// ---- what a client may join ----

uint32_t Engine::Impl::find_authorisation(uint32_t client, const Uuid& uuid) const {
  for (uint32_t a = clients[client].first_authorisation; a != kNone; a = authorisations[a].client_next) {
    if (authorisations[a].uuid == uuid) return a;
  }
  return kNone;
}

Status Engine::Impl::authorise(uint32_t n, const Uuid& uuid, bool allowed) {
  Client& client = clients[n];
  const uint32_t present = find_authorisation(n, uuid);
  if (!allowed) {
    if (present != kNone) drop_authorisation(present);
    for (uint32_t m = client.first_membership; m != kNone;) {
      const uint32_t next = memberships[m].client_next;
      const Pool& pool = pools[memberships[m].pool];
      if (pool.shared && pool.uuid == uuid) drop_membership(m);
      m = next;
    }
    return Status::kOk;
  }
  if (present != kNone) return Status::kOk;
  if (client.authorisations >= kAuthorisedUuidsMax) return Status::kBadArgument;
  begin_work();
  const uint32_t a = allocate_node(authorisations, n, false);
  if (a == kNone) return Status::kNoSpace;
  const AuthorisationMeta meta{uuid, n, 0};
  RecordRef record;
  if (!insert_meta(MetaKind::kAuthorisation, a, std::as_bytes(std::span(&meta, 1)), n, false, record)) {
    authorisations.release(a);
    return Status::kNoSpace;
  }
  authorisations[a].uuid = uuid;
  authorisations[a].client = n;
  authorisations[a].meta = record;
  authorisations[a].used = true;
  ClientAuthorisations::push_front(authorisations, client.first_authorisation, a);
  ++client.authorisations;
  return Status::kOk;
}

void Engine::Impl::drop_authorisation(uint32_t a) {
  Authorisation& authorisation = authorisations[a];
  Client& client = clients[authorisation.client];
  kill_meta(authorisation.meta);
  ClientAuthorisations::remove(authorisations, client.first_authorisation, a);
  --client.authorisations;
  authorisation.used = false;
  authorisations.release(a);
}

// ---- credits ----

// A credit is a worst-case page in the arena (with the object record that the put may need), an extent and an object.
bool Engine::Impl::try_credits(uint32_t n, uint32_t count) {
  if (!extents.reserve(count)) return false;
  if (!objects.reserve(count)) {
    extents.unreserve(count);
    return false;
  }
  if (!compacting([&] { return arena->reserve_pages(credits_sum + count, compactions_left); })) {
    extents.unreserve(count);
    objects.unreserve(count);
    return false;
  }
  clients[n].credits += count;
  credits_sum += count;
  return true;
}

// compactions: what a put may wait for is little; what was promised before is worth more.
uint32_t Engine::Impl::top_up_credits(uint32_t n, uint32_t want, uint32_t compactions) {
  begin_work();
  compactions_left = compactions;
  Client& client = clients[n];
  want = std::min(want, kCreditsPerQueueMax);
  while (client.credits < want) {
    if (try_credits(n, want - client.credits) || try_credits(n, 1)) continue;
    if (extents.free_count() > extents.reserved() && objects.free_count() > objects.reserved() && grow()) continue;  // brings no node
    if (work_left == 0 || free_something(n) == 0) break;
  }
  return client.credits;
}

// A put against a credit is never refused: so cap and freeze are kept when it is granted.
uint32_t Engine::Impl::credits_allowed(uint32_t n, uint32_t want) const {
  const Client& client = clients[n];
  if (client.policy.frozen) return 0;
  if (client.policy.cap_pages == 0) return want;
  const uint64_t charged = std::min<uint64_t>(charged_pages(client), client.policy.cap_pages);
  return static_cast<uint32_t>(std::min<uint64_t>(want, client.policy.cap_pages - charged));
}

void Engine::Impl::give_up_credits(uint32_t n, uint32_t count) {
  clients[n].credits -= count;
  credits_sum -= count;
  extents.unreserve(count);
  objects.unreserve(count);
  static_cast<void>(arena->reserve_pages(credits_sum, 0));  // fewer than before: cannot fail
}

}  // namespace tmem
