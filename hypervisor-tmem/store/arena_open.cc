// SPDX-License-Identifier: MIT
// Opening: an arena is made where none was, or the one that lies there is taken up by what recovery.h says of it. Until the
// header proves to be ours nothing is written.
#include <new>

#include "store/arena_impl.h"
#include "store/recovery.h"
#include "tmem/failpoint.h"

namespace tmem {
void Arena::Impl::create() {
  ArenaHeader* made = header();
  std::memset(memory.base() + kArenaBitmapOffset, 0, kSegmentsMax / 8);
  *made = {};
  made->version = kArenaVersion;
  made->segment_bytes = kSegmentBytes;
  made->segments_max = memory.segments_max();
  made->shard = memory.shard();
  made->shards = memory.shards();
  ArenaHeader sealed = *made;
  sealed.magic = kArenaMagic;
  made->checksum = arena_header_checksum(sealed);
  store_release(made->magic, kArenaMagic);
}

Status Arena::Impl::open(bool verify) {
  ArenaHeader found;
  switch (read_arena_header(memory.base(), &found)) {
    case HeaderState::kNone:
      create();
      return Status::kOk;
    case HeaderState::kForeign:
      return Status::kBadArena;
    case HeaderState::kArena:
      break;
  }
  if (found.shard != memory.shard() || found.shards != memory.shards()) return Status::kBadArena;
  if (used_beyond_memory()) return Status::kBadArena;
  failpoint("arena-found");
  return take_up(verify);
}

// Whether segments are committed that this memory does not have.
bool Arena::Impl::used_beyond_memory() const {
  const uint32_t end = memory.segments_max();
  if (end % 64 != 0 && bitmap_word(end) >> (end % 64) != 0) return true;
  for (uint32_t physical = (end + 63) / 64 * 64; physical < kSegmentsMax; physical += 64) {
    if (bitmap_word(physical) != 0) return true;
  }
  return false;
}

Status Arena::Impl::take_up(bool verify) {
  if (const Status status = pick_copies(); status != Status::kOk) return status;
  for (uint32_t segment = 0; segment < table.end(); ++segment) {
    if (!table.present(segment)) continue;
    if (table.present(segment + 1)) prefetch_directory(table.at(segment + 1).bytes);
    adopt(segment, verify);
  }
  return place_blanks();
}

Status Arena::Impl::pick_copies() {
  for (uint32_t physical = 0; physical < memory.segments_max(); ++physical) {
    if (!committed(physical)) continue;
    memory.found_committed(physical);
    std::byte* bytes = physical_bytes(physical);
    SegmentHeader read;
    const SegmentState state = read_segment_header(bytes, &read);
    if (state != SegmentState::kSegment) {
      if (state == SegmentState::kDamaged) ++counts.segments_damaged;
      wipe(reinterpret_cast<SegmentHeader*>(bytes));
      continue;
    }
    if (!table.reach(read.logical)) return Status::kNoSpace;
    Segment& segment = table.at(read.logical);
    if (read.generation > generation) generation = read.generation;
    if (segment.bytes == nullptr) {
      segment.bytes = bytes;
      table.enter(read.logical, SegmentUse::kRetiring);  // listed nowhere until it is adopted
      continue;
    }
    ++counts.segments_superseded;
    if (read.generation > segment.header()->generation) std::swap(segment.bytes, bytes);
    wipe(reinterpret_cast<SegmentHeader*>(bytes));
  }
  return Status::kOk;
}

Status Arena::Impl::place_blanks() {
  for (uint32_t physical = 0; physical < memory.segments_max(); ++physical) {
    if (!committed(physical)) continue;
    std::byte* bytes = physical_bytes(physical);
    if (reinterpret_cast<const SegmentHeader*>(bytes)->generation != 0) continue;
    if (spare == nullptr) {
      spare = bytes;
    } else if (!install(bytes)) {
      return Status::kNoSpace;
    }
  }
  if (spare == nullptr && segments > 0) spare = commit_one();  // refused: no compaction until add_segment() brings one
  return Status::kOk;
}

void Arena::Impl::adopt(uint32_t segment, bool verify) {
  SlotVerdicts verdicts;
  Segment& s = table.at(segment);
  judge_segment(s.bytes, verify, &verdicts);
  s.salt = generation_salt(s.header()->generation);
  s.live_bytes = verdicts.live_bytes;
  s.live = static_cast<uint16_t>(verdicts.live);
  s.codecs = verdicts.codecs;
  s.low = verdicts.low;
  s.slots = static_cast<uint16_t>(verdicts.slots);
  rebuild_slots(segment, verdicts);
  counts.records += verdicts.live;
  counts.skipped_torn += verdicts.torn;
  counts.skipped_unknown += verdicts.unknown;
  live_bytes += verdicts.payload_bytes;
  free_bytes += s.free_bytes();
  ++segments;
  table.set_use(segment, SegmentUse::kOrdinary);
}

// Dead slots are dealt out anew to the runs between live records: neighbouring holes become one.
void Arena::Impl::rebuild_slots(uint32_t segment, const SlotVerdicts& verdicts) {
  constexpr uint32_t align = static_cast<uint32_t>(kRecordAlignBytes);
  Segment& s = table.at(segment);
  while (s.slots > 0 && !verdicts.keep[s.slots - 1u]) --s.slots;
  for (uint32_t i = s.slots; i < verdicts.slots; ++i) s.directory()[i] = {};
  store_release(s.header()->slots, s.slots);
  uint32_t begin = 0, end = s.low / align;
  for (uint32_t i = 0; i < s.slots; ++i) {
    if (verdicts.keep[i]) continue;
    if (!verdicts.occupied.next_free(end, &begin, &end)) {
      make_blank(segment, i);
      continue;
    }
    const uint32_t extent = (end - begin) * align;
    s.directory()[i] = {.place = make_hole(begin * align, extent < kHoleBytesMax ? extent : kHoleBytesMax), .key = {}, .checksum = 0};
    holes.add(RecordRef::make(segment, i));
  }
}

Result<std::unique_ptr<Arena>> Arena::open(SegmentMemory& memory, bool verify) {
  std::unique_ptr<Impl> impl(new (std::nothrow) Impl(memory));
  if (impl == nullptr) return Status::kNoSpace;
  if (const Status status = impl->open(verify); status != Status::kOk) return status;
  std::unique_ptr<Arena> arena(new (std::nothrow) Arena(std::move(impl)));
  if (arena == nullptr) return Status::kNoSpace;
  return arena;
}

}  // namespace tmem
