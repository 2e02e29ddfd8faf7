// SPDX-License-Identifier: MIT
// What the arena knows of each logical segment beside its bytes, and three ways to find one: by free space (the emptiest), by
// gap (the contiguous room between directory and lowest payload), and the wholly empty ones.
//
//   | header | slots -> |        gap        | payloads and holes, mixed |
//                                           ^ low
//
// Ownership: entries lie in blocks from SegmentMemory, taken as segments come; lists hold segment numbers.
// Thread rule: the shard's thread.
#pragma once

#include <array>

#include "store/arena_format.h"
#include "store/segment_memory.h"

namespace tmem {

inline constexpr uint32_t kNoSegment = 0xffffffff;
inline constexpr uint16_t kNoSlot = 0xffff;

enum class SegmentUse : uint8_t {
  kAbsent,
  kOrdinary,
  kReserved,  // its gap is kept for credited pages; its holes are ordinary
  kRetiring,  // takes no new record
};

struct Segment {
  std::byte* bytes = nullptr;  // where it lies now
  uint32_t live_bytes = 0;     // extents of live records
  uint32_t low = kSegmentBytes;
  uint32_t salt = 0;           // generation_salt() of its generation
  uint16_t slots = 0;          // as in its header
  uint16_t live = 0;           // live records
  uint16_t blank = kNoSlot;    // dead slots without a hole, linked by key.index
  SegmentUse use = SegmentUse::kAbsent;
  uint8_t codecs = 0;          // a bit for each codec of a live record, and perhaps of dead ones
  uint16_t listed_free = 0;    // where it is listed now
  uint16_t listed_gap = 0;
  uint32_t free_next = kNoSegment, free_prev = kNoSegment;
  uint32_t gap_next = kNoSegment, gap_prev = kNoSegment;

  SegmentHeader* header() const { return reinterpret_cast<SegmentHeader*>(bytes); }
  Slot* directory() const { return reinterpret_cast<Slot*>(bytes + sizeof(SegmentHeader)); }
  uint32_t directory_end() const { return static_cast<uint32_t>(sizeof(SegmentHeader) + slots * sizeof(Slot)); }
  uint32_t gap() const { return low - directory_end(); }
  uint32_t free_bytes() const { return static_cast<uint32_t>(kSegmentBytes) - directory_end() - live_bytes; }
  // The largest payload that the gap takes, with the slot it may need.
  uint32_t gap_room() const {
    if (blank != kNoSlot) return gap();
    return gap() >= sizeof(Slot) ? gap() - static_cast<uint32_t>(sizeof(Slot)) : 0;
  }
};

// A bitmap in two levels over up to 4096 lists: the first one in use at or above a number, in two looks.
class ListBits {
 public:
  static constexpr uint32_t kNone = 0xffffffff;
  void set(uint32_t list) { word_[list / 64] |= bit(list); summary_ |= bit(list / 64); }
  void clear(uint32_t list) {
    word_[list / 64] &= ~bit(list);
    if (word_[list / 64] == 0) summary_ &= ~bit(list / 64);
  }
  uint32_t at_least(uint32_t list) const;
  uint32_t greatest() const { return at_most(64 * 64 - 1); }
  uint32_t at_most(uint32_t list) const;

 private:
  static constexpr uint64_t bit(uint32_t n) { return uint64_t{1} << (n % 64); }
  std::array<uint64_t, 64> word_{};
  uint64_t summary_ = 0;
};

class SegmentTable {
 public:
  explicit SegmentTable(SegmentMemory& memory);
  ~SegmentTable();
  SegmentTable(const SegmentTable&) = delete;
  SegmentTable& operator=(const SegmentTable&) = delete;

  // Room for one more entry. False: memory refused.
  bool reach(uint32_t segment);
  uint32_t end() const { return end_; }  // no entry at or behind it is present
  Segment& at(uint32_t segment) { return chunk_[segment / kChunk][segment % kChunk]; }
  const Segment& at(uint32_t segment) const { return chunk_[segment / kChunk][segment % kChunk]; }
  bool present(uint32_t segment) const {
    return segment < end_ && chunk_[segment / kChunk] != nullptr && at(segment).use != SegmentUse::kAbsent;
  }
  uint32_t lowest_absent();

  void enter(uint32_t segment, SegmentUse use);  // bytes and figures are filled in; lists it
  void leave(uint32_t segment);                  // becomes absent
  void set_use(uint32_t segment, SegmentUse use);
  void relist(uint32_t segment);                 // after any change of its figures

  uint32_t empty_count() const { return empty_count_; }  // ordinary, wholly empty
  uint32_t emptiest() const;                     // ordinary, by free bytes; wholly empty ones first
  uint32_t emptiest_in_use() const;              // ordinary, by free bytes, with a live record
  uint32_t next_fuller(uint32_t segment) const;  // from emptiest_in_use() on, all ordinary ones with a live record
  uint32_t gap_for(uint32_t extent) const;       // ordinary, smallest gap that takes it; empty segments last
  uint32_t widest_gap() const;                   // ordinary, to within a list's width
  uint32_t first_reserved() const { return reserved_; }
  uint32_t following(uint32_t segment) const { return at(segment).free_next; }

  uint64_t overhead_bytes() const { return chunks_ * kChunk * sizeof(Segment) + sizeof(*this); }

 private:
  static constexpr uint32_t kChunk = 256;
  static constexpr uint32_t kFreeWidth = 64;          // bytes of free space told apart
  static constexpr uint32_t kFreeLists = 4096;
  static constexpr uint32_t kGapLists = 1025;         // exact by 8 bytes; the last one: all above
  static constexpr uint16_t kEmptyList = 0xfffe;      // instead of a free list: wholly empty
  static constexpr uint16_t kReservedList = 0xfffd;
  static constexpr uint16_t kNoList = 0xffff;

  static uint16_t gap_list(const Segment& segment);
  static uint16_t free_list(const Segment& segment);
  uint32_t& free_head(uint16_t list);
  void link_free(uint32_t segment, uint16_t list);
  void unlink_free(uint32_t segment);
  void link_gap(uint32_t segment, uint16_t list);
  void unlink_gap(uint32_t segment);

  SegmentMemory& memory_;
  std::array<Segment*, kSegmentsMax / kChunk> chunk_{};
  uint32_t chunks_ = 0;
  uint32_t end_ = 0;
  uint32_t full_below_ = 0;  // every entry below it is present
  uint32_t empty_ = kNoSegment;
  uint32_t empty_count_ = 0;
  uint32_t reserved_ = kNoSegment;
  std::array<uint32_t, kFreeLists> free_head_;
  std::array<uint32_t, kGapLists> gap_head_;
  ListBits free_bits_;
  ListBits gap_bits_;
};

}  // namespace tmem
