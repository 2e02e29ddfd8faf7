// SPDX-License-Identifier: MIT
// Reading an arena's bytes without trusting them: pure functions, no state, nothing written. What is impossible, overlapping,
// unknown or (verified) wrong is told apart from what is a record; damage can lose records, and never makes one up that would
// pass its checksum.
#pragma once

#include <array>
#include <bitset>
#include <span>

#include "store/arena_format.h"
#include "tmem/status.h"

namespace tmem {

uint64_t arena_header_checksum(const ArenaHeader& header);

enum class HeaderState : uint8_t {
  kNone,     // never completed: an arena may be made here
  kArena,    // of this version, and whole
  kForeign,  // another version, another segment size, or damaged: not to be touched
};
HeaderState read_arena_header(const std::byte* base, ArenaHeader* header);

enum class SegmentState : uint8_t { kBlank, kSegment, kDamaged };
SegmentState read_segment_header(const std::byte* segment, SegmentHeader* header);

// One bit for each 8 bytes of a segment.
class OccupiedMap {
 public:
  void clear() { word_.fill(0); }
  // Marks a range; false if any of it was marked before (then it is marked all the same).
  bool mark(uint32_t offset, uint32_t extent);
  bool marked(uint32_t unit) const { return (word_[unit / 64] >> (unit % 64) & 1) != 0; }
  // The next run of unmarked units at or behind unit, or false.
  bool next_free(uint32_t unit, uint32_t* begin, uint32_t* end) const;

 private:
  static constexpr uint32_t kUnits = static_cast<uint32_t>(kSegmentBytes / kRecordAlignBytes);
  uint32_t next(uint32_t unit, bool value) const;
  std::array<uint64_t, kUnits / 64> word_{};
};

enum class SlotState : uint8_t { kDead, kLive, kTorn, kUnknown };
struct SlotVerdicts {
  std::bitset<kSlotsPerSegmentMax> keep;  // live records
  uint32_t slots = 0;
  uint32_t live = 0;
  uint8_t codecs = 0;                     // of live records, a bit each
  uint32_t live_bytes = 0;                // their extents
  uint32_t payload_bytes = 0;
  uint32_t low = kSegmentBytes;
  uint32_t torn = 0;
  uint32_t unknown = 0;
  OccupiedMap occupied;                   // directory and live records
};

// Whether a slot describes a record that can be: alone, without its neighbours, and without its payload.
SlotState judge_slot(const Slot& slot, uint32_t directory_end);
bool payload_matches(const std::byte* segment, const Slot& slot);

// Judges a whole segment. verify: every payload's checksum. Otherwise only slots are read; where two overlap, which only damage
// does, the segment is verified after all.
void judge_segment(const std::byte* segment, bool verify, SlotVerdicts* verdicts);

}  // namespace tmem
