// SPDX-License-Identifier: MIT
#include "inspect.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>

#include "contents.h"

namespace tmem::inspect {

// The two checksums of the format, written down a second time.
uint64_t header_checksum(const ArenaHeader& header) { return XXH3_64bits(&header, offsetof(ArenaHeader, checksum)); }

uint32_t slot_checksum(const Slot& slot, std::span<const std::byte> payload, uint64_t generation) {
  uint64_t mixed = XXH3_64bits(payload.data(), payload.size());
  mixed ^= ((uint64_t{slot.key.object} << 32) | slot.key.index) * 0x9e3779b97f4a7c15u;
  mixed = (mixed ^ (mixed >> 29)) * 0xbf58476d1ce4e5b9u;
  mixed += (uint64_t{place_size(slot.place)} << 8) | (slot.place & 0xf);
  mixed = (mixed ^ (mixed >> 32)) * 0x94d049bb133111ebu;
  const uint64_t life = (generation ^ (generation >> 32)) * 0xd6e8feb86659fd93u;
  return static_cast<uint32_t>(mixed ^ (mixed >> 32)) ^ static_cast<uint32_t>(life >> 32);
}

namespace {

uint64_t segment_offset(uint32_t physical) { return (uint64_t{physical} + 1) * kSegmentBytes; }

HeaderState judge_header(const ArenaBytes& bytes, ArenaHeader& header) {
  std::byte raw[sizeof(ArenaHeader)];
  bytes.read(0, raw);
  std::memcpy(&header, raw, sizeof header);
  if (header.magic == 0) return HeaderState::kNone;
  if (header.magic != kArenaMagic) return HeaderState::kNotAnArena;
  if (header.version != kArenaVersion) return HeaderState::kOtherVersion;
  if (header.checksum != header_checksum(header)) return HeaderState::kDamaged;
  if (header.segment_bytes != kSegmentBytes || header.segments_max > kSegmentsMax) return HeaderState::kOtherGeometry;
  return HeaderState::kArena;
}

// Numbers of the committed segments.
std::vector<uint32_t> committed(const ArenaBytes& bytes) {
  std::vector<std::byte> bitmap(kSegmentsMax / 8);
  bytes.read(kArenaBitmapOffset, bitmap);
  std::vector<uint32_t> segments;
  for (uint32_t i = 0; i < kSegmentsMax; i++)
    if ((bitmap[i / 8] >> (i % 8) & std::byte{1}) != std::byte{0}) segments.push_back(i);
  return segments;
}

bool blank(const SegmentHeader& header) { return header.magic == 0 && header.generation == 0; }

bool whole(const SegmentHeader& header) {
  return header.magic == kSegmentMagic && header.generation != 0 && header.logical < kSegmentsMax &&
         header.check == segment_check(header.logical, header.generation) && header.slots < kSlotsPerSegmentMax &&
         sizeof(SegmentHeader) + size_t{header.slots} * sizeof(Slot) <= kSegmentBytes;
}

SegmentHeader segment_header(const ArenaBytes& bytes, uint32_t physical) {
  std::byte raw[sizeof(SegmentHeader)];
  bytes.read(segment_offset(physical), raw);
  SegmentHeader header;
  std::memcpy(&header, raw, sizeof header);
  return header;
}

struct Copy {
  uint32_t physical;
  SegmentHeader header;
};

// Of each logical number the copy with the greatest generation. Counts into report what is not one, when there is a report.
std::map<uint32_t, Copy> choose_copies(const ArenaBytes& bytes, Report* report) {
  std::map<uint32_t, Copy> copies;
  for (uint32_t physical : committed(bytes)) {
    SegmentHeader header = segment_header(bytes, physical);
    if (report && segment_offset(physical) + kSegmentBytes > bytes.size()) {
      report->damages.push_back({Damage::Kind::kShortFile, physical, std::nullopt});
      report->segments_damaged++;
    } else if (blank(header)) {
      if (report) report->segments_blank++;
    } else if (!whole(header)) {
      if (report) report->damages.push_back({Damage::Kind::kSegmentHeader, physical, std::nullopt});
      if (report) report->segments_damaged++;
    } else {
      auto [at, fresh] = copies.try_emplace(header.logical, Copy{physical, header});
      if (fresh) continue;
      if (report) report->segments_superseded++;
      if (header.generation > at->second.header.generation) at->second = {physical, header};
    }
  }
  return copies;
}

bool size_possible(Codec codec, uint32_t size) {
  switch (codec) {
    case Codec::kRaw: return size == kPageBytes;
    case Codec::kLz4: return size > 0 && size < kPageBytes;
    case Codec::kSameFilled: return size == sizeof(uint64_t);
    case Codec::kReference: return size == sizeof(uint32_t);
    case Codec::kContent: return size > 0 && size <= kPageBytes;
    default: return true;
  }
}

bool inside(const Slot& slot, uint32_t slots) {
  const uint32_t directory_end = static_cast<uint32_t>(sizeof(SegmentHeader) + slots * sizeof(Slot));
  return place_offset(slot.place) >= directory_end && place_offset(slot.place) + record_extent(place_size(slot.place)) <= kSegmentBytes;
}

// One segment, its bytes, and what was found in it.
class SegmentReader {
 public:
  SegmentReader(Report& report, Contents& contents) : report_(report), contents_(contents), segment_(kSegmentBytes), taken_(kSegmentBytes / kRecordAlignBytes) {}

