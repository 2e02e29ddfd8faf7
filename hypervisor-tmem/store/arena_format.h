// SPDX-License-Identifier: MIT
// The arena's bytes: the whole contract between who writes an arena and who reads one (the store, recovery, tmem-inspect).
// docs/arena-format.md has the prose and a worked example. Everything is trivially copyable, little endian, and addressed by
// offsets. A change of anything here raises kArenaVersion.
//
//   arena    = header area (one segment long, ArenaHeader at its start, then the bitmap of present segments), segments
//   segment  = SegmentHeader, slot directory growing up, payloads anywhere behind it
//   record   = one Slot of a directory, and its payload
//
// A record is named by (logical segment number, slot number). Compaction copies a segment's live payloads, closed up, into
// the spare segment, keeping slot numbers, and then lets the copy take over the logical number by one release store; so no
// reference ever changes, and a crash before that store leaves the original as it was.
//
// Seal: payload, key and checksum are written first; then place, by one release store, makes the record live.
// Death: one release store of place with codec kDead; offset and size stay and describe the hole. Recovery trusts nothing of a
// dead slot: what is free follows from what is live.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tmem/limits.h"

namespace tmem {

inline constexpr uint64_t kArenaMagic = 0x31616e6572616d74;    // "tmarena1"
inline constexpr uint32_t kArenaVersion = 2;
inline constexpr uint32_t kSegmentMagic = 0x67657374;          // "tseg"

// What a payload is. Zero is dead, so that zeroed memory holds no record. Values reach the arena: never change one.
enum class Codec : uint8_t {
  kDead = 0,
  kRaw = 1,         // page: 4096 bytes as they were
  kLz4 = 2,         // page: one LZ4 block
  kSameFilled = 3,  // page: the 8-byte word
  kReference = 4,   // page: 4 bytes, the number of a content record (dedup)
  kContent = 5,     // shared content: raw if it has 4096 bytes, else LZ4; key.object is its number
  kMeta = 6,        // client, membership, object or authorisation; key.index says which (engine/meta_format.h)
};
inline constexpr uint8_t kCodecMax = 6;

// offset / 8 : 15 | size : 13 | codec : 4
using Place = uint32_t;
constexpr Place make_place(uint32_t offset_bytes, uint32_t size_bytes, Codec codec) {
  return (offset_bytes / kRecordAlignBytes) << 17 | size_bytes << 4 | static_cast<uint32_t>(codec);
}
constexpr uint32_t place_offset(Place p) { return (p >> 17) * static_cast<uint32_t>(kRecordAlignBytes); }
constexpr uint32_t place_size(Place p) { return (p >> 4) & 0x1fff; }
constexpr Codec place_codec(Place p) { return static_cast<Codec>(p & 0xf); }
// Bytes that a payload takes in its segment.
constexpr uint32_t record_extent(uint32_t size_bytes) {
  constexpr uint32_t align = static_cast<uint32_t>(kRecordAlignBytes);
  return size_bytes == 0 ? align : (size_bytes + align - 1) / align * align;
}
inline constexpr uint32_t kPayloadBytesMax = 0x1fff;

// A dead slot's place: codec zero, and the size counts units of 8 bytes, so that one hole can be up to 64 KiB. Zero units: a
// slot without a hole.
constexpr Place make_hole(uint32_t offset_bytes, uint32_t hole_bytes) {
  return make_place(offset_bytes, hole_bytes / static_cast<uint32_t>(kRecordAlignBytes), Codec::kDead);
}
constexpr uint32_t hole_extent(Place p) { return place_size(p) * static_cast<uint32_t>(kRecordAlignBytes); }
inline constexpr uint32_t kHoleBytesMax = kPayloadBytesMax * static_cast<uint32_t>(kRecordAlignBytes);

// What the owner files a record under. For pages: the number of the object record, and the page index.
struct RecordKey {
  uint32_t object;
  uint32_t index;
  friend constexpr bool operator==(RecordKey, RecordKey) = default;
};

// The directory entry is header, summary and line pointer of a record in one. In a dead slot key links a free list
// and checksum is zero, so that no flipped bit of place can raise it again; recovery rebuilds the lists and never trusts them.
struct Slot {
  Place place;
  RecordKey key;
  uint32_t checksum;  // record_checksum() of payload, key, size and codec, xor generation_salt() of its segment
};
static_assert(sizeof(Slot) == 16 && std::is_trivially_copyable_v<Slot>);

struct SegmentHeader {
  uint32_t magic;
  uint32_t logical;     // number that references use
  uint64_t generation;  // of two segments with one logical number the greater is the segment; 0: none (spare)
  uint32_t slots;       // directory entries in use, dead ones included; grows by release store
  uint32_t check;       // segment_check(logical, generation): a flipped bit must not raise an old copy
  uint32_t reserved[10];
};
static_assert(sizeof(SegmentHeader) == 64 && std::is_trivially_copyable_v<SegmentHeader>);

constexpr uint32_t segment_check(uint32_t logical, uint64_t generation) {
  const uint64_t mixed = (generation ^ (uint64_t{logical} << 32 | kSegmentMagic)) * 0x9e3779b97f4a7c15;
  return static_cast<uint32_t>(mixed >> 32 ^ mixed);
}

// Binds a record to one life of its segment: what an earlier life left behind the directory's end can never pass for a record.
constexpr uint32_t generation_salt(uint64_t generation) {
  const uint64_t mixed = (generation ^ generation >> 32) * 0xd6e8feb86659fd93;
  return static_cast<uint32_t>(mixed >> 32);
}

struct ArenaHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t segment_bytes;
  uint32_t segments_max;  // of the memory in which the arena was made
  uint32_t shard;         // whose it is
  uint32_t shards;        // of how many
  uint32_t reserved0;
  uint64_t checksum;      // XXH3-64 of the fields above
  uint64_t reserved[3];
  // Behind it, at kArenaBitmapOffset: one bit for each segment that is committed.
};
static_assert(sizeof(ArenaHeader) == 64 && std::is_trivially_copyable_v<ArenaHeader>);
inline constexpr size_t kArenaBitmapOffset = 4096;
static_assert(kArenaBitmapOffset + kSegmentsMax / 8 <= kSegmentBytes);

}  // namespace tmem
