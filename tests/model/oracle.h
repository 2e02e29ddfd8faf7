// SPDX-License-Identifier: MIT
// What an engine may answer, in a std::map. It knows which pages must be there (persistent), which may be (ephemeral), and
// which must not; it never knows more than a guest could. Pages are named by a tag, from which their bytes follow.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "tmem/engine.h"

namespace tmem::test {

struct OraclePool {
  uint64_t instance = 0;  // of this life of the pool; pages are filed under it
  bool persistent = false;
  bool shared = false;
  Uuid uuid;
};

struct OracleClient {
  bool attached = false;
  ClientPolicy policy;
  uint32_t credits = 0;
  std::map<uint32_t, OraclePool> pools;
  std::map<Uuid, bool> authorised;
};

class Oracle {
 public:
  using Key = std::tuple<uint64_t, ObjectId, uint32_t>;  // pool instance, object, index

  OraclePool* pool(uint32_t client, PoolId id) {
    auto& pools = clients[client].pools;
    const auto found = pools.find(id.value());
    return found == pools.end() ? nullptr : &found->second;
  }
  static Key key(const OraclePool& pool, const Handle& handle) { return {pool.instance, handle.object, handle.index.value()}; }

  void open(uint32_t client, PoolId id, bool persistent) {
    clients[client].pools[id.value()] = {++instances_, persistent, false, {}};
  }
  void join(uint32_t client, PoolId id, const Uuid& uuid) {
    uint64_t instance = 0;
    for (const auto& [number, other] : clients)
      for (const auto& [pool_id, pool] : other.pools)
        if (pool.shared && pool.uuid == uuid) instance = pool.instance;
    if (instance == 0) instance = ++instances_;
    clients[client].pools[id.value()] = {instance, false, true, uuid};
  }
  // The last member takes the pages along.
  void leave(uint32_t client, uint32_t id) {
    const uint64_t instance = clients[client].pools.at(id).instance;
    clients[client].pools.erase(id);
    for (const auto& [number, other] : clients)
      for (const auto& [pool_id, pool] : other.pools)
        if (pool.instance == instance) return;
    erase_if([&](const Key& key) { return std::get<0>(key) == instance; });
  }
  void detach(uint32_t client) {
    while (!clients[client].pools.empty()) leave(client, clients[client].pools.begin()->first);
    clients[client] = {};
  }
  void revoke(uint32_t client, const Uuid& uuid) {
    clients[client].authorised.erase(uuid);
    for (auto pool = clients[client].pools.begin(); pool != clients[client].pools.end();) {
      const auto next = std::next(pool);
      if (pool->second.shared && pool->second.uuid == uuid) leave(client, pool->first);
      pool = next;
    }
  }
  void flush_object(const OraclePool& pool, const ObjectId& object) {
    erase_if([&](const Key& key) { return std::get<0>(key) == pool.instance && std::get<1>(key) == object; });
  }

  std::optional<uint64_t> page(const Key& key) const {
    const auto found = pages_.find(key);
    return found == pages_.end() ? std::nullopt : std::optional(found->second);
  }
  void store(const Key& key, uint64_t tag) { pages_[key] = tag; }
  void erase(const Key& key) { pages_.erase(key); }

  uint64_t pages_persistent(uint32_t client) const {
    uint64_t pages = 0;
    for (const auto& [id, pool] : clients.at(client).pools) {
      if (!pool.persistent) continue;
      for (auto at = pages_.lower_bound({pool.instance, {}, 0}); at != pages_.end() && std::get<0>(at->first) == pool.instance; ++at)
        ++pages;
    }
    return pages;
  }
  const std::map<Key, uint64_t>& pages() const { return pages_; }

  std::map<uint32_t, OracleClient> clients;

 private:
  template <typename Condition>
  void erase_if(Condition&& condition) {
    for (auto at = pages_.begin(); at != pages_.end();) at = condition(at->first) ? pages_.erase(at) : std::next(at);
  }

  std::map<Key, uint64_t> pages_;
  uint64_t instances_ = 0;
};

}  // namespace tmem::test
