// SPDX-License-Identifier: MIT
// The arena: records of variable size in segments, and nothing about what they mean. The engine decides, the arena does as
// told and never calls back. Space is found by best fit over the holes of all segments (a dead slot is a hole); when none
// fits, the segment with most free space is compacted into the spare one. References survive compaction.
//
// Invariants
//   - a live record's payload lies inside its segment, behind the directory, and overlaps no other's
//   - free_bytes() is what is left of all segments after headers, directories and live payloads
//   - reserved pages: there is room for that many worst-case pages besides what is stored
//
// Ownership: borrows SegmentMemory. Views borrow the arena's bytes, until the next insert, kill, move or compact.
// Thread rule: one thread. No exceptions; memory of its own is allocated by the block and a refusal is Status::kNoSpace.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "store/arena_format.h"
#include "store/segment_memory.h"
#include "tmem/status.h"

namespace tmem {

// (logical segment, slot) in one word.
struct RecordRef {
  uint32_t value = kNone;
  static constexpr uint32_t kNone = 0xffffffff;
  static constexpr uint32_t kSlotBits = 14;
  static constexpr RecordRef make(uint32_t segment, uint32_t slot) { return {segment << kSlotBits | slot}; }
  constexpr uint32_t segment() const { return value >> kSlotBits; }
  constexpr uint32_t slot() const { return value & (kSlotsPerSegmentMax - 1); }
  constexpr bool none() const { return value == kNone; }
  friend constexpr bool operator==(RecordRef, RecordRef) = default;
};

struct RecordView {
  RecordKey key{};
  Codec codec = Codec::kDead;
  std::span<const std::byte> payload;
  uint32_t checksum = 0;
};

using CodecSet = uint8_t;
constexpr CodecSet codec_bit(Codec codec) { return static_cast<CodecSet>(1u << static_cast<unsigned>(codec)); }
static_assert(kCodecMax < 8);

// What a directory says of a record: no look at its payload.
struct RecordSummary {
  RecordRef record;
  RecordKey key{};
  uint16_t payload_bytes = 0;
  Codec codec = Codec::kDead;
};

struct RecoveryCounts {
  uint64_t records = 0;
  uint64_t skipped_torn = 0;     // impossible geometry, or (verified) a wrong checksum
  uint64_t skipped_unknown = 0;  // a codec of no known kind
  uint64_t segments_damaged = 0;    // bad header, or a copy that was never finished
  uint64_t segments_superseded = 0; // a newer copy was there
};

class Arena {
 public:
  // Takes up an arena that lies in memory, or makes one. verify: test each payload. Afterwards every live record can be
  // walked with first()/next(), and is the caller's to keep or kill.
  static Result<std::unique_ptr<Arena>> open(SegmentMemory& memory, bool verify);
  ~Arena();

  // ---- segments ----
  uint32_t segments() const;                     // present, without the spare
  uint32_t segments_empty() const;               // of these: without a record, and not kept for credits
  bool add_segment();                            // false: none left, or memory refused
  // Giving one back: pick the emptiest, then move() every live record out of it (the engine follows with its references),
  // then remove it. No new record is placed into a retiring segment.
  Result<uint32_t> retire_begin();               // its logical number; kNoSpace: nothing to retire
  RecordRef retire_next(uint32_t segment) const; // a live record still in it, or none()
  void retire_end(uint32_t segment);             // empty now: given back to memory
  void retire_cancel(uint32_t segment);

  // ---- records ----
  // Makes sure that the next insert() of up to payload_bytes finds room, compacting at most compactions segments for it.
  // credit: may use the pages kept by reserve_pages().
  Status reserve(size_t payload_bytes, uint32_t compactions, bool credit = false);
  // Never fails after a reserve(). Sealed when it returns.
  RecordRef insert(RecordKey key, Codec codec, std::span<const std::byte> payload);
  void kill(RecordRef record);
  // A copy elsewhere, then the old one dies. After a reserve() of its size.
  RecordRef move(RecordRef record);
  RecordView view(RecordRef record) const;
  bool verify(RecordRef record) const;
  void prefetch(RecordRef record) const;          // its slot
  void prefetch_payload(RecordRef record) const;  // once its slot is there
  RecordRef first() const;
  RecordRef next(RecordRef record) const;
  // The same walk many records at a time: live ones of these codecs from at on, and at moves behind them. 0: no more.
  size_t summarise(RecordRef& at, CodecSet codecs, std::span<RecordSummary> out) const;

  // Keeps room for so many worst-case pages out of ordinary use: each a raw content record, a reference and a 48-byte object
  // record, put back to back. After a credited page has been put the caller says how many are still wanted. compactions: how
  // many segments it may compact for it. False: cannot be kept, and what was kept before still is.
  bool reserve_pages(uint64_t pages, uint32_t compactions);
  uint64_t reserved_pages() const;

  // Compacts one segment if at least waste_bytes come together by it. False: none of the emptiest 64 is worth it.
  bool compact_step(size_t waste_bytes);

  // ---- figures ----
  uint64_t arena_bytes() const;     // segments present, spare included
  uint64_t overhead_bytes() const;  // the arena's own tables in ordinary memory, and the header area's used bytes
  uint64_t live_bytes() const;      // payloads of live records
  uint64_t free_bytes() const;
  uint64_t segments_compacted() const;
  const RecoveryCounts& recovered() const;
  const char* check_invariants() const;  // the equation that fails, or nullptr

 private:
  struct Impl;
  explicit Arena(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

uint32_t record_checksum(RecordKey key, Codec codec, std::span<const std::byte> payload);

}  // namespace tmem
