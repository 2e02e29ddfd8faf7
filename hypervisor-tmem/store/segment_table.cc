// SPDX-License-Identifier: MIT
#include "store/segment_table.h"

#include <bit>

namespace tmem {

uint32_t ListBits::at_least(uint32_t list) const {
  uint32_t word = list / 64;
  if (word >= word_.size()) return kNone;
  const uint64_t here = word_[word] & ~uint64_t{0} << (list % 64);
  if (here != 0) return word * 64 + static_cast<uint32_t>(std::countr_zero(here));
  const uint64_t above = word == 63 ? 0 : summary_ & ~uint64_t{0} << (word + 1);
  if (above == 0) return kNone;
  word = static_cast<uint32_t>(std::countr_zero(above));
  return word * 64 + static_cast<uint32_t>(std::countr_zero(word_[word]));
}

uint32_t ListBits::at_most(uint32_t list) const {
  uint32_t word = list / 64;
  const uint64_t here = word_[word] & ~uint64_t{0} >> (63 - list % 64);
  if (here != 0) return word * 64 + 63 - static_cast<uint32_t>(std::countl_zero(here));
  const uint64_t below = summary_ & (bit(word) - 1);
  if (below == 0) return kNone;
  word = 63 - static_cast<uint32_t>(std::countl_zero(below));
  return word * 64 + 63 - static_cast<uint32_t>(std::countl_zero(word_[word]));
}

SegmentTable::SegmentTable(SegmentMemory& memory) : memory_(memory) {
  free_head_.fill(kNoSegment);
  gap_head_.fill(kNoSegment);
}

SegmentTable::~SegmentTable() {
  for (Segment* chunk : chunk_) {
    if (chunk != nullptr) memory_.release_block(chunk, kChunk * sizeof(Segment));
  }
}

bool SegmentTable::reach(uint32_t segment) {
  if (segment >= kSegmentsMax) return false;
  Segment*& chunk = chunk_[segment / kChunk];
  if (chunk != nullptr) return true;
  void* block = memory_.allocate_block(kChunk * sizeof(Segment));
  if (block == nullptr) return false;
  chunk = static_cast<Segment*>(block);
  for (uint32_t i = 0; i < kChunk; ++i) new (chunk + i) Segment;
  ++chunks_;
  return true;
}

uint32_t SegmentTable::lowest_absent() {
  while (present(full_below_)) ++full_below_;
  return full_below_;
}

uint16_t SegmentTable::free_list(const Segment& segment) {
  switch (segment.use) {
    case SegmentUse::kOrdinary:
      return segment.live == 0 ? kEmptyList : static_cast<uint16_t>(segment.free_bytes() / kFreeWidth);
    case SegmentUse::kReserved:
      return kReservedList;
    default:
      return kNoList;
  }
}

uint16_t SegmentTable::gap_list(const Segment& segment) {
  if (segment.use != SegmentUse::kOrdinary || segment.live == 0) return kNoList;
  const uint32_t list = segment.gap_room() / static_cast<uint32_t>(kRecordAlignBytes);
  return list == 0 ? kNoList : static_cast<uint16_t>(list < kGapLists ? list : kGapLists - 1);
}

uint32_t& SegmentTable::free_head(uint16_t list) {
  if (list == kEmptyList) return empty_;
  if (list == kReservedList) return reserved_;
  return free_head_[list];
}

void SegmentTable::link_free(uint32_t segment, uint16_t list) {
  Segment& s = at(segment);
  s.listed_free = list;
  if (list == kNoList) return;
  uint32_t& head = free_head(list);
  s.free_prev = kNoSegment;
  s.free_next = head;
  if (head != kNoSegment) at(head).free_prev = segment;
  head = segment;
  empty_count_ += list == kEmptyList;
  if (list < kFreeLists) free_bits_.set(list);
}

void SegmentTable::unlink_free(uint32_t segment) {
  Segment& s = at(segment);
  const uint16_t list = s.listed_free;
  s.listed_free = kNoList;
  if (list == kNoList) return;
  empty_count_ -= list == kEmptyList;
  if (s.free_next != kNoSegment) at(s.free_next).free_prev = s.free_prev;
  if (s.free_prev != kNoSegment) {
    at(s.free_prev).free_next = s.free_next;
  } else {
    free_head(list) = s.free_next;
    if (list < kFreeLists && s.free_next == kNoSegment) free_bits_.clear(list);
  }
}

void SegmentTable::link_gap(uint32_t segment, uint16_t list) {
  Segment& s = at(segment);
  s.listed_gap = list;
  if (list == kNoList) return;
  s.gap_prev = kNoSegment;
  s.gap_next = gap_head_[list];
  if (s.gap_next != kNoSegment) at(s.gap_next).gap_prev = segment;
  gap_head_[list] = segment;
  gap_bits_.set(list);
}

void SegmentTable::unlink_gap(uint32_t segment) {
  Segment& s = at(segment);
  const uint16_t list = s.listed_gap;
  s.listed_gap = kNoList;
  if (list == kNoList) return;
  if (s.gap_next != kNoSegment) at(s.gap_next).gap_prev = s.gap_prev;
  if (s.gap_prev != kNoSegment) {
    at(s.gap_prev).gap_next = s.gap_next;
  } else {
    gap_head_[list] = s.gap_next;
    if (s.gap_next == kNoSegment) gap_bits_.clear(list);
  }
}

void SegmentTable::enter(uint32_t segment, SegmentUse use) {
  Segment& s = at(segment);
  s.use = use;
  link_free(segment, free_list(s));
  link_gap(segment, gap_list(s));
  if (segment >= end_) end_ = segment + 1;
}

void SegmentTable::leave(uint32_t segment) {
  unlink_free(segment);
  unlink_gap(segment);
  at(segment) = Segment{};
  if (segment < full_below_) full_below_ = segment;
  while (end_ > 0 && !present(end_ - 1)) --end_;
}

void SegmentTable::set_use(uint32_t segment, SegmentUse use) {
  at(segment).use = use;
  relist(segment);
}

void SegmentTable::relist(uint32_t segment) {
  const Segment& s = at(segment);
  if (const uint16_t list = free_list(s); list != s.listed_free) {
    unlink_free(segment);
    link_free(segment, list);
  }
  if (const uint16_t list = gap_list(s); list != s.listed_gap) {
    unlink_gap(segment);
    link_gap(segment, list);
  }
}

uint32_t SegmentTable::emptiest() const { return empty_ != kNoSegment ? empty_ : emptiest_in_use(); }

uint32_t SegmentTable::emptiest_in_use() const {
  const uint32_t list = free_bits_.greatest();
  return list == ListBits::kNone ? kNoSegment : free_head_[list];
}

uint32_t SegmentTable::next_fuller(uint32_t segment) const {
  const Segment& s = at(segment);
  if (s.free_next != kNoSegment || s.listed_free == 0) return s.free_next;
  const uint32_t list = free_bits_.at_most(s.listed_free - 1u);
  return list == ListBits::kNone ? kNoSegment : free_head_[list];
}

uint32_t SegmentTable::gap_for(uint32_t extent) const {
  const uint32_t list = gap_bits_.at_least(extent / static_cast<uint32_t>(kRecordAlignBytes));
  return list == ListBits::kNone ? empty_ : gap_head_[list];
}

uint32_t SegmentTable::widest_gap() const {
  if (empty_ != kNoSegment) return empty_;
  const uint32_t list = gap_bits_.greatest();
  return list == ListBits::kNone ? kNoSegment : gap_head_[list];
}

}  // namespace tmem
