// SPDX-License-Identifier: MIT
// The holes of all segments by size, one list for each multiple of 8 bytes: best fit in a few steps. A hole is a dead slot;
// the links lie in its key (object: previous, index: next), so that holes cost no memory of their own.
//
// Invariants: every hole of a segment that is not retiring and that a slot describes is listed; one of zero bytes never is.
// Ownership: borrows the segment table and the arena's bytes.
#pragma once

#include <array>

#include "store/arena.h"
#include "store/segment_table.h"

namespace tmem {

class HoleLists {
 public:
  explicit HoleLists(SegmentTable& segments) : segments_(segments) { head_.fill(RecordRef::kNone); }

  // The slot's place already says the hole.
  void add(RecordRef hole);
  void remove(RecordRef hole);
  // The smallest hole that takes extent bytes (a multiple of 8, at most kPayloadBytesMax rounded up), or none.
  RecordRef best_fit(uint32_t extent) const;
  // The list that a hole is in, for check_invariants().
  RecordRef head(uint32_t list) const { return {head_[list]}; }
  static constexpr uint32_t kLists = 1025;  // exact up to 8184 bytes; the last one: all above, each takes any record
  static uint32_t list_of(uint32_t extent) {
    const uint32_t list = extent / static_cast<uint32_t>(kRecordAlignBytes);
    return list < kLists ? list : kLists - 1;
  }

 private:
  Slot& slot(uint32_t ref) const {
    const RecordRef hole{ref};
    return segments_.at(hole.segment()).directory()[hole.slot()];
  }

  SegmentTable& segments_;
  std::array<uint32_t, kLists> head_;
  ListBits bits_;
};

}  // namespace tmem
