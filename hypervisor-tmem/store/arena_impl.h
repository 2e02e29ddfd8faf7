// SPDX-License-Identifier: MIT
// The arena's inside, shared by the files that implement it: arena.cc (records), segments.cc (segments come and go),
// arena_open.cc (a new arena, or one that lies there), compaction.cc, arena_check.cc. Nobody else includes it.
#pragma once

#include <atomic>
#include <cstring>

#include "store/arena.h"
#include "store/hole_lists.h"
#include "store/segment_table.h"

namespace tmem {

struct SlotVerdicts;

// Room of a credited page at its worst, slots included: content stored raw, the reference to it, and a new object record.
// Put back to back they cost a segment of the reserve at most one page's room, in whatever order: after the first one that
// breaks into a page's room, the rest of that room takes the others.
inline constexpr uint32_t kSlotBytes = static_cast<uint32_t>(sizeof(Slot));
inline constexpr uint32_t kReservedPageBytes =
    (record_extent(4096 + 1) + kSlotBytes) + (record_extent(4) + kSlotBytes) + (record_extent(48) + kSlotBytes);

inline void store_release(uint32_t& word, uint32_t value) { std::atomic_ref(word).store(value, std::memory_order_release); }
inline void store_release(uint64_t& word, uint64_t value) { std::atomic_ref(word).store(value, std::memory_order_release); }

// No segment from now on, whenever the process dies.
inline void wipe(SegmentHeader* header) {
  store_release(header->generation, 0);
  std::memset(header, 0, sizeof(*header));
}

// Reading a directory waits for memory; the next segment's is asked for while this one is read.
inline void prefetch_directory(const std::byte* segment) {
  constexpr size_t kLine = 64;
  constexpr size_t kTypicalDirectory = 3072;
  for (size_t at = 0; at < kTypicalDirectory; at += kLine) __builtin_prefetch(segment + at);
}

struct Arena::Impl {
  explicit Impl(SegmentMemory& m) : memory(m), table(m), holes(table) {}

  // arena.cc
  bool ordinary_room(uint32_t extent) const;
  uint32_t reserved_room(uint32_t extent) const;  // a reserved segment, or kNoSegment
  RecordRef take(uint32_t extent);                // a slot with its place still dead, or none
  RecordRef take_hole(RecordRef hole, uint32_t extent);
  RecordRef take_gap(uint32_t segment, uint32_t extent);
  void keep_rest(uint32_t segment, uint32_t offset, uint32_t rest);
  void seal(RecordRef ref, RecordKey key, Codec codec, std::span<const std::byte> payload, uint32_t checksum);
  void make_blank(uint32_t segment, uint32_t slot);
  Status reserve(uint32_t extent, uint32_t compactions, bool credit);
  void kill(RecordRef ref);

  // segments.cc
  bool add_segment();
  bool install(std::byte* bytes);                     // a blank segment becomes an empty one
  void forget_holes(uint32_t segment);                // takes them off the lists
  void reset(uint32_t segment);                       // no live record: all of it becomes gap
  std::byte* commit_one();                            // a physical segment, wiped; nullptr: refused
  void discard(std::byte* bytes);                     // wiped and given back to memory
  bool reserve_pages(uint64_t pages, uint32_t compactions);
  bool widen_reserve(uint64_t pages, uint32_t compactions);
  void narrow_reserve(uint64_t pages);
  uint64_t reserve_capacity() const;
  uint32_t worth_closing_up() const;

  // compaction.cc
  void compact(uint32_t segment);

  // arena_open.cc
  Status open(bool verify);
  void create();
  bool used_beyond_memory() const;
  Status take_up(bool verify);
  Status pick_copies();                               // each logical segment gets its newest copy
  Status place_blanks();                              // the others become the spare and empty segments
  void adopt(uint32_t segment, bool verify);
  void rebuild_slots(uint32_t segment, const SlotVerdicts& verdicts);

  std::byte* physical_bytes(uint32_t physical) const { return memory.base() + (size_t{physical} + 1) * kSegmentBytes; }
  uint32_t physical_of(const std::byte* bytes) const {
    return static_cast<uint32_t>(static_cast<size_t>(bytes - memory.base()) / kSegmentBytes - 1);
  }
  Slot& slot(RecordRef ref) { return table.at(ref.segment()).directory()[ref.slot()]; }
  // nullptr: no such slot.
  const Slot* find(RecordRef ref) const {
    if (ref.none() || !table.present(ref.segment())) return nullptr;
    const Segment& segment = table.at(ref.segment());
    return ref.slot() < segment.slots ? segment.directory() + ref.slot() : nullptr;
  }
  ArenaHeader* header() const { return reinterpret_cast<ArenaHeader*>(memory.base()); }
  uint64_t& bitmap_word(uint32_t physical) const {
    return reinterpret_cast<uint64_t*>(memory.base() + kArenaBitmapOffset)[physical / 64];
  }
  bool committed(uint32_t physical) const { return (bitmap_word(physical) >> (physical % 64) & 1) != 0; }
  void set_committed(uint32_t physical, bool value);

  SegmentMemory& memory;
  SegmentTable table;
  HoleLists holes;
  std::byte* spare = nullptr;      // blank, taken by the next compaction
  uint64_t generation = 0;         // the last one given out
  uint32_t physical_full_below = 0;  // every physical segment below it is committed
  uint32_t segments = 0;           // present, without the spare
  uint64_t reserved_pages = 0;     // asked for
  uint64_t live_bytes = 0;         // payload bytes, not extents
  uint64_t free_bytes = 0;
  uint64_t compacted = 0;
  bool credited = false;           // the next insert may break into the reserve
  RecoveryCounts counts;
};

}  // namespace tmem
