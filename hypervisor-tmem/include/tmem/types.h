// SPDX-License-Identifier: MIT
// The nouns of the service. Ids are distinct types: mixing a PoolId with a PageIndex does not compile.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tmem {

inline constexpr size_t kPageBytes = 4096;

// A strong integer: only comparison, and value() to leave the type.
template <typename Tag, typename Rep>
class Id {
 public:
  using rep = Rep;
  constexpr Id() = default;
  constexpr explicit Id(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  friend constexpr auto operator<=>(Id, Id) = default;

 private:
  Rep value_{};
};

using ClientId = Id<struct ClientTag, uint32_t>;   // one domain or local process, chosen by the daemon; the same on all shards
using PoolId = Id<struct PoolTag, uint32_t>;       // of one client, chosen by its front
using PageIndex = Id<struct PageIndexTag, uint32_t>;
using ShardId = Id<struct ShardTag, uint32_t>;

// 192 opaque bits. All ones is reserved and never stored.
struct ObjectId {
  std::array<uint64_t, 3> word{};
  friend constexpr auto operator<=>(const ObjectId&, const ObjectId&) = default;
  constexpr bool reserved() const { return (word[0] & word[1] & word[2]) == ~uint64_t{0}; }
};

struct Uuid {
  std::array<uint8_t, 16> byte{};
  friend constexpr auto operator<=>(const Uuid&, const Uuid&) = default;
};

// The name of one page, as one client says it.
struct Handle {
  PoolId pool;
  ObjectId object;
  PageIndex index;
  friend constexpr auto operator<=>(const Handle&, const Handle&) = default;
};

// The pool flags word of the ABI (tmem/tmemif.h, TMEMIF_POOL_*), mirrored because the engine knows no transport;
// transport/backend.cc asserts that both are equal.
inline constexpr uint32_t kAbiVersion = 1;
inline constexpr uint32_t kPoolPersistent = 0x00000001;
inline constexpr uint32_t kPoolShared = 0x00000002;
inline constexpr uint32_t kPoolPrecompressed = 0x00000004;  // known, always refused
inline constexpr uint32_t kPoolPageMask = 0x000000f0;       // log2(page size) - 12
inline constexpr uint32_t kPoolReserved = 0x00ffff08;
inline constexpr uint32_t kPoolVersionShift = 24;
constexpr uint32_t pool_flags(uint32_t kind) { return kind | kAbiVersion << kPoolVersionShift; }

using PageView = std::span<const std::byte, kPageBytes>;
using PageBuffer = std::span<std::byte, kPageBytes>;

}  // namespace tmem
