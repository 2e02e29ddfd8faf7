// SPDX-License-Identifier: MIT
// The arena's book-keeping equations, tested over everything. For tests and for the engine's own check.
#include "store/arena_impl.h"
#include "store/recovery.h"

namespace tmem {
namespace {

struct Sums {
  uint32_t segments = 0;
  uint64_t live_bytes = 0;
  uint64_t free_bytes = 0;
  uint64_t holes = 0;
};

const char* check_blanks(const Segment& s, uint32_t blanks) {
  uint32_t linked = 0;
  for (uint32_t i = s.blank; i != kNoSlot; i = s.directory()[i].key.index) {
    if (i >= s.slots) return "a blank slot lies in its directory";
    const Place place = s.directory()[i].place;
    if (place_codec(place) != Codec::kDead || hole_extent(place) != 0) return "a blank slot has no record and no hole";
    if (++linked > blanks) return "blank slots are linked once";
  }
  return linked == blanks ? nullptr : "every dead slot without a hole is linked as blank";
}

const char* check_segment(const Segment& s, uint32_t number, Sums* sums) {
  const SegmentHeader* header = s.header();
  if (header->magic != kSegmentMagic || header->logical != number || header->generation == 0) return "a segment's header says who it is";
  if (s.salt != generation_salt(header->generation)) return "a segment's salt is its generation's";
  if (header->slots != s.slots) return "header and table agree on the slots";
  if (s.directory_end() > s.low || s.low > kSegmentBytes) return "directory and payloads do not overlap";
  OccupiedMap occupied;
  occupied.mark(0, s.directory_end());
  uint32_t live = 0, live_bytes = 0, blanks = 0;
  for (uint32_t i = 0; i < s.slots; ++i) {
    const Place place = s.directory()[i].place;
    const bool dead = place_codec(place) == Codec::kDead;
    const uint32_t extent = dead ? hole_extent(place) : record_extent(place_size(place));
    if (dead && extent == 0) {
      ++blanks;
      continue;
    }
    if (place_offset(place) < s.low || place_offset(place) + extent > kSegmentBytes) return "records and holes lie above low";
    if (!occupied.mark(place_offset(place), extent)) return "records and holes do not overlap";
    sums->holes += dead;
    if (dead) continue;
    ++live;
    live_bytes += extent;
    sums->live_bytes += place_size(place);
  }
  if (live != s.live) return "a segment's live records are counted";
  if (live_bytes != s.live_bytes) return "a segment's live bytes are counted";
  ++sums->segments;
  sums->free_bytes += s.free_bytes();
  return check_blanks(s, blanks);
}

}  // namespace

const char* Arena::check_invariants() const {
  const Impl& impl = *impl_;
  Sums sums;
  for (uint32_t segment = 0; segment < impl.table.end(); ++segment) {
    if (!impl.table.present(segment)) continue;
    if (const char* failed = check_segment(impl.table.at(segment), segment, &sums)) return failed;
  }
  if (sums.segments != impl.segments) return "segments are counted";
  if (sums.live_bytes != impl.live_bytes) return "live_bytes is the sum of live payloads";
  if (sums.free_bytes != impl.free_bytes) return "free_bytes is what segments have left";
  uint64_t listed = 0;
  for (uint32_t list = 0; list < HoleLists::kLists; ++list) {
    for (RecordRef hole = impl.holes.head(list); !hole.none();) {
      const Slot* slot = impl.find(hole);
      if (slot == nullptr || place_codec(slot->place) != Codec::kDead) return "a listed hole is a dead slot";
      if (HoleLists::list_of(hole_extent(slot->place)) != list) return "a hole is in the list of its size";
      if (++listed > sums.holes) return "a hole is listed once";
      hole = {slot->key.index};
    }
  }
  if (listed != sums.holes) return "every hole is listed";
  if (impl.reserve_capacity() < impl.reserved_pages) return "reserved pages have room";
  return nullptr;
}

}  // namespace tmem
