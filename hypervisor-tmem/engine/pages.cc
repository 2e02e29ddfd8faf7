// SPDX-License-Identifier: MIT
// Put, get, flush. The order inside a put is what makes it safe at every point where the process may die: object record, page
// record, index, then the death of the old record; whatever is half done has not been answered, and the front replays it.
#include <bit>
#include <cstring>

#include "engine/engine_impl.h"
#include "tmem/failpoint.h"

namespace tmem {

namespace {

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span<const T, 1>(&value, 1));
}

void count_refusal(OpStats& ops, Status status) {
  switch (status) {
    case Status::kFrozen: ++ops.put_frozen; break;
    case Status::kOverCap: ++ops.put_over_cap; break;
    case Status::kPutFlushed: ++ops.put_flushed; break;
    default: ++ops.put_no_space; break;
  }
}

void count_stored(OpStats& ops, Codec codec, bool replaced) {
  ++(replaced ? ops.put_replaced : ops.put_stored);
  if (codec == Codec::kSameFilled) ++ops.put_same_filled;
  if (codec == Codec::kRaw) ++ops.put_raw;
  if (codec == Codec::kReference) ++ops.put_deduplicated;
}

}  // namespace

// ---- put ----

Status Engine::Impl::put(const Door& door, const Handle& handle, const std::byte* page, uint64_t word, bool credit) {
  if (handle.object.reserved()) return Status::kBadObject;
  Client& client = clients[door.client];
  OpStats& ops = memberships[door.membership].ops;
  const Location at = locate(door.pool, handle);
  const bool present = !at.record.none();
  if (!present && !credit) {
    Status refused = Status::kOk;
    if (client.policy.frozen) refused = Status::kFrozen;
    else if (client.policy.cap_pages != 0 && charged_pages(client) + client.credits >= client.policy.cap_pages)
      refused = Status::kOverCap;
    if (refused != Status::kOk) {
      count_refusal(ops, refused);
      return refused;
    }
  }
  if (present) arena->prefetch(at.record);  // it dies when the page is packed
  look_ahead_slot();
  begin_work();
  pinned_object = at.object;
  pinned_extent = at.extent;
  Packed packed;
  pack(door, page, word, packed);
  const Status status = store(door, handle, at, packed, credit);
  if (status == Status::kOk) {
    count_stored(ops, packed.codec, present);
    return status;
  }
  if (packed.content != kNone) dedup.drop(packed.content);
  const Status told = present ? Status::kPutFlushed : status;
  count_refusal(ops, told);
  return told;
}

// The put spends its credit even if there is no such pool.
Status Engine::Impl::refuse_entry(const Door& door, Status status, bool credit) {
  if (credit && door.client != kNone && clients[door.client].credits > 0) give_up_credits(door.client, 1);
  return status;
}

// A put against a credit that was never granted is refused; what the handle had before must not survive it (law 2).
Status Engine::Impl::put_uncredited(const Door& door, const Handle& handle) {
  const Location at = locate(door.pool, handle);
  if (at.record.none()) return Status::kNoCredit;
  remove_page(at.extent, handle.index.value() & (kExtentPages - 1));
  ++memberships[door.membership].ops.put_flushed;
  return Status::kPutFlushed;
}

void Engine::Impl::pack(const Door& door, const std::byte* page, uint64_t word, Packed& packed) {
  const ClientPolicy& policy = clients[door.client].policy;
  if (page != nullptr) {
    const PageView view(page, kPageBytes);
    const std::optional<uint64_t> filled = same_filled_word(view);
    if (!filled) {
      if (policy.dedup_group != 0 && !pools[door.pool].persistent && pack_deduplicated(door, view, packed)) return;
      if (!policy.compress) {
        packed.codec = Codec::kRaw;
        packed.payload = view;
        return;
      }
      const Compressor::Packed result = compressor.compress(view);
      packed.codec = result.codec;
      packed.payload = result.payload;
      return;
    }
    word = *filled;
  }
  packed.word = word;
  packed.codec = Codec::kSameFilled;
  packed.payload = bytes_of(packed.word);
}

// False: keep it as any other page. Never at the price of somebody's page but by the same rules as any put.
bool Engine::Impl::pack_deduplicated(const Door& door, PageView page, Packed& packed) {
  const uint32_t group = clients[door.client].policy.dedup_group;
  const ContentHash hash = Dedup::hash_of(page);
  uint32_t content = dedup.acquire(group, hash, page);
  if (content == kNone) {
    std::span<const std::byte> payload = page;
    if (clients[door.client].policy.compress) payload = compressor.compress(page).payload;
    if (!room_in_arena(door.client, payload.size(), false)) return false;
    content = dedup.add(group, hash, payload);
    if (content == kNone) return false;
  }
  packed.content = content;
  packed.number = content;
  packed.codec = Codec::kReference;
  packed.payload = bytes_of(packed.number);
  return true;
}

