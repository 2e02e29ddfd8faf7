// SPDX-License-Identifier: MIT
#include "store/recovery.h"

#include <bit>
#include <cstring>

#include "store/arena.h"
#include "store/cpu/kernels.h"

namespace tmem {

static_assert(std::endian::native == std::endian::little, "the arena's bytes are little endian");

uint32_t record_checksum(RecordKey key, Codec codec, std::span<const std::byte> payload) {
  // The payload's hash is mixed with all that place and key say, and stirred once more: a flip in any of them shows.
  uint64_t hash = cpu::best().hash64(payload.data(), payload.size());
  hash ^= (uint64_t{key.object} << 32 | key.index) * 0x9e3779b97f4a7c15;
  hash = (hash ^ hash >> 29) * 0xbf58476d1ce4e5b9;
  hash += uint64_t{payload.size()} << 8 | static_cast<uint64_t>(codec);
  hash = (hash ^ hash >> 32) * 0x94d049bb133111eb;
  return static_cast<uint32_t>(hash ^ hash >> 32);
}

uint64_t arena_header_checksum(const ArenaHeader& header) {
  return cpu::best().hash64(&header, offsetof(ArenaHeader, checksum));
}

HeaderState read_arena_header(const std::byte* base, ArenaHeader* header) {
  std::memcpy(header, base, sizeof(*header));
  if (header->magic == 0) return HeaderState::kNone;
  const bool ours = header->magic == kArenaMagic && header->version == kArenaVersion &&
                    header->segment_bytes == kSegmentBytes && header->segments_max <= kSegmentsMax &&
                    header->checksum == arena_header_checksum(*header);
  return ours ? HeaderState::kArena : HeaderState::kForeign;
}

SegmentState read_segment_header(const std::byte* segment, SegmentHeader* header) {
  std::memcpy(header, segment, sizeof(*header));
  if (header->magic == 0 && header->generation == 0) return SegmentState::kBlank;
  const bool whole = header->magic == kSegmentMagic && header->generation != 0 && header->logical < kSegmentsMax &&
                     header->check == segment_check(header->logical, header->generation) &&
                     sizeof(SegmentHeader) + uint64_t{header->slots} * sizeof(Slot) <= kSegmentBytes &&
                     header->slots < kSlotsPerSegmentMax;
  return whole ? SegmentState::kSegment : SegmentState::kDamaged;
}

bool OccupiedMap::mark(uint32_t offset, uint32_t extent) {
  constexpr uint32_t align = static_cast<uint32_t>(kRecordAlignBytes);
  uint32_t unit = offset / align;
  const uint32_t end = (offset + extent) / align;
  uint64_t seen = 0;
  while (unit < end) {
    const uint32_t bit = unit % 64;
    const uint32_t count = end - unit < 64 - bit ? end - unit : 64 - bit;
    const uint64_t mask = (count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1) << bit;
    seen |= word_[unit / 64] & mask;
    word_[unit / 64] |= mask;
    unit += count;
  }
  return seen == 0;
}

uint32_t OccupiedMap::next(uint32_t unit, bool value) const {
  while (unit < kUnits) {
    const uint64_t word = value ? word_[unit / 64] : ~word_[unit / 64];
    const uint64_t rest = word >> (unit % 64);
    if (rest != 0) return unit + static_cast<uint32_t>(std::countr_zero(rest));
    unit = (unit / 64 + 1) * 64;
  }
  return kUnits;
}

bool OccupiedMap::next_free(uint32_t unit, uint32_t* begin, uint32_t* end) const {
  *begin = next(unit, false);
  *end = next(*begin, true);
  return *begin < kUnits;
}

SlotState judge_slot(const Slot& slot, uint32_t directory_end) {
  const Codec codec = place_codec(slot.place);
  if (codec == Codec::kDead) return SlotState::kDead;
  if (static_cast<uint8_t>(codec) > kCodecMax) return SlotState::kUnknown;
  const uint32_t offset = place_offset(slot.place);
  if (offset < directory_end || offset + record_extent(place_size(slot.place)) > kSegmentBytes) return SlotState::kTorn;
  return SlotState::kLive;
}

bool payload_matches(const std::byte* segment, const Slot& slot) {
  const std::span payload(segment + place_offset(slot.place), place_size(slot.place));
  const uint64_t generation = reinterpret_cast<const SegmentHeader*>(segment)->generation;
  return (record_checksum(slot.key, place_codec(slot.place), payload) ^ generation_salt(generation)) == slot.checksum;
}

namespace {

// Goes over the directory once. False: two records overlap, and verify was not asked for.
bool judge_slots(const std::byte* segment, bool verify, SlotVerdicts* verdicts) {
  const auto* directory = reinterpret_cast<const Slot*>(segment + sizeof(SegmentHeader));
  const auto directory_end = static_cast<uint32_t>(sizeof(SegmentHeader) + verdicts->slots * sizeof(Slot));
  verdicts->occupied.mark(0, directory_end);
  // From the end: payloads grow down, so that this reads most of them upwards.
  for (uint32_t i = verdicts->slots; i-- > 0;) {
    const Slot& slot = directory[i];
    SlotState state = judge_slot(slot, directory_end);
    if (state == SlotState::kLive && verify && !payload_matches(segment, slot)) state = SlotState::kTorn;
    if (state == SlotState::kLive) {
      const uint32_t offset = place_offset(slot.place);
      const uint32_t extent = record_extent(place_size(slot.place));
      if (!verdicts->occupied.mark(offset, extent)) {
        if (!verify) return false;
        state = SlotState::kTorn;
      } else {
        verdicts->keep.set(i);
        ++verdicts->live;
        verdicts->codecs |= codec_bit(place_codec(slot.place));
        verdicts->live_bytes += extent;
        verdicts->payload_bytes += place_size(slot.place);
        if (offset < verdicts->low) verdicts->low = offset;
      }
    }
    verdicts->torn += state == SlotState::kTorn;
    verdicts->unknown += state == SlotState::kUnknown;
  }
  return true;
}

}  // namespace

void judge_segment(const std::byte* segment, bool verify, SlotVerdicts* verdicts) {
  SegmentHeader header;
  std::memcpy(&header, segment, sizeof(header));
  for (;;) {
    *verdicts = SlotVerdicts{};
    verdicts->slots = header.slots;
    if (judge_slots(segment, verify, verdicts)) return;
    verify = true;
  }
}

}  // namespace tmem
