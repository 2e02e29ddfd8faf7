// SPDX-License-Identifier: MIT
// Compaction: live payloads are copied, closed up, into the spare segment, which then takes over the logical number. Slot
// numbers stay, so no reference changes; dead slots at the directory's end are dropped, the others become blank.
//
// Order, for a crash at any point: the copy is complete before its generation is stored; from then on it wins over the
// original; only then is the original wiped.
#include <cstring>

#include "store/arena_impl.h"
#include "tmem/failpoint.h"

namespace tmem {
namespace {

// The copy's directory and payloads. Returns the lowest payload byte.
uint32_t copy_records(const Segment& from, uint32_t slots, std::byte* to, uint32_t salt) {
  auto* directory = reinterpret_cast<Slot*>(to + sizeof(SegmentHeader));
  uint32_t low = kSegmentBytes;
  for (uint32_t i = 0; i < slots; ++i) {
    const Slot& old = from.directory()[i];
    const Codec codec = place_codec(old.place);
    if (codec == Codec::kDead) continue;
    const uint32_t size = place_size(old.place);
    low -= record_extent(size);
    std::memcpy(to + low, from.bytes + place_offset(old.place), size);
    directory[i] = {.place = make_place(low, size, codec), .key = old.key, .checksum = old.checksum ^ from.salt ^ salt};
  }
  return low;
}

// Blank slots are linked lowest first, so that the directory's end comes free again.
uint16_t link_blanks(const Segment& from, uint32_t slots, std::byte* to) {
  auto* directory = reinterpret_cast<Slot*>(to + sizeof(SegmentHeader));
  uint16_t blank = kNoSlot;
  for (uint32_t i = slots; i-- > 0;) {
    if (place_codec(from.directory()[i].place) != Codec::kDead) continue;
    directory[i] = {.place = 0, .key = {.object = RecordRef::kNone, .index = blank}, .checksum = 0};
    blank = static_cast<uint16_t>(i);
  }
  return blank;
}

}  // namespace

void Arena::Impl::compact(uint32_t segment) {
  forget_holes(segment);
  Segment& s = table.at(segment);
  uint32_t slots = s.slots;
  while (slots > 0 && place_codec(s.directory()[slots - 1].place) == Codec::kDead) --slots;

  auto* header = reinterpret_cast<SegmentHeader*>(spare);
  const uint32_t salt = generation_salt(generation + 1);
  const uint32_t low = copy_records(s, slots, spare, salt);
  const uint16_t blank = link_blanks(s, slots, spare);
  header->magic = kSegmentMagic;
  header->logical = segment;
  header->slots = slots;
  header->check = segment_check(segment, generation + 1);
  failpoint("segment-copied");
  store_release(header->generation, ++generation);
  failpoint("segment-taken-over");
  wipe(s.header());

  std::swap(s.bytes, spare);
  free_bytes += (s.slots - slots) * kSlotBytes;
  s.slots = static_cast<uint16_t>(slots);
  s.low = low;
  s.salt = salt;
  s.blank = blank;
  ++compacted;
  table.relist(segment);
}

bool Arena::compact_step(size_t waste_bytes) {
  constexpr uint32_t kLookedAt = 64;
  const SegmentTable& table = impl_->table;
  if (impl_->spare == nullptr) return false;
  // The emptiest ones may be those that are being filled: nothing comes together there.
  uint32_t segment = table.emptiest_in_use();
  for (uint32_t looked = 0; looked < kLookedAt && segment != kNoSegment; ++looked) {
    const Segment& s = table.at(segment);
    if (s.free_bytes() < waste_bytes) return false;
    if (s.free_bytes() - s.gap() >= waste_bytes) {
      impl_->compact(segment);
      return true;
    }
    segment = table.next_fuller(segment);
  }
  return false;
}

}  // namespace tmem
