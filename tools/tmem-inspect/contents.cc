// SPDX-License-Identifier: MIT
#include "contents.h"

#include <algorithm>
#include <cstring>

namespace tmem::inspect {
namespace {

template <typename Meta>
bool read_meta(std::span<const std::byte> payload, Meta& meta) {
  if (payload.size() != sizeof(Meta)) return false;
  std::memcpy(&meta, payload.data(), sizeof(Meta));
  return true;
}

template <typename Meta>
bool keep(std::unordered_map<uint32_t, Meta>& metas, uint32_t number, std::span<const std::byte> payload) {
  Meta meta;
  if (!read_meta(payload, meta)) return false;
  metas[number] = meta;
  return true;
}

}  // namespace

bool Contents::add_meta(const Slot& slot, std::span<const std::byte> payload) {
  const uint32_t number = slot.key.object;
  switch (static_cast<MetaKind>(slot.key.index)) {
    case MetaKind::kClient: {
      ClientMeta meta;
      if (!read_meta(payload, meta)) return false;
      auto [at, fresh] = clients_.try_emplace(number, meta);
      if (!fresh && meta.version > at->second.version) at->second = meta;
      return true;
    }
    case MetaKind::kMembership: return keep(memberships_, number, payload);
    case MetaKind::kObject: return keep(objects_, number, payload);
    case MetaKind::kAuthorisation: return keep(authorisations_, number, payload);
  }
  return false;
}

bool Contents::add(const Slot& slot, std::span<const std::byte> payload) {
  const Codec codec = place_codec(slot.place);
  if (codec == Codec::kMeta) return add_meta(slot, payload);
  if (codec == Codec::kContent) {
    contents_.insert(slot.key.object);
    return true;
  }
  Pages& pages = pages_[slot.key.object];
  pages.pages++;
  pages.payload_bytes += payload.size();
  if (codec == Codec::kReference) {
    uint32_t content = 0;
    std::memcpy(&content, payload.data(), sizeof content);
    references_[content]++;
  }
  return true;
}

void Contents::place_objects(Report& report, std::unordered_map<uint32_t, size_t>& pool_at) {
  for (const auto& [number, object] : objects_) {
    auto pool = pool_at.find(object.pool_number);
    if (pool == pool_at.end())
      report.orphans++;
    else
      report.pools[pool->second].objects++;
  }
  for (const auto& [number, pages] : pages_) {
    auto object = objects_.find(number);
    auto pool = object == objects_.end() ? pool_at.end() : pool_at.find(object->second.pool_number);
    if (pool == pool_at.end()) {
      report.orphans += pages.pages;
      continue;
    }
    report.pools[pool->second].pages += pages.pages;
    report.pools[pool->second].payload_bytes += pages.payload_bytes;
  }
}

void Contents::finish(Report& report) {
  std::unordered_map<uint32_t, size_t> pool_at;
  for (const auto& [number, membership] : memberships_) {
    auto client = clients_.find(membership.client_slot);
    if (client == clients_.end()) {
      report.orphans++;
      continue;
    }
    auto [at, fresh] = pool_at.try_emplace(membership.pool_number, report.pools.size());
    if (fresh) report.pools.push_back({membership.pool_number, membership.flags, membership.uuid, {}});
    report.pools[at->second].members.push_back({client->second.client, membership.pool});
  }
  place_objects(report, pool_at);
  for (const auto& [slot, client] : clients_) report.clients.push_back(client);
  for (const auto& [number, authorisation] : authorisations_) {
    if (clients_.count(authorisation.client_slot) == 0)
      report.orphans++;
    else
      report.authorisations++;
  }
  for (uint32_t content : contents_) report.orphans += references_.count(content) == 0;
  for (const auto& [content, count] : references_)
    if (contents_.count(content) == 0) report.damages.push_back({Damage::Kind::kReference, std::nullopt, std::nullopt});
  std::sort(report.clients.begin(), report.clients.end(), [](const ClientMeta& a, const ClientMeta& b) { return a.client < b.client; });
  for (PoolReport& pool : report.pools)
    std::sort(pool.members.begin(), pool.members.end(), [](auto& a, auto& b) { return std::pair(a.client, a.pool) < std::pair(b.client, b.pool); });
  std::sort(report.pools.begin(), report.pools.end(), [](const PoolReport& a, const PoolReport& b) {
    return std::pair(a.members.front().client, a.members.front().pool) < std::pair(b.members.front().client, b.members.front().pool);
  });
}

}  // namespace tmem::inspect
