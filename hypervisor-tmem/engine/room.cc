// SPDX-License-Identifier: MIT
// Room for what is put: a new segment if the memory target allows, else compaction if that is enough, else what is dead
// already, else ephemeral pages by weight. docs/eviction.md says why in this order. Every call is bounded by work_left and
// compactions_left, which begin_work() sets once for each request.
#include <algorithm>

#include "engine/engine_impl.h"

namespace tmem {

namespace {

constexpr uint32_t kDeadPagesPerLook = 8;    // an extent's worth
constexpr uint32_t kVictimTurns = 16;        // evictions before the clients are compared anew
constexpr uint64_t kCompactionPays = 64;     // worth trying when a 64th of the arena is free
constexpr uint64_t kIndexSlackBytes = 32 << 10;

}  // namespace

void Engine::Impl::begin_work() {
  work_left = kEvictionsPerPutMax;
  compactions_left = kCompactionsPerPutMax;
}

// A segment brings pages, and these need index: growth leaves room for as much index as segments have had so far.
bool Engine::Impl::may_grow() const {
  if (retiring_segment != kNone) return false;
  const uint64_t index_per_segment = memory.bytes() / std::max<uint64_t>(arena->segments(), 1);
  return memory_bytes() + kSegmentBytes + index_per_segment + kIndexSlackBytes <= config.memory_bytes_target;
}

bool Engine::Impl::grow() {
  if (!may_grow() || !arena->add_segment()) return false;
  memory_changed();
  return true;
}

bool Engine::Impl::room_in_arena_slow(uint32_t client, size_t bytes, bool credit) {
  const auto fits = [&](uint32_t compactions) { return compacting([&] { return arena->reserve(bytes, compactions, credit) == Status::kOk; }); };
  if (grow() && fits(0)) return true;
  if (arena->free_bytes() > arena->arena_bytes() / kCompactionPays && fits(compactions_left)) return true;
  while (work_left > 0 && free_something(client) > 0) {
    if (fits(0)) return true;
  }
  return fits(compactions_left);
}

// ---- eviction ----

uint32_t Engine::Impl::free_dead() {
  const uint32_t torn = teardown(std::min(work_left, kDeadPagesPerLook));
  work_left -= std::min(work_left, torn);
  work_done += torn;
  return torn;
}

uint32_t Engine::Impl::free_something(uint32_t client) {
  if (const uint32_t torn = free_dead(); torn > 0) return torn;
  const uint32_t chosen = pick_victim(client, true);
  if (chosen == kNone) return 0;
  const Client& loser = clients[chosen];
  const uint64_t floor = chosen == client ? 0 : loser.policy.min_pages;
  const bool second_chances = work_left > kExtentPages;  // the last look must bring something
  const uint32_t looks = std::max<uint32_t>(evict_head(chosen, floor, second_chances), 1);
  work_left -= std::min(work_left, looks);
  work_done += looks;
  return looks;
}

// own pages / all pages > own weight / all weights, without division. Weight 0 is above its share with its first page.
bool Engine::Impl::above_share(const Client& client) const {
  return client.pages_ephemeral * weight_sum > pages_ephemeral * client.policy.weight;
}

// Whom the next page is taken from: the putting client if it is above its share; else the client with most pages for its
// weight. Comparing all clients is spread over kVictimTurns evictions.
uint32_t Engine::Impl::pick_victim(uint32_t client, bool mind_minimum) {
  const auto evictable = [&](uint32_t n) {
    const Client& c = clients[n];
    return c.used && !c.gone && c.order_head != kNone && (n == client || !mind_minimum || c.pages_ephemeral > c.policy.min_pages);
  };
  if (client != kNone && evictable(client) && above_share(clients[client])) return client;
  if (victim != kNone && victim_turns > 0 && evictable(victim)) {
    --victim_turns;
    return victim;
  }
  victim = kNone;
  for (uint32_t n = 0; n < clients.top(); ++n) {
    if (!evictable(n)) continue;
    const Client& c = clients[n];
    const uint64_t ours = victim == kNone ? 0 : c.pages_ephemeral * clients[victim].policy.weight;
    const uint64_t theirs = victim == kNone ? 0 : clients[victim].pages_ephemeral * c.policy.weight;
    if (victim == kNone || ours > theirs) victim = n;
  }
  victim_turns = kVictimTurns;
  return victim;
}

// The oldest extent of a client: its pages go, unless it was hit since (then it gets another round), or is being put into.
uint32_t Engine::Impl::evict_head(uint32_t loser, uint64_t floor, bool second_chances) {
  Client& client = clients[loser];
  const uint32_t n = client.order_head;
  Extent& extent = extents[n];
  const uint32_t object = extent.object;
  if (is_dead(object)) return teardown_extent(n);
  if ((second_chances && extent.second_chance != 0) || n == pinned_extent) {
    extent.second_chance = 0;
    EvictionOrder::remove(extents, client.order_head, client.order_tail, n);
    EvictionOrder::push_back(extents, client.order_head, client.order_tail, n);
    return 0;
  }
  uint32_t dropped = 0;
  for (uint32_t slot = 0; slot < kExtentPages && client.pages_ephemeral > floor; ++slot) {
    if (extent.record[slot].none()) continue;
    remove_record(n, slot);
    ++dropped;
  }
  client.past.pages_evicted += dropped;
  pools[objects[object].pool].past.pages_evicted += dropped;
  pages_evicted += dropped;
  release_if_empty(object, n);
  return dropped;
}

// The operator's word: neither minimums nor second chances count. Everyone is a client without a number.
Flushed Engine::Impl::flush_ephemeral(uint32_t client, uint64_t bytes) {
  const uint64_t before = page_bytes + dedup.bytes();
  Flushed flushed;
  while (flushed.bytes < bytes && flushed.pages < kTeardownPagesPerStep) {
    const uint32_t loser = client != kNone ? client : pick_victim(kNone, false);
    if (loser == kNone || clients[loser].order_head == kNone) break;
    flushed.pages += evict_head(loser, 0, false);
    flushed.bytes = before - (page_bytes + dedup.bytes());
  }
  return flushed;
}

// ---- records of the engine's own ----

bool Engine::Impl::insert_meta(MetaKind kind, uint32_t number, std::span<const std::byte> payload, uint32_t client, bool credit,
                               RecordRef& record) {
  if (!room_in_arena(client, payload.size(), credit)) return false;
  record = arena->insert({number, static_cast<uint32_t>(kind)}, Codec::kMeta, payload);
  meta_bytes += payload.size();
  return true;
}

void Engine::Impl::kill_meta(RecordRef& record) {
  if (record.none()) return;
  meta_bytes -= arena->view(record).payload.size();
  arena->kill(record);
  record = {};
}

}  // namespace tmem