// Space first, then the index. What making room evicts may be any page but those of the pinned extent.
Status Engine::Impl::store(const Door& door, const Handle& handle, Location at, const Packed& packed, bool credit) {
  if (at.object == kNone) at.object = create_object(door, handle.object, credit);
  if (at.object == kNone) return Status::kNoSpace;  // nothing is pinned: there was no object
  pinned_object = at.object;
  if (at.extent == kNone) at.extent = create_extent(door, at.object, handle.index.value() >> kExtentShift, credit);
  bool room = at.extent != kNone;
  if (room) {
    pinned_extent = at.extent;
    const uint32_t slot = handle.index.value() & (kExtentPages - 1);
    RecordRef& present = extents[at.extent].record[slot];
    room = room_in_arena(door.client, packed.payload.size(), credit);
    if (!room && !present.none()) {  // it would have to go anyway: perhaps its own place is enough
      remove_record(at.extent, slot);
      failpoint("put-old-given-up");
      room = compacting([&] { return arena->reserve(packed.payload.size(), compactions_left, credit) == Status::kOk; });
    }
    if (room) {
      const RecordRef record = arena->insert({at.object, handle.index.value()}, packed.codec, packed.payload);
      failpoint("put-sealed");
      if (!present.none()) remove_record(at.extent, slot);
      failpoint("put-old-killed");
      place(at.extent, slot, record, static_cast<uint32_t>(packed.payload.size()));
    }
  }
  pinned_object = kNone;
  pinned_extent = kNone;
  if (!room) release_if_empty(at.object, at.extent);
  return room ? Status::kOk : Status::kNoSpace;
}

uint32_t Engine::Impl::create_object(const Door& door, const ObjectId& id, bool credit) {
  const uint32_t n = allocate_node(objects, door.client, credit);
  if (n == kNone) return kNone;
  const ObjectMeta meta{id, door.pool, 0};
  RecordRef record;
  if (!insert_meta(MetaKind::kObject, n, bytes_of(meta), door.client, credit, record)) {
    objects.release(n);
    return kNone;
  }
  Object& object = objects[n];
  object.id = id;
  object.pool = door.pool;
  object.meta = record;
  object.used = true;
  object.shared = pools[door.pool].shared;
  object_hash.insert(n);
  ObjectList::push_front(objects, pools[door.pool].first_object, n);
  ++pools[door.pool].objects;
  return n;
}

uint32_t Engine::Impl::create_extent(const Door& door, uint32_t object, uint32_t number, bool credit) {
  const uint32_t n = allocate_node(extents, door.client, credit);
  if (n == kNone) return kNone;
  Extent& extent = extents[n];
  extent.object = object;
  extent.number = number;
  extent.payer = door.client & (kClientsMax - 1);
  extent.ephemeral = !pools[door.pool].persistent;
  extent_hash.insert(n);
  ExtentList::push_front(extents, objects[object].first_extent, n);
  if (extent.ephemeral) {
    Client& client = clients[door.client];
    EvictionOrder::push_back(extents, client.order_head, client.order_tail, n);
  }
  return n;
}

// A page that comes into an old extent makes it young: the order is that of last puts.
void Engine::Impl::place(uint32_t n, uint32_t slot, RecordRef record, uint32_t bytes) {
  Extent& extent = extents[n];
  extent.record[slot] = record;
  account(extent.object, extent, 1, bytes);
  if (!extent.ephemeral) return;
  Client& client = clients[extent.payer];
  if (client.order_tail == n) return;
  EvictionOrder::remove(extents, client.order_head, client.order_tail, n);
  EvictionOrder::push_back(extents, client.order_head, client.order_tail, n);
}

// The books of a living page: object, pool, client, engine.
void Engine::Impl::account(uint32_t number, const Extent& extent, int64_t pages, int64_t bytes) {
  const auto page_count = static_cast<uint64_t>(pages);
  const auto byte_count = static_cast<uint64_t>(bytes);
  Object& object = objects[number];
  Pool& pool = pools[object.pool];
  Client& client = clients[extent.payer];
  object.pages += static_cast<uint32_t>(page_count);
  object.bytes += byte_count;
  pool.pages += page_count;
  pool.bytes += byte_count;
  client.bytes += byte_count;
  page_bytes += byte_count;
  (extent.ephemeral ? client.pages_ephemeral : client.pages_persistent) += page_count;
  (extent.ephemeral ? pages_ephemeral : pages_persistent) += page_count;
}

