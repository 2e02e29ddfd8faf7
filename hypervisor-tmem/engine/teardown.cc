// SPDX-License-Identifier: MIT
// What is destroyed dies at once in meaning, by one killed record, and is freed here, a few pages at a time. The books:
//   - a dead object's pages have left its pool; a dead pool's pages have left the books altogether
//   - pages of private pools have left their client, too; those of shared pools leave their payer one extent at a time,
//     because only the extent knows who that is
//   - dead_pages counts what is still to be freed
#include <cstring>

#include "engine/engine_impl.h"

namespace tmem {

// Out of reach for everyone, and dead for recovery.
void Engine::Impl::kill_object(uint32_t number) {
  Object& object = objects[number];
  kill_meta(object.meta);
  object_hash.remove(number);
  Pool& pool = pools[object.pool];
  ObjectList::remove(objects, pool.first_object, number);
  --pool.objects;
  if (!pool.dead) {  // else kill_pool() did all this
    pool.pages -= object.pages;
    pool.bytes -= object.bytes;
    dead_pages += object.pages;
    dead_bytes += object.bytes;
    if (!object.shared && object.first_extent != kNone) {
      Client& client = clients[extents[object.first_extent].payer];
      client.bytes -= object.bytes;
      (pool.persistent ? client.pages_persistent : client.pages_ephemeral) -= object.pages;
      (pool.persistent ? pages_persistent : pages_ephemeral) -= object.pages;
    }
  }
  object.dead = true;
  ObjectList::push_front(objects, dead_objects, number);
}

// All pages of an extent of a dead object or pool.
uint32_t Engine::Impl::teardown_extent(uint32_t n) {
  Extent& extent = extents[n];
  Object& object = objects[extent.object];
  uint32_t freed = 0;
  uint64_t bytes = 0;
  for (RecordRef& record : extent.record) {
    if (record.none()) continue;
    const RecordView view = arena->view(record);
    uint32_t content = kNone;
    if (view.codec == Codec::kReference) std::memcpy(&content, view.payload.data(), sizeof content);
    bytes += view.payload.size();
    ++freed;
    arena->kill(record);
    record = {};
    if (!dedup.record_of(content).none()) dedup.drop(content);
  }
  object.pages -= freed;
  object.bytes -= bytes;
  dead_pages -= freed;
  dead_bytes -= bytes;
  page_bytes -= bytes;
  if (object.shared) {
    Client& client = clients[extent.payer];
    client.bytes -= bytes;
    client.pages_ephemeral -= freed;
    pages_ephemeral -= freed;
  }
  unlink_extent(n);
  return freed;
}

uint32_t Engine::Impl::teardown_object(uint32_t number, uint32_t budget) {
  Object& object = objects[number];
  uint32_t work = 0;
  while (object.first_extent != kNone && work < budget) work += teardown_extent(object.first_extent);
  if (object.first_extent != kNone) return work;
  ObjectList::remove(objects, dead_objects, number);
  object.used = false;
  objects.release(number);
  return work + 1;
}

void Engine::Impl::teardown_pool(uint32_t number) {
  Pool& pool = pools[number];
  if (pool.first_object != kNone) {
    kill_object(pool.first_object);
    return;
  }
  dead_pools = pool.hash_next;
  pool.used = false;
  pools.release(number);
}

// First what it was a member of, then its place in the eviction order: extents of shared pools that live on go to a member.
void Engine::Impl::teardown_client(uint32_t number) {
  Client& client = clients[number];
  if (client.first_membership != kNone) {
    drop_membership(client.first_membership);
  } else if (client.first_authorisation != kNone) {
    drop_authorisation(client.first_authorisation);
  } else if (client.order_head != kNone) {
    if (is_dead(extents[client.order_head].object))
      teardown_extent(client.order_head);
    else
      rebill_head(number);
  } else {
    gone_clients = client.hash_next;
    memory.release(client.membership_of, client.membership_of_count * sizeof(uint32_t));
    client.membership_of = nullptr;
    client.used = false;
    clients.release(number);
  }
}

// Dead objects of a dead pool go before the pool's number, and a client's slot after both: the lists are worked in this order.
uint32_t Engine::Impl::teardown(uint32_t budget) {
  uint32_t work = 0;
  while (work < budget) {
    if (dead_objects != kNone) {
      work += teardown_object(dead_objects, budget - work);
    } else if (dead_pools != kNone) {
      teardown_pool(dead_pools);
      ++work;
    } else if (gone_clients != kNone) {
      teardown_client(gone_clients);
      ++work;
    } else {
      break;
    }
  }
  return work;
}

// The payer of a shared pool's extent is gone and the pool is not: one of its members pays from now on.
void Engine::Impl::rebill_head(uint32_t number) {
  Client& from = clients[number];
  const uint32_t n = from.order_head;
  Extent& extent = extents[n];
  const uint32_t heir = memberships[pools[objects[extent.object].pool].first_membership].client;
  Client& to = clients[heir];
  uint64_t pages = 0;
  uint64_t bytes = 0;
  for (const RecordRef record : extent.record) {
    if (record.none()) continue;
    ++pages;
    bytes += arena->view(record).payload.size();
  }
  EvictionOrder::remove(extents, from.order_head, from.order_tail, n);
  EvictionOrder::push_back(extents, to.order_head, to.order_tail, n);
  extent.payer = heir & (kClientsMax - 1);
  from.pages_ephemeral -= pages;
  from.bytes -= bytes;
  to.pages_ephemeral += pages;
  to.bytes += bytes;
}

}  // namespace tmem
