// SPDX-License-Identifier: MIT
// The books of a shard, and every equation between them:
//   1. an object's pages and bytes are those of its extents; a living pool's those of its objects
//   2. dead_pages and dead_bytes are those of dead objects and of objects of dead pools
//   3. a client's persistent pages are those of its private persistent pools; its ephemeral pages are those of the extents in
//      its eviction order, without dead private ones; the engine's are the sums over clients
//   4. every extent is found by its key, has a page, is in its object's list, and, if ephemeral, in its payer's order
//   5. every live record of the arena is held by exactly one place under its key, and every held record is live: so the
//      arena's live bytes are pages, contents and metas
//   6. weight_sum is over attached clients, credits_sum over all clients; so many worst-case pages, extents and objects are
//      reserved
//   7. a content's references are the page records that name it
#include <cstring>

#include "engine/engine_impl.h"

namespace tmem {

namespace {

// Recounted from the extents.
struct Count {
  uint64_t pages = 0;
  uint64_t bytes = 0;
};

template <typename State>
class Checker {
 public:
  explicit Checker(const State& state) : s_(state) {}

  std::string run() {
    objects();
    pools();
    clients();
    records();
    sums();
    return failed_;
  }

 private:
  void expect(bool holds, const char* equation, uint64_t number = 0) {
    if (!holds && failed_.empty()) failed_ = std::string(equation) + " [" + std::to_string(number) + "]";
  }

  Count extent_count(const Extent& extent) {
    Count count;
    for (const RecordRef record : extent.record) {
      if (record.none()) continue;
      const RecordView view = s_.arena->view(record);
      ++count.pages;
      count.bytes += view.payload.size();
      if (view.codec == Codec::kReference) ++references_;
    }
    return count;
  }

  void objects() {
    for (uint32_t n = 0; n < s_.objects.top(); ++n) {
      if (s_.objects[n].used) object(n);
    }
    expect(extents_seen_ == s_.extents.used_count(), "every extent is in the list of its object");
    expect(extents_seen_ == s_.extent_hash.count(), "every extent is in the hash");
    expect(dead_.pages == s_.dead_pages && dead_.bytes == s_.dead_bytes, "dead pages are those of dead objects and pools");
    expect(all_.bytes == s_.page_bytes, "page_bytes is the payload of all pages");
  }

  void object(uint32_t n) {
    const Object& object = s_.objects[n];
    Count count;
    for (uint32_t e = object.first_extent; e != kNone; e = s_.extents[e].object_next) {
      const Extent& extent = s_.extents[e];
      const Count of_extent = extent_count(extent);
      expect(extent.object == n && s_.find_extent(n, extent.number) == e, "an extent is found by its key", e);
      expect(of_extent.pages > 0, "an extent has a page", e);
      count.pages += of_extent.pages;
      count.bytes += of_extent.bytes;
      ++extents_seen_;
    }
    const bool dead = s_.is_dead(n);
    expect(count.pages == object.pages && count.bytes == object.bytes, "an object counts the pages of its extents", n);
    expect(dead || object.pages > 0, "a living object has a page", n);
    expect(object.dead || s_.find_object(object.pool, object.id) == n, "an object is found by its key", n);
    all_.pages += count.pages;
    all_.bytes += count.bytes;
    if (dead) {
      dead_.pages += count.pages;
      dead_.bytes += count.bytes;
    }
  }

  void pools() {
    for (uint32_t n = 0; n < s_.pools.top(); ++n) {
      const Pool& pool = s_.pools[n];
      if (!pool.used) continue;
      Count count;
      uint32_t objects = 0;
      for (uint32_t o = pool.first_object; o != kNone; o = s_.objects[o].list_next) {
        expect(s_.objects[o].pool == n && !s_.objects[o].dead, "an object is in the list of its pool", o);
        count.pages += s_.objects[o].pages;
        count.bytes += s_.objects[o].bytes;
        ++objects;
      }
      expect(objects == pool.objects, "a pool counts its objects", n);
      expect(pool.dead || (count.pages == pool.pages && count.bytes == pool.bytes), "a pool counts the pages of its objects", n);
      uint32_t sharers = 0;
      for (uint32_t m = pool.first_membership; m != kNone; m = s_.memberships[m].pool_next) ++sharers;
      expect(sharers == pool.sharers && pool.dead == (sharers == 0), "a pool lives as long as it has members", n);
      expect(pool.shared || sharers <= 1, "a private pool has one member", n);
    }
  }

  void clients() {
    for (uint32_t n = 0; n < s_.clients.top(); ++n) {
      if (s_.clients[n].used) client(n);
    }
    expect(weights_ == s_.weight_sum, "weight_sum is the sum over attached clients");
    expect(credits_ == s_.credits_sum, "credits_sum is the sum over clients");
    expect(ephemeral_ == s_.pages_ephemeral, "ephemeral pages are the sum over clients");
    expect(persistent_ == s_.pages_persistent, "persistent pages are the sum over clients");
  }