  void read(const ArenaBytes& bytes, const Copy& copy) {
    bytes.read(segment_offset(copy.physical), segment_);
    std::fill(taken_.begin(), taken_.end(), false);
    logical_ = copy.header.logical;
    slots_ = copy.header.slots;
    generation_ = copy.header.generation;
    report_.segments++;
    const uint64_t directory = sizeof(SegmentHeader) + uint64_t{slots_} * sizeof(Slot);
    uint64_t used = directory;
    for (uint32_t i = 0; i < slots_; i++) used += judge(i);
    report_.space.directory_bytes += directory;
    report_.space.free_bytes += kSegmentBytes - std::min<uint64_t>(used, kSegmentBytes);
  }

 private:
  void damage(Damage::Kind kind, uint32_t slot) { report_.damages.push_back({kind, logical_, slot}); }

  // Bytes that the record takes; 0: it is none.
  uint32_t judge(uint32_t index) {
    Slot slot;
    std::memcpy(&slot, segment_.data() + sizeof(SegmentHeader) + index * sizeof(Slot), sizeof slot);
    const Codec codec = place_codec(slot.place);
    const uint32_t size = place_size(slot.place), offset = place_offset(slot.place);
    if (codec == Codec::kDead) return report_.slots_dead++, 0;
    report_.slots_live++;
    if (static_cast<uint8_t>(codec) > kCodecMax) return damage(Damage::Kind::kUnknownCodec, index), 0;
    if (!inside(slot, slots_) || !size_possible(codec, size)) return damage(Damage::Kind::kGeometry, index), 0;
    const std::span<const std::byte> payload(segment_.data() + offset, size);
    if (slot_checksum(slot, payload, generation_) != slot.checksum) return damage(Damage::Kind::kChecksum, index), 0;
    if (!take(offset, record_extent(size))) return damage(Damage::Kind::kOverlap, index), 0;
    if (!contents_.add(slot, payload)) damage(Damage::Kind::kMeta, index);
    CodecCount& count = report_.codecs[codec];
    count.records++;
    count.payload_bytes += size;
    report_.space.payload_bytes += size;
    report_.space.padding_bytes += record_extent(size) - size;
    return record_extent(size);
  }

  bool take(uint32_t offset, uint32_t extent) {
    auto begin = taken_.begin() + offset / kRecordAlignBytes, end = begin + extent / kRecordAlignBytes;
    if (std::find(begin, end, true) != end) return false;
    std::fill(begin, end, true);
    return true;
  }

  Report& report_;
  Contents& contents_;
  std::vector<std::byte> segment_;
  std::vector<bool> taken_;  // by units of 8 bytes
  uint32_t logical_ = 0, slots_ = 0;
  uint64_t generation_ = 0;
};

}  // namespace

Report inspect(const std::string& path, const ArenaBytes& bytes) {
  Report report;
  report.path = path;
  report.space.file_bytes = bytes.size();
  report.header_state = judge_header(bytes, report.header);
  if (report.header_state != HeaderState::kArena) return report;
  if (bytes.size() < kSegmentBytes) report.damages.push_back({Damage::Kind::kShortFile, std::nullopt, std::nullopt});
  Contents contents;
  SegmentReader reader(report, contents);
  for (const auto& [logical, copy] : choose_copies(bytes, &report)) reader.read(bytes, copy);
  const uint64_t empty = report.segments_blank + report.segments_superseded + report.segments_damaged;
  report.space.blank_bytes = empty * kSegmentBytes;
  report.space.segment_bytes = (report.segments + empty + 1) * kSegmentBytes;
  contents.finish(report);
  return report;
}

Record read_record(const ArenaBytes& bytes, uint32_t segment, uint32_t slot) {
  Record record;
  ArenaHeader header;
  if (judge_header(bytes, header) != HeaderState::kArena) return record;
  std::map<uint32_t, Copy> copies = choose_copies(bytes, nullptr);
  auto copy = copies.find(segment);
  if (copy == copies.end() || slot >= copy->second.header.slots) return record;
  record.found = true;
  const uint64_t base = segment_offset(copy->second.physical);
  record.file_offset = base + sizeof(SegmentHeader) + uint64_t{slot} * sizeof(Slot);
  std::byte raw[sizeof(Slot)];
  bytes.read(record.file_offset, raw);
  std::memcpy(&record.slot, raw, sizeof(Slot));
  if (place_codec(record.slot.place) == Codec::kDead || !inside(record.slot, copy->second.header.slots)) return record;
  record.payload.resize(place_size(record.slot.place));
  bytes.read(base + place_offset(record.slot.place), record.payload);
  record.checksum_right = slot_checksum(record.slot, record.payload, copy->second.header.generation) == record.slot.checksum;
  return record;
}

const char* to_string(Damage::Kind kind) {
  switch (kind) {
    case Damage::Kind::kShortFile: return "the file ends too early";
    case Damage::Kind::kSegmentHeader: return "the segment's header is damaged";
    case Damage::Kind::kUnknownCodec: return "unknown codec";
    case Damage::Kind::kGeometry: return "impossible place or size";
    case Damage::Kind::kOverlap: return "overlaps another record";
    case Damage::Kind::kChecksum: return "wrong checksum";
    case Damage::Kind::kMeta: return "meta record of unknown kind or size";
    case Damage::Kind::kReference: return "shared content that pages name is missing";
  }
  return "";
}

const char* to_string(HeaderState state) {
  switch (state) {
    case HeaderState::kNone: return "blank: nothing was ever stored";
    case HeaderState::kArena: return "arena";
    case HeaderState::kNotAnArena: return "not an arena";
    case HeaderState::kOtherVersion: return "an arena of another version";
    case HeaderState::kOtherGeometry: return "an arena of another geometry";
    case HeaderState::kDamaged: return "an arena whose header is damaged";
  }
  return "";
}

}  // namespace tmem::inspect