// ---- removal ----

void Engine::Impl::remove_record(uint32_t n, uint32_t slot) {
  Extent& extent = extents[n];
  const RecordRef record = extent.record[slot];
  const RecordView view = arena->view(record);
  uint32_t content = kNone;
  if (view.codec == Codec::kReference) std::memcpy(&content, view.payload.data(), sizeof content);
  if (dedup.record_of(content).none()) content = kNone;  // only if the arena's bytes were damaged while in use
  failpoint("page-dies");
  account(extent.object, extent, -1, -static_cast<int64_t>(view.payload.size()));
  extent.record[slot] = {};
  arena->kill(record);
  if (content != kNone) dedup.drop(content);
}

void Engine::Impl::remove_page(uint32_t n, uint32_t slot) {
  const uint32_t object = extents[n].object;
  remove_record(n, slot);
  release_if_empty(object, n);
}

void Engine::Impl::unlink_extent(uint32_t n) {
  Extent& extent = extents[n];
  extent_hash.remove(n);
  ExtentList::remove(extents, objects[extent.object].first_extent, n);
  if (extent.ephemeral) {
    Client& client = clients[extent.payer];
    EvictionOrder::remove(extents, client.order_head, client.order_tail, n);
  }
  extents.release(n);
}

// extent may be kNone.
void Engine::Impl::release_if_empty(uint32_t number, uint32_t extent) {
  if (extent != kNone && extent != pinned_extent && extents[extent].empty()) unlink_extent(extent);
  Object& object = objects[number];
  if (object.first_extent != kNone || number == pinned_object) return;
  kill_meta(object.meta);
  object_hash.remove(number);
  Pool& pool = pools[object.pool];
  ObjectList::remove(objects, pool.first_object, number);
  --pool.objects;
  object.used = false;
  objects.release(number);
}

// ---- get ----

Status Engine::Impl::read(RecordRef record, PageBuffer page, GetAnswer& answer) {
  arena->prefetch_payload(record);  // all of it at once; what was looked ahead is there already
  look_ahead_slot();
  const bool sound = arena->verify(record);
  look_ahead_payload();
  if (!sound) return Status::kCorrupt;
  const RecordView view = arena->view(record);
  switch (view.codec) {
    case Codec::kSameFilled:
      answer.same_filled = true;
      std::memcpy(&answer.word, view.payload.data(), sizeof answer.word);
      return Status::kOk;
    case Codec::kReference: {
      uint32_t content = kNone;
      std::memcpy(&content, view.payload.data(), sizeof content);
      return dedup.read(content, page) ? Status::kOk : Status::kCorrupt;
    }
    default:
      return decompress(view.codec, view.payload, page) ? Status::kOk : Status::kCorrupt;
  }
}

Result<GetAnswer> Engine::Impl::get(const Door& door, const Handle& handle, PageBuffer page) {
  if (handle.object.reserved()) return Status::kBadObject;
  OpStats& ops = memberships[door.membership].ops;
  const Location at = locate(door.pool, handle);
  if (at.record.none()) {
    ++ops.get_miss;
    return Status::kMiss;
  }
  GetAnswer answer;
  const Status status = read(at.record, page, answer);
  Extent& extent = extents[at.extent];
  if (status != Status::kOk || (extent.ephemeral && !objects[at.object].shared))
    remove_page(at.extent, handle.index.value() & (kExtentPages - 1));
  else if (extent.ephemeral)
    extent.second_chance = 1;
  if (status != Status::kOk) {
    ++ops.get_corrupt;
    return status;
  }
  ++ops.get_hit;
  return answer;
}

// ---- flush ----

Status Engine::Impl::flush_page(const Door& door, const Handle& handle) {
  if (handle.object.reserved()) return Status::kBadObject;
  OpStats& ops = memberships[door.membership].ops;
  const Location at = locate(door.pool, handle);
  if (at.record.none()) {
    ++ops.flush_page_miss;
    return Status::kMiss;
  }
  remove_page(at.extent, handle.index.value() & (kExtentPages - 1));
  ++ops.flush_page_hit;
  return Status::kOk;
}

Status Engine::Impl::flush_object(const Door& door, const ObjectId& id) {
  if (id.reserved()) return Status::kBadObject;
  OpStats& ops = memberships[door.membership].ops;
  const uint32_t object = find_object(door.pool, id);
  if (object == kNone) {
    ++ops.flush_object_miss;
    return Status::kMiss;
  }
  kill_object(object);
  ++ops.flush_object_hit;
  return Status::kOk;
}

}  // namespace tmem
