// SPDX-License-Identifier: MIT
// Records: find room, seal, kill, walk. The way of a put ends in insert().
#include "store/arena.h"

#include <cstring>

#include "store/arena_impl.h"
#include "store/recovery.h"
#include "tmem/failpoint.h"

namespace tmem {
namespace {

// A rest smaller than this is left to the record's segment until it is compacted: hardly a record would fit, and a slot for it
// costs 16 bytes.
constexpr uint32_t kRestBytesMin = 64;

}  // namespace

bool Arena::Impl::ordinary_room(uint32_t extent) const {
  return !holes.best_fit(extent).none() || table.gap_for(extent) != kNoSegment;
}

uint32_t Arena::Impl::reserved_room(uint32_t extent) const {
  uint32_t fits = kNoSegment;
  const uint32_t need = extent + kSlotBytes;
  for (uint32_t segment = table.first_reserved(); segment != kNoSegment; segment = table.following(segment)) {
    const uint32_t gap = table.at(segment).gap();
    if (gap < need) continue;
    if (gap % kReservedPageBytes >= need) return segment;  // costs no page's room
    fits = segment;
  }
  return fits;
}

Status Arena::Impl::reserve(uint32_t extent, uint32_t compactions, bool credit) {
  credited = credit;
  if (ordinary_room(extent)) return Status::kOk;
  // If the emptiest segment cannot take it closed up, no other can.
  const uint32_t emptiest = table.emptiest_in_use();
  if (compactions > 0 && emptiest != kNoSegment && spare != nullptr) {
    if (table.at(emptiest).free_bytes() >= extent + kSlotBytes) {
      compact(emptiest);
      if (ordinary_room(extent)) return Status::kOk;
    }
  }
  return credit && reserved_room(extent) != kNoSegment ? Status::kOk : Status::kNoSpace;
}

// The tighter of the best hole and the best gap, so that wide room stays wide.
RecordRef Arena::Impl::take(uint32_t extent) {
  const RecordRef hole = holes.best_fit(extent);
  const uint32_t gap = table.gap_for(extent);
  if (!hole.none() && (gap == kNoSegment || hole_extent(slot(hole).place) <= table.at(gap).gap_room())) {
    return take_hole(hole, extent);
  }
  if (gap != kNoSegment) return take_gap(gap, extent);
  if (!credited) return {};
  const uint32_t reserved = reserved_room(extent);
  return reserved == kNoSegment ? RecordRef{} : take_gap(reserved, extent);
}

RecordRef Arena::Impl::take_hole(RecordRef hole, uint32_t extent) {
  holes.remove(hole);
  Slot& taken = slot(hole);
  const uint32_t offset = place_offset(taken.place);
  const uint32_t rest = hole_extent(taken.place) - extent;
  taken.place = make_hole(offset, extent);
  if (rest >= kRestBytesMin) keep_rest(hole.segment(), offset + extent, rest);
  return hole;
}

// The rest of a hole gets a slot: a blank one, or a new one if the gap is not kept for others.
void Arena::Impl::keep_rest(uint32_t segment, uint32_t offset, uint32_t rest) {
  Segment& s = table.at(segment);
  uint32_t index = s.blank;
  if (index != kNoSlot) {
    s.blank = static_cast<uint16_t>(s.directory()[index].key.index);
    s.directory()[index].place = make_hole(offset, rest);
  } else {
    if (s.gap() < kSlotBytes || s.use == SegmentUse::kReserved) return;
    index = s.slots;
    s.directory()[index] = {.place = make_hole(offset, rest), .key = {}, .checksum = 0};
    store_release(s.header()->slots, ++s.slots);
    free_bytes -= kSlotBytes;
  }
  holes.add(RecordRef::make(segment, index));
}

RecordRef Arena::Impl::take_gap(uint32_t segment, uint32_t extent) {
  Segment& s = table.at(segment);
  uint32_t index = s.blank;
  s.low -= extent;
  if (index != kNoSlot) {
    s.blank = static_cast<uint16_t>(s.directory()[index].key.index);
    s.directory()[index].place = make_hole(s.low, extent);
  } else {
    index = s.slots;
    s.directory()[index] = {.place = make_hole(s.low, extent), .key = {}, .checksum = 0};
    store_release(s.header()->slots, ++s.slots);
    free_bytes -= kSlotBytes;
  }
  return RecordRef::make(segment, index);
}

void Arena::Impl::seal(RecordRef ref, RecordKey key, Codec codec, std::span<const std::byte> payload, uint32_t checksum) {
  Segment& s = table.at(ref.segment());
  Slot& sealed = s.directory()[ref.slot()];
  const uint32_t offset = place_offset(sealed.place);
  const auto size = static_cast<uint32_t>(payload.size());
  if (size != 0) std::memmove(s.bytes + offset, payload.data(), size);
  sealed.key = key;
  sealed.checksum = checksum ^ s.salt;
  failpoint("record-written");
  store_release(sealed.place, make_place(offset, size, codec));
  const uint32_t extent = record_extent(size);
  s.live_bytes += extent;
  ++s.live;
  s.codecs |= codec_bit(codec);
  free_bytes -= extent;
  live_bytes += size;
  table.relist(ref.segment());
}

void Arena::Impl::make_blank(uint32_t segment, uint32_t index) {
  Segment& s = table.at(segment);
  s.directory()[index] = {.place = 0, .key = {.object = RecordRef::kNone, .index = s.blank}, .checksum = 0};
  s.blank = static_cast<uint16_t>(index);
}

void Arena::Impl::kill(RecordRef ref) {
  Segment& s = table.at(ref.segment());
  Slot& dead = s.directory()[ref.slot()];
  const uint32_t offset = place_offset(dead.place);
  const uint32_t size = place_size(dead.place);
  const uint32_t extent = record_extent(size);
  store_release(dead.place, make_hole(offset, extent));
  dead.checksum = 0;
  s.live_bytes -= extent;
  --s.live;
  free_bytes += extent;
  live_bytes -= size;
  if (s.use == SegmentUse::kRetiring) {
    make_blank(ref.segment(), ref.slot());
  } else if (s.live == 0) {
    dead.place = 0;  // not listed yet, so not to be taken off a list
    reset(ref.segment());
  } else if (offset == s.low) {
    s.low += extent;
    make_blank(ref.segment(), ref.slot());
  } else {
    holes.add(ref);
  }
  table.relist(ref.segment());
}

Arena::Arena(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Arena::~Arena() = default;

Status Arena::reserve(size_t payload_bytes, uint32_t compactions, bool credit) {
  if (payload_bytes > kPayloadBytesMax) return Status::kNoSpace;
  return impl_->reserve(record_extent(static_cast<uint32_t>(payload_bytes)), compactions, credit);
}

RecordRef Arena::insert(RecordKey key, Codec codec, std::span<const std::byte> payload) {
  if (payload.size() > kPayloadBytesMax || codec == Codec::kDead) return {};
  const RecordRef ref = impl_->take(record_extent(static_cast<uint32_t>(payload.size())));
  impl_->credited = false;
  if (ref.none()) return ref;
  // The record's place was last touched long ago: its lines come while the checksum is computed.
  std::byte* place = impl_->table.at(ref.segment()).bytes + place_offset(impl_->slot(ref).place);
  for (size_t at = 0; at < payload.size(); at += 64) __builtin_prefetch(place + at, 1);
  impl_->seal(ref, key, codec, payload, record_checksum(key, codec, payload));
  return ref;
}

void Arena::kill(RecordRef record) {
  const Slot* found = impl_->find(record);
  if (found != nullptr && place_codec(found->place) != Codec::kDead) impl_->kill(record);
}

RecordRef Arena::move(RecordRef record) {
  const RecordView old = view(record);
  if (old.codec == Codec::kDead) return {};
  const RecordRef ref = impl_->take(record_extent(static_cast<uint32_t>(old.payload.size())));
  impl_->credited = false;
  if (ref.none()) return ref;
  impl_->seal(ref, old.key, old.codec, old.payload, old.checksum);  // a damaged record stays one
  impl_->kill(record);
  return ref;
}

RecordView Arena::view(RecordRef record) const {
  const Slot* found = impl_->find(record);
  if (found == nullptr || place_codec(found->place) == Codec::kDead) return {};
  const Segment& s = impl_->table.at(record.segment());
  const std::byte* payload = s.bytes + place_offset(found->place);
  return {found->key, place_codec(found->place), {payload, place_size(found->place)}, found->checksum ^ s.salt};
}

bool Arena::verify(RecordRef record) const {
  const RecordView seen = view(record);
  return seen.codec != Codec::kDead && record_checksum(seen.key, seen.codec, seen.payload) == seen.checksum;
}

void Arena::prefetch(RecordRef record) const {
  if (const Slot* found = impl_->find(record); found != nullptr) __builtin_prefetch(found);
}

void Arena::prefetch_payload(RecordRef record) const {
  const RecordView seen = view(record);
  for (size_t at = 0; at < seen.payload.size(); at += 64) __builtin_prefetch(seen.payload.data() + at);
}

RecordRef Arena::first() const {
  const RecordRef start = RecordRef::make(0, 0);
  return view(start).codec != Codec::kDead ? start : next(start);
}

RecordRef Arena::next(RecordRef record) const {
  const SegmentTable& table = impl_->table;
  uint32_t index = record.slot() + 1;
  for (uint32_t segment = record.segment(); segment < table.end(); ++segment, index = 0) {
    if (!table.present(segment)) continue;
    const Segment& s = table.at(segment);
    for (; index < s.slots; ++index) {
      if (place_codec(s.directory()[index].place) != Codec::kDead) return RecordRef::make(segment, index);
    }
  }
  return {};
}

size_t Arena::summarise(RecordRef& at, CodecSet codecs, std::span<RecordSummary> out) const {
  const SegmentTable& table = impl_->table;
  const auto wanted = [&](uint32_t segment) { return table.present(segment) && (table.at(segment).codecs & codecs) != 0; };
  size_t count = 0;
  uint32_t index = at.slot();
  for (uint32_t segment = at.segment(); segment < table.end(); ++segment, index = 0) {
    if (!wanted(segment)) continue;
    if (index == 0 && wanted(segment + 1)) prefetch_directory(table.at(segment + 1).bytes);
    const Slot* directory = table.at(segment).directory();
    const uint32_t slots = table.at(segment).slots;
    for (; index < slots; ++index) {
      const Slot& slot = directory[index];
      if (place_codec(slot.place) == Codec::kDead || (codec_bit(place_codec(slot.place)) & codecs) == 0) continue;
      if (count == out.size()) {
        at = RecordRef::make(segment, index);
        return count;
      }
      out[count++] = {RecordRef::make(segment, index), slot.key, static_cast<uint16_t>(place_size(slot.place)), place_codec(slot.place)};
    }
  }
  at = RecordRef::make(table.end(), 0);
  return count;
}

uint64_t Arena::live_bytes() const { return impl_->live_bytes; }
uint64_t Arena::free_bytes() const { return impl_->free_bytes; }
uint64_t Arena::segments_compacted() const { return impl_->compacted; }
const RecoveryCounts& Arena::recovered() const { return impl_->counts; }

}  // namespace tmem
