// SPDX-License-Identifier: MIT
// Segments come, are given back, and are kept apart for credited pages.
#include <cstring>

#include "store/arena_impl.h"

namespace tmem {
namespace {

uint64_t pages_in_gap(const Segment& segment) { return segment.gap() / kReservedPageBytes; }

}  // namespace

void Arena::Impl::set_committed(uint32_t physical, bool value) {
  uint64_t& word = bitmap_word(physical);
  const uint64_t bit = uint64_t{1} << (physical % 64);
  store_release(word, value ? word | bit : word & ~bit);
}

std::byte* Arena::Impl::commit_one() {
  uint32_t physical = physical_full_below;
  while (physical < memory.segments_max() && committed(physical)) ++physical;
  physical_full_below = physical;
  if (physical == memory.segments_max() || !memory.commit(physical)) return nullptr;
  std::byte* bytes = physical_bytes(physical);
  wipe(reinterpret_cast<SegmentHeader*>(bytes));
  set_committed(physical, true);
  return bytes;
}

void Arena::Impl::discard(std::byte* bytes) {
  const uint32_t physical = physical_of(bytes);
  wipe(reinterpret_cast<SegmentHeader*>(bytes));
  set_committed(physical, false);
  memory.decommit(physical);
  if (physical < physical_full_below) physical_full_below = physical;
}

bool Arena::Impl::install(std::byte* bytes) {
  const uint32_t logical = table.lowest_absent();
  if (!table.reach(logical)) return false;
  auto* header = reinterpret_cast<SegmentHeader*>(bytes);
  header->magic = kSegmentMagic;
  header->logical = logical;
  header->slots = 0;
  header->check = segment_check(logical, generation + 1);
  store_release(header->generation, ++generation);
  Segment& segment = table.at(logical);
  segment = Segment{};
  segment.bytes = bytes;
  segment.salt = generation_salt(generation);
  table.enter(logical, SegmentUse::kOrdinary);
  free_bytes += segment.free_bytes();
  ++segments;
  return true;
}

bool Arena::Impl::add_segment() {
  const bool spare_is_new = spare == nullptr;
  if (spare_is_new) spare = commit_one();
  if (spare == nullptr) return false;
  std::byte* bytes = commit_one();
  if (bytes != nullptr && install(bytes)) return true;
  if (bytes != nullptr) discard(bytes);
  if (spare_is_new) {
    discard(spare);
    spare = nullptr;
  }
  return false;
}

void Arena::Impl::forget_holes(uint32_t segment) {
  const Segment& s = table.at(segment);
  for (uint32_t i = 0; i < s.slots; ++i) {
    const Place place = s.directory()[i].place;
    if (place_codec(place) == Codec::kDead && hole_extent(place) != 0) holes.remove(RecordRef::make(segment, i));
  }
}

void Arena::Impl::reset(uint32_t segment) {
  forget_holes(segment);
  Segment& s = table.at(segment);
  free_bytes += s.slots * kSlotBytes;
  store_release(s.header()->slots, 0);
  s.slots = 0;
  s.codecs = 0;
  s.low = kSegmentBytes;
  s.blank = kNoSlot;
}

uint64_t Arena::Impl::reserve_capacity() const {
  uint64_t pages = 0;
  for (uint32_t segment = table.first_reserved(); segment != kNoSegment; segment = table.following(segment)) {
    pages += pages_in_gap(table.at(segment));
  }
  return pages;
}

// A segment whose holes, closed up, make room for a page more: the emptiest ordinary one, else one whose gap is reserved already.
uint32_t Arena::Impl::worth_closing_up() const {
  const uint32_t ordinary = table.emptiest_in_use();
  if (ordinary != kNoSegment && table.at(ordinary).free_bytes() >= kReservedPageBytes) return ordinary;
  uint32_t segment = table.first_reserved();
  while (segment != kNoSegment && table.at(segment).free_bytes() / kReservedPageBytes <= pages_in_gap(table.at(segment)))
    segment = table.following(segment);
  return segment;
}

// Takes the widest gaps out of ordinary use; where none is wide enough, a segment is compacted.
bool Arena::Impl::widen_reserve(uint64_t pages, uint32_t compactions) {
  uint64_t capacity = reserve_capacity();
  while (capacity < pages) {
    uint32_t segment = table.widest_gap();
    if (segment == kNoSegment || pages_in_gap(table.at(segment)) == 0) {
      segment = worth_closing_up();
      if (segment == kNoSegment || spare == nullptr || compactions-- == 0) return false;
      compact(segment);
    }
    table.set_use(segment, SegmentUse::kReserved);
    capacity = reserve_capacity();
  }
  return true;
}

void Arena::Impl::narrow_reserve(uint64_t pages) {
  uint64_t capacity = reserve_capacity();
  for (uint32_t segment = table.first_reserved(); segment != kNoSegment;) {
    const uint32_t following = table.following(segment);
    if (const uint64_t own = pages_in_gap(table.at(segment)); capacity - own >= pages) {
      table.set_use(segment, SegmentUse::kOrdinary);
      capacity -= own;
    }
    segment = following;
  }
}

bool Arena::Impl::reserve_pages(uint64_t pages, uint32_t compactions) {
  const bool kept = widen_reserve(pages, compactions);
  if (kept) reserved_pages = pages;
  narrow_reserve(reserved_pages);
  return kept;
}

uint32_t Arena::segments() const { return impl_->segments; }
uint32_t Arena::segments_empty() const { return impl_->table.empty_count(); }
bool Arena::add_segment() { return impl_->add_segment(); }
bool Arena::reserve_pages(uint64_t pages, uint32_t compactions) { return impl_->reserve_pages(pages, compactions); }
uint64_t Arena::reserved_pages() const { return impl_->reserved_pages; }

Result<uint32_t> Arena::retire_begin() {
  const uint32_t segment = impl_->table.emptiest();
  if (segment == kNoSegment) return Status::kNoSpace;
  impl_->forget_holes(segment);
  const Segment& s = impl_->table.at(segment);
  for (uint32_t i = 0; i < s.slots; ++i) {
    const Place place = s.directory()[i].place;
    if (place_codec(place) == Codec::kDead && hole_extent(place) != 0) impl_->make_blank(segment, i);
  }
  impl_->table.set_use(segment, SegmentUse::kRetiring);
  return segment;
}

RecordRef Arena::retire_next(uint32_t segment) const {
  if (!impl_->table.present(segment)) return {};
  const Segment& s = impl_->table.at(segment);
  for (uint32_t i = 0; i < s.slots; ++i) {
    if (place_codec(s.directory()[i].place) != Codec::kDead) return RecordRef::make(segment, i);
  }
  return {};
}

void Arena::retire_end(uint32_t segment) {
  if (!impl_->table.present(segment)) return;
  const Segment& s = impl_->table.at(segment);
  if (s.use != SegmentUse::kRetiring || s.live != 0) return;
  std::byte* bytes = s.bytes;
  impl_->free_bytes -= s.free_bytes();
  impl_->table.leave(segment);
  --impl_->segments;
  impl_->discard(bytes);
}

// Its holes were made blank by retire_begin(): their space comes back when the segment is compacted.
void Arena::retire_cancel(uint32_t segment) {
  if (!impl_->table.present(segment) || impl_->table.at(segment).use != SegmentUse::kRetiring) return;
  impl_->table.set_use(segment, SegmentUse::kOrdinary);
  if (impl_->table.at(segment).live == 0) {
    impl_->reset(segment);
    impl_->table.relist(segment);
  }
}

uint64_t Arena::arena_bytes() const { return (uint64_t{impl_->segments} + (impl_->spare != nullptr)) * kSegmentBytes; }

uint64_t Arena::overhead_bytes() const {
  const uint64_t bitmap_bytes = impl_->memory.segments_max() / 8;
  return sizeof(Impl) - sizeof(SegmentTable) + impl_->table.overhead_bytes() + kArenaBitmapOffset + bitmap_bytes;
}

}  // namespace tmem
