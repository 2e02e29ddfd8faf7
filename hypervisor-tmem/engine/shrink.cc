// SPDX-License-Identifier: MIT
// The engine's spare time: what is dead is freed, memory over the target is given back, holes are brought together. Each step
// is short; requests come first.
#include <algorithm>
#include <limits>

#include "engine/engine_impl.h"

namespace tmem {

namespace {

constexpr uint32_t kMovesPerStep = 64;
constexpr size_t kCompactionWorthBytes = kSegmentBytes / 4;
constexpr uint32_t kEmptySegmentsKept = 8;
constexpr uint32_t kEmptyKeptPart = 16;       // and a sixteenth of what is there
constexpr uint64_t kCompactBelowFreePart = 8;  // with more than an eighth of the arena free, holes are good enough
constexpr uint64_t kIndexPart = 4;             // of the target
constexpr uint64_t kIndexBytesMin = 1 << 20;   // more, if that is more

// Blocks of nodes are never given back. Without a bound one client with a page in each extent would turn nearly all of the
// memory into index for good.
uint64_t index_share(uint64_t target) { return std::max(target / kIndexPart, kIndexBytesMin); }

uint64_t left_by(const Arena& arena, uint64_t target) {
  const uint64_t taken = arena.arena_bytes() + arena.overhead_bytes();
  return target > taken ? target - taken : 0;
}

}  // namespace

bool Engine::Impl::step() {
  begin_work();
  if (teardown(kTeardownPagesPerStep) > 0) return true;
  if (shrink() || give_back_empty()) return true;
  if (may_grow() || arena->free_bytes() > arena->arena_bytes() / kCompactBelowFreePart) return false;
  return arena->compact_step(kCompactionWorthBytes);
}

// The index may use what the arena leaves of the target, pages no more than their share of it, and keeps what it has.
void Engine::Impl::memory_changed() {
  const uint64_t target = config.memory_bytes_target;
  memory.set_limit(std::max(left_by(*arena, target), memory.bytes()), index_share(target));
}

// Empties a segment and gives it back: its records move into the others' free space, which eviction makes if there is none.
// What is persistent stays, and then so does the segment.
bool Engine::Impl::shrink() {
  const uint64_t wanted = index_starved ? std::min(memory_bytes() - 1, config.memory_bytes_target) : config.memory_bytes_target;
  if (memory_bytes() <= wanted) {
    if (retiring_segment != kNone) arena->retire_cancel(retiring_segment);
    retiring_segment = kNone;
    return false;
  }
  if (retiring_segment == kNone) {
    if (arena->segments() <= 1) return false;
    const Result<uint32_t> segment = arena->retire_begin();
    if (!segment.ok()) return free_something(kNone) > 0;
    retiring_segment = segment.value();
  }
  for (uint32_t moves = 0; moves < kMovesPerStep; ++moves) {
    if (arena->retire_next(retiring_segment).none()) {
      arena->retire_end(retiring_segment);
      retiring_segment = kNone;
      index_starved = false;
      memory_changed();
      return true;
    }
    if (move_record(retiring_segment)) continue;
    if (work_left == 0) return true;
    if (free_something(kNone) > 0) continue;
    arena->retire_cancel(retiring_segment);
    retiring_segment = kNone;
    index_starved = false;
    return false;
  }
  return true;
}

// What use has left behind goes back to the system, one segment at a time; some stay, so that use that comes and goes does not
// wait for memory each time.
bool Engine::Impl::give_back_empty() {
  if (arena->segments_empty() <= kEmptySegmentsKept + arena->segments() / kEmptyKeptPart) return false;
  const Result<uint32_t> segment = arena->retire_begin();
  if (!segment.ok()) return false;
  arena->retire_end(segment.value());
  memory_changed();
  return true;
}

bool Engine::Impl::move_record(uint32_t segment) {
  const RecordRef from = arena->retire_next(segment);
  const RecordView view = arena->view(from);
  const size_t bytes = view.payload.size();
  const RecordKey key = view.key;
  const Codec codec = view.codec;
  if (!compacting([&] { return arena->reserve(bytes, compactions_left) == Status::kOk; })) return false;
  if (!reference_moved(key, codec, from, from)) {  // nobody's: damaged while in use
    arena->kill(from);
    return true;
  }
  const RecordRef to = arena->move(from);
  return reference_moved(key, codec, from, to);
}

// Whoever holds the record by its old name gets the new one. from == to asks only whether there is somebody.
bool Engine::Impl::reference_moved(RecordKey key, Codec codec, RecordRef from, RecordRef to) {
  const auto follow = [&](auto& nodes) {
    if (key.object >= nodes.top() || !nodes[key.object].used || nodes[key.object].meta != from) return false;
    nodes[key.object].meta = to;
    return true;
  };
  if (codec == Codec::kContent) return dedup.moved(key.object, from, to);
  if (codec == Codec::kMeta) {
    switch (static_cast<MetaKind>(key.index)) {
      case MetaKind::kClient:
        if (key.object >= clients.top() || !clients[key.object].used || clients[key.object].meta_spare != from)
          return follow(clients);
        clients[key.object].meta_spare = to;
        return true;
      case MetaKind::kMembership: return follow(memberships);
      case MetaKind::kObject: return follow(objects);
      case MetaKind::kAuthorisation: return follow(authorisations);
    }
    return false;
  }
  const uint32_t n = find_extent(key.object, key.index >> kExtentShift);
  if (n == kNone) return false;
  RecordRef& held = extents[n].record[key.index & (kExtentPages - 1)];
  if (held != from) return false;
  held = to;
  return true;
}

}  // namespace tmem