  void client(uint32_t n) {
    const Client& client = s_.clients[n];
    Count ordered;
    for (uint32_t e = client.order_head; e != kNone; e = s_.extents[e].order_next) {
      const Extent& extent = s_.extents[e];
      expect(extent.ephemeral != 0 && extent.payer == n, "an extent is in its payer's eviction order", e);
      ++ordered_extents_;
      if (s_.is_dead(extent.object) && !s_.objects[extent.object].shared) continue;
      const Count count = extent_count(extent);
      ordered.pages += count.pages;
      ordered.bytes += count.bytes;
    }
    Count persistent;
    for (uint32_t m = client.first_membership; m != kNone; m = s_.memberships[m].client_next) {
      const Membership& membership = s_.memberships[m];
      expect(client.membership_of[membership.id] == m, "a membership is found by its pool id", m);
      if (!s_.pools[membership.pool].persistent) continue;
      persistent.pages += s_.pools[membership.pool].pages;
      persistent.bytes += s_.pools[membership.pool].bytes;
    }
    expect(client.pages_ephemeral == ordered.pages, "a client's ephemeral pages are those of its eviction order", n);
    expect(client.pages_persistent == persistent.pages, "a client's persistent pages are those of its pools", n);
    expect(client.bytes == ordered.bytes + persistent.bytes, "a client's bytes are those of its pages", n);
    expect(client.gone || s_.find_client(client.id) == n, "a client is found by its id", n);
    weights_ += client.gone ? 0 : client.policy.weight;
    credits_ += client.credits;
    ephemeral_ += client.pages_ephemeral;
    persistent_ += client.pages_persistent;
  }

  // Each live record: who holds it?
  void records() {
    uint64_t metas = 0;
    uint64_t pages = 0;
    for (RecordRef record = s_.arena->first(); !record.none(); record = s_.arena->next(record)) {
      const RecordView view = s_.arena->view(record);
      if (view.codec == Codec::kMeta) {
        expect(holder_of_meta(view.key, record) == record, "a meta record is held under its number", record.value);
        metas += view.payload.size();
      } else if (view.codec == Codec::kContent) {
        expect(s_.dedup.record_of(view.key.object) == record, "a content record is held under its number", record.value);
      } else {
        const uint32_t e = s_.find_extent(view.key.object, view.key.index >> kExtentShift);
        expect(e != kNone && s_.extents[e].record[view.key.index & (kExtentPages - 1)] == record,
               "a page record is held under its key", record.value);
        ++pages;
      }
    }
    expect(metas == s_.meta_bytes, "meta_bytes is the payload of all metas");
    expect(pages == all_.pages, "every page that is held is a live record");
  }

  RecordRef holder_of_meta(RecordKey key, RecordRef record) const {
    const auto held = [&](const auto& nodes) {
      return key.object < nodes.top() && nodes[key.object].used ? nodes[key.object].meta : RecordRef{};
    };
    switch (static_cast<MetaKind>(key.index)) {
      case MetaKind::kClient: {
        const RecordRef newest = held(s_.clients);
        return newest.none() || newest == record ? newest : s_.clients[key.object].meta_spare;
      }
      case MetaKind::kMembership: return held(s_.memberships);
      case MetaKind::kObject: return held(s_.objects);
      case MetaKind::kAuthorisation: return held(s_.authorisations);
    }
    return {};
  }

  void sums() {
    const char* arena = s_.arena->check_invariants();
    expect(arena == nullptr, arena == nullptr ? "" : arena);
    expect(s_.arena->live_bytes() == s_.page_bytes + s_.meta_bytes + s_.dedup.bytes(), "live bytes are pages, metas, contents");
    expect(s_.dedup.references() == references_all(), "a content's references are the pages that name it");
    expect(s_.extents.reserved() == s_.credits_sum && s_.objects.reserved() == s_.credits_sum, "a credit reserves its nodes");
    expect(s_.arena->reserved_pages() == s_.credits_sum, "a credit reserves its space");
    expect(s_.pinned_object == kNone && s_.pinned_extent == kNone, "nothing is pinned between calls");
  }

  uint64_t references_all() {
    uint64_t references = 0;
    for (RecordRef record = s_.arena->first(); !record.none(); record = s_.arena->next(record))
      references += s_.arena->view(record).codec == Codec::kReference;
    return references;
  }

  const State& s_;
  std::string failed_;
  Count all_, dead_;
  uint64_t references_ = 0;
  uint32_t extents_seen_ = 0;
  uint64_t ordered_extents_ = 0;
  uint64_t weights_ = 0;
  uint64_t credits_ = 0;
  uint64_t ephemeral_ = 0;
  uint64_t persistent_ = 0;
};

}  // namespace

std::string Engine::Impl::check_invariants() const { return Checker(*this).run(); }

}  // namespace tmem
