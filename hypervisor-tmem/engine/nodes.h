// SPDX-License-Identifier: MIT
// The engine's nouns as nodes in pools, joined by numbers:
//
//   client ─ memberships ─ pool ─ objects ─ extents ─ records of the arena
//      └───────── eviction order ────────────┘
//
// A number is not used again before everything that names it is gone: an object's until its page records are dead, a pool's
// until its object records are, a client slot's until its memberships are gone and its eviction order is empty.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "engine/block_pool.h"
#include "engine/keyed_hash.h"
#include "engine/linear_hash.h"
#include "engine/meta_format.h"
#include "engine/numbered_list.h"
#include "store/arena.h"
#include "tmem/engine.h"

namespace tmem {

inline constexpr uint32_t kExtentShift = 3;
inline constexpr uint32_t kExtentPages = 1u << kExtentShift;

// Eight neighbouring pages of one object: one cache line.
struct Extent {
  std::array<RecordRef, kExtentPages> record;
  uint32_t object = kNone;
  uint32_t number = 0;  // page index / 8
  uint32_t hash_next = kNone;
  uint32_t object_prev = kNone;
  uint32_t object_next = kNone;
  uint32_t order_prev = kNone;
  uint32_t order_next = kNone;
  uint32_t payer : 12 = 0;  // client slot: in whose eviction order it is; ephemeral only
  uint32_t ephemeral : 1 = 0;
  uint32_t second_chance : 1 = 0;
  uint32_t spare : 18 = 0;

  uint32_t& free_next() { return hash_next; }
  bool empty() const {
    for (const RecordRef ref : record) {
      if (!ref.none()) return false;
    }
    return true;
  }
};
static_assert(sizeof(Extent) == 64);
static_assert(kClientsMax <= 1u << 12);

struct Object {
  ObjectId id;
  uint64_t bytes = 0;  // payloads of its pages
  uint32_t pool = kNone;
  uint32_t pages = 0;
  uint32_t first_extent = kNone;
  uint32_t hash_next = kNone;
  uint32_t list_prev = kNone;  // of its pool, or of the dead objects
  uint32_t list_next = kNone;
  RecordRef meta;
  bool dead = false;           // its record is killed, and it is out of the hash and out of its pool
  bool used = false;
  bool shared = false;         // its pages are billed extent by extent

  uint32_t& free_next() { return hash_next; }
};
static_assert(sizeof(Object) == 64);

struct Pool {
  Uuid uuid;
  OpStats past;  // of members that left; evictions
  uint64_t pages = 0;
  uint64_t bytes = 0;
  uint32_t flags = 0;
  uint32_t sharers = 0;
  uint32_t first_membership = kNone;
  uint32_t first_object = kNone;
  uint32_t objects = 0;
  uint32_t hash_next = kNone;  // shared pools by uuid; dead pools; free pools
  bool persistent = false;
  bool shared = false;
  bool dead = false;
  bool used = false;

  uint32_t& free_next() { return hash_next; }
};

struct Membership {
  OpStats ops;  // of this client in this pool
  uint32_t client = kNone;
  uint32_t pool = kNone;
  uint32_t id = 0;  // PoolId
  uint32_t client_prev = kNone;
  uint32_t client_next = kNone;
  uint32_t pool_prev = kNone;
  uint32_t pool_next = kNone;
  RecordRef meta;
  bool used = false;

  uint32_t& free_next() { return client_next; }
};

struct Authorisation {
  Uuid uuid;
  uint32_t client = kNone;
  uint32_t client_prev = kNone;
  uint32_t client_next = kNone;
  RecordRef meta;
  bool used = false;

  uint32_t& free_next() { return client_next; }
};

struct Client {
  ClientId id;
  ClientPolicy policy;
  uint32_t* membership_of = nullptr;  // by pool id
  uint32_t membership_of_count = 0;
  uint32_t credits = 0;
  uint32_t order_head = kNone;        // eviction order: the head goes first
  uint32_t order_tail = kNone;
  uint64_t pages_ephemeral = 0;       // billed to it
  uint64_t pages_persistent = 0;
  uint64_t bytes = 0;
  OpStats past;                       // of pools that it left; evictions
  uint32_t first_membership = kNone;
  uint32_t memberships = 0;
  uint32_t first_authorisation = kNone;
  uint32_t authorisations = 0;
  uint32_t hash_next = kNone;         // clients by id; gone clients; free slots
  RecordRef meta;
  RecordRef meta_spare;               // the version before: its place takes the next one
  uint64_t version = 0;
  Uuid uuid;
  std::array<uint64_t, 2> nonce{};
  uint64_t epoch = 0;
  std::array<char, kNameBytesMax + 1> name{};
  uint32_t owner = 0;
  bool all_queues = false;
  bool gone = false;                  // detached; step() takes it apart
  bool used = false;

  uint32_t& free_next() { return hash_next; }
};

// What a cap bounds: pages, and pools by what their nodes and records take. Objects and extents are there with a page only, so
// that who bounds pages bounds them.
inline constexpr uint32_t kPoolsPerChargedPage = 8;
static_assert((sizeof(Pool) + sizeof(Membership) + sizeof(MembershipMeta) + sizeof(Slot)) * kPoolsPerChargedPage <= kPageBytes);
inline uint64_t charged_pages(const Client& client) {
  return client.pages_ephemeral + client.pages_persistent + client.memberships / kPoolsPerChargedPage;
}

using Extents = BlockPool<Extent, 8>;
using Objects = BlockPool<Object, 6>;
using Pools = BlockPool<Pool, 5>;
using Memberships = BlockPool<Membership, 5>;
using Authorisations = BlockPool<Authorisation, 5>;
using Clients = BlockPool<Client, 3>;

inline uint64_t hash_extent(uint32_t object, uint32_t number) {
  return keyed_hash<1>({uint64_t{object} << 32 | number});
}
inline uint64_t hash_object(uint32_t pool, const ObjectId& id) {
  return keyed_hash<4>({pool, id.word[0], id.word[1], id.word[2]});
}
inline uint64_t hash_uuid(const Uuid& uuid) {
  return keyed_hash<2>(std::bit_cast<std::array<uint64_t, 2>>(uuid.byte));
}

struct ExtentTraits {
  static uint64_t hash(const Extent& e) { return hash_extent(e.object, e.number); }
  static uint32_t& next(Extent& e) { return e.hash_next; }
};
struct ObjectTraits {
  static uint64_t hash(const Object& o) { return hash_object(o.pool, o.id); }
  static uint32_t& next(Object& o) { return o.hash_next; }
};
struct SharedPoolTraits {
  static uint64_t hash(const Pool& p) { return hash_uuid(p.uuid); }
  static uint32_t& next(Pool& p) { return p.hash_next; }
};
struct ClientTraits {
  static uint64_t hash(const Client& c) { return mix64(c.id.value()); }
  static uint32_t& next(Client& c) { return c.hash_next; }
};

using ExtentList = NumberedList<&Extent::object_prev, &Extent::object_next>;
using EvictionOrder = NumberedList<&Extent::order_prev, &Extent::order_next>;
using ObjectList = NumberedList<&Object::list_prev, &Object::list_next>;
using PoolMembers = NumberedList<&Membership::pool_prev, &Membership::pool_next>;
using ClientMemberships = NumberedList<&Membership::client_prev, &Membership::client_next>;
using ClientAuthorisations = NumberedList<&Authorisation::client_prev, &Authorisation::client_next>;

}  // namespace tmem
