// SPDX-License-Identifier: MIT
// What the engine writes into Codec::kMeta records: everything besides pages that must outlive the process. Read by recovery
// and by tmem-inspect. A record's key is {number, MetaKind}. Little endian, no padding. docs/arena-format.md has the frame;
// a change here raises kArenaVersion.
//
// Death is by reference: a page lives as long as its object's record, an object as long as a membership of its pool, a
// membership as long as its client's record. So one kill ends a whole object, pool or client for recovery.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "tmem/limits.h"
#include "tmem/types.h"

namespace tmem {

enum class MetaKind : uint32_t {
  kClient = 1,         // number: the client's slot
  kMembership = 2,     // number: the membership
  kObject = 3,         // number: the object, which page records name
  kAuthorisation = 4,  // number: the authorisation
};

inline constexpr uint32_t kClientMetaCompress = 1;
inline constexpr uint32_t kClientMetaFrozen = 2;
inline constexpr uint32_t kClientMetaAllQueues = 4;

struct ClientMeta {
  uint64_t version;  // of two records of one slot the greater is the client
  std::array<uint64_t, 2> nonce;
  uint64_t epoch;
  uint64_t cap_pages;
  uint64_t min_pages;
  Uuid uuid;
  uint32_t client;   // ClientId
  uint32_t weight;
  uint32_t dedup_group;
  uint32_t flags;    // kClientMeta*
  uint32_t owner;    // ClientIdentity::owner
  uint32_t reserved;
  std::array<char, kNameBytesMax + 1> name;  // zero-filled
};

// A client's pool id, and the pool behind it. A private pool has exactly one.
struct MembershipMeta {
  uint32_t client_slot;
  uint32_t pool;         // PoolId
  uint32_t pool_number;  // which object records name
  uint32_t flags;        // the ABI's word
  Uuid uuid;             // shared pools; else zero
};

struct ObjectMeta {
  ObjectId object;
  uint32_t pool_number;
  uint32_t reserved;
};

struct AuthorisationMeta {
  Uuid uuid;
  uint32_t client_slot;
  uint32_t reserved;
};

static_assert(sizeof(ClientMeta) == 152 && std::is_trivially_copyable_v<ClientMeta>);
static_assert(sizeof(MembershipMeta) == 32 && std::is_trivially_copyable_v<MembershipMeta>);
static_assert(sizeof(ObjectMeta) == 32 && std::is_trivially_copyable_v<ObjectMeta>);
static_assert(sizeof(AuthorisationMeta) == 24 && std::is_trivially_copyable_v<AuthorisationMeta>);

}  // namespace tmem
