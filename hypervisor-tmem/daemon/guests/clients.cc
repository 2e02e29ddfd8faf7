// SPDX-License-Identifier: MIT
#include "daemon/guests/clients.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace tmem {
namespace {

// Epochs between the first ones of two clients: more than any client ever resumes.
constexpr uint64_t kEpochStep = uint64_t{1} << 20;

constexpr char kGroupByNumber = '#';
constexpr uint32_t kGroupNumberFirst = uint32_t{1} << 31;

// Parts of a whole that add up to it. A limit of zero means "none", so no part of a real limit may become zero.
uint64_t part_of(uint64_t whole, uint32_t queues, uint32_t queue) { return whole / queues + (queue < whole % queues ? 1 : 0); }

// The arena keeps the number of a group and not its name.
std::string group_text(uint32_t group) { return kGroupByNumber + std::to_string(group); }

}  // namespace

uint32_t dedup_number(ClientId client, const std::string& group) {
  if (group.empty()) return 0;
  if (group == "self") return client.value();
  if (group[0] == kGroupByNumber) return static_cast<uint32_t>(std::strtoul(group.c_str() + 1, nullptr, 10)) | kGroupNumberFirst;
  uint32_t hash = 2166136261;
  for (const char c : group) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  return hash | kGroupNumberFirst;
}

ClientPolicy policy_share(const ClientPolicy& whole, uint32_t queues, uint32_t queue) {
  ClientPolicy share = whole;
  if (whole.cap_pages != 0) share.cap_pages = std::max<uint64_t>(1, part_of(whole.cap_pages, queues, queue));
  share.min_pages = part_of(whole.min_pages, queues, queue);
  return share;
}

ClientPolicy policy_whole(const std::vector<ClientPolicy>& shares) {
  ClientPolicy whole = shares.front();
  for (size_t i = 1; i < shares.size(); ++i) {
    whole.cap_pages += shares[i].cap_pages;
    whole.min_pages += shares[i].min_pages;
  }
  return whole;
}

ClientRegistry::ClientRegistry(const Limits& limits, const ClientPolicy& default_policy, uint64_t first_epoch)
    : limits_(limits), default_policy_(default_policy), next_id_(kLocalClientIdFirst), next_epoch_(first_epoch) {}

void ClientRegistry::recovered(const ClientInfo& info) {
  const auto [at, is_new] = entries_.try_emplace(info.id);
  ClientEntry& entry = at->second;
  const uint64_t epoch = info.epoch / 4;
  const bool confirmed = (info.epoch & 1) == 0;
  const bool suspended = (info.epoch & 2) != 0;
  if (is_new) {
    entry.id = info.id;
    entry.uuid = info.uuid;
    entry.nonce = info.nonce;
    entry.epoch = epoch;
    entry.epoch_confirmed = confirmed;
    entry.name = info.name.data();
    entry.owner = info.owner;
    entry.state = suspended ? ClientState::kSuspended : ClientState::kRecovered;
  } else if (entry.uuid != info.uuid || entry.nonce != info.nonce || entry.owner != info.owner) {
    contradicting_.push_back(info.id);
    return;
  } else if (epoch > entry.epoch) {
    entry.epoch = epoch;
    entry.epoch_confirmed = confirmed;
    entry.state = suspended ? ClientState::kSuspended : ClientState::kRecovered;
  } else if (epoch == entry.epoch) {
    entry.epoch_confirmed |= confirmed;
    if (suspended) entry.state = ClientState::kSuspended;
  }
  ++entry.queues;
  recovered_shares_[info.id].push_back(info.policy);
  if (info.id.value() >= next_id_) next_id_ = info.id.value() + 1;
}

std::vector<ClientId> ClientRegistry::recovery_done(uint64_t now_seconds) {
  for (auto& [id, entry] : entries_) {
    entry.policy = policy_whole(recovered_shares_[id]);
    entry.deadline_seconds =
        now_seconds + (entry.state == ClientState::kSuspended ? limits_.suspend_grace_seconds : limits_.recover_grace_seconds);
    if (const uint32_t group = entry.policy.dedup_group; group != 0) entry.dedup_group = group == id.value() ? "self" : group_text(group);
    // One uuid, one entry: a crash between the freeing of an old client and the coming of its successor leaves two.
    // The older gives way.
    for (const auto& [other_id, other] : entries_) {
      if (other_id < id && other.uuid == entry.uuid) contradicting_.push_back(other_id);
    }
  }
  recovered_shares_.clear();
  std::sort(contradicting_.begin(), contradicting_.end());
  contradicting_.erase(std::unique(contradicting_.begin(), contradicting_.end()), contradicting_.end());
  for (const ClientId id : contradicting_) entries_.at(id).state = ClientState::kClosing;
  return std::exchange(contradicting_, {});
}

Admission ClientRegistry::admit(const ClientHello& hello) {
  uint32_t owner = hello.owner;
  for (const auto& [id, entry] : entries_) {
    if (entry.uuid != hello.uuid) continue;
    if (hello.owner != 0 && hello.owner != entry.owner) return {Admission::Outcome::kNotOwner, id, std::nullopt};
    if (!hello.by_host) owner = entry.owner;
  }
  ClientEntry* old = find_uuid(hello.uuid);
  if (old != nullptr && old->state == ClientState::kConnected) return {Admission::Outcome::kInUse, old->id, std::nullopt};
  if (old != nullptr) {
    const bool of_guest = !hello.by_host || old->owner == 0;
    const bool current = hello.epoch == old->epoch || (!old->epoch_confirmed && hello.epoch + 1 == old->epoch);
    // Another number of queues would look for the pages on other shards.
    if (hello.epoch != 0 && current && of_guest && hello.nonce == old->nonce && hello.queues == old->queues) {
      old->epoch = hello.epoch + 1;  // once more the same, if nobody has shown that it knows it
      old->epoch_confirmed = false;
      old->name = hello.name;
      old->transport = hello.transport;
      old->waited_as = std::exchange(old->state, ClientState::kConnected);
      return {Admission::Outcome::kResumed, old->id, std::nullopt};
    }
  }
  std::optional<ClientId> freed;
  if (old != nullptr) {
    old->state = ClientState::kClosing;
    freed = old->id;
  }
  if (entries_.size() >= limits_.clients_max + (freed ? 1 : 0)) return {Admission::Outcome::kFull, ClientId(), freed};
  const ClientId id = new_id(hello.wanted_id);
  ClientEntry& entry = entries_[id];
  entry.id = id;
  entry.uuid = hello.uuid;
  entry.nonce = hello.nonce;
  entry.epoch = std::exchange(next_epoch_, next_epoch_ + kEpochStep);
  entry.name = hello.name;
  entry.owner = owner;
  entry.transport = hello.transport;
  entry.queues = hello.queues;
  entry.policy = default_policy_;
  if (default_policy_.dedup_group != 0) {
    entry.policy.dedup_group = id.value();
    entry.dedup_group = "self";
  }
  return {Admission::Outcome::kFresh, id, freed};
}

bool ClientRegistry::reconnected(ClientId id, const std::string& transport, uint32_t queues) {
  ClientEntry* entry = find(id);
  if (entry == nullptr || !entry->awaited() || entry->queues != queues) return false;
  entry->will_be_back = entry->state == ClientState::kSuspended;
  entry->waited_as = std::exchange(entry->state, ClientState::kConnected);
  entry->transport = transport;
  return true;
}

void ClientRegistry::resume_failed(ClientId id, uint64_t now_seconds) {
  ClientEntry* entry = find(id);
  if (entry == nullptr || entry->state != ClientState::kConnected) return;
  entry->state = entry->waited_as;
  entry->will_be_back = false;
  entry->deadline_seconds = std::max(entry->deadline_seconds, now_seconds + limits_.recover_grace_seconds);
}

bool ClientRegistry::confirm(ClientId id) {
  ClientEntry* entry = find(id);
  if (entry == nullptr || entry->epoch_confirmed) return false;
  entry->epoch_confirmed = true;
  return true;
}

bool ClientRegistry::said(ClientId id, bool will_be_back) {
  ClientEntry* entry = find(id);
  return entry != nullptr && entry->state == ClientState::kConnected && std::exchange(entry->will_be_back, will_be_back) != will_be_back;
}

bool ClientRegistry::disconnected(ClientId id, bool suspended, uint64_t now_seconds) {
  ClientEntry* entry = find(id);
  if (entry == nullptr || entry->state != ClientState::kConnected) return false;
  entry->will_be_back = false;
  if (suspended && count(ClientState::kSuspended) < limits_.suspended_max) {
    entry->state = ClientState::kSuspended;
    entry->deadline_seconds = now_seconds + limits_.suspend_grace_seconds;
    return false;
  }
  entry->state = ClientState::kClosing;
  return true;
}

bool ClientRegistry::forget(ClientId id) {
  ClientEntry* entry = find(id);
  if (entry == nullptr || !entry->awaited()) return false;
  entry->state = ClientState::kClosing;
  return true;
}

void ClientRegistry::erase(ClientId id) { entries_.erase(id); }

std::vector<ClientId> ClientRegistry::expired(uint64_t now_seconds) {
  std::vector<ClientId> out;
  for (auto& [id, entry] : entries_) {
    if (!entry.awaited() || now_seconds < entry.deadline_seconds) continue;
    entry.state = ClientState::kClosing;
    out.push_back(id);
  }
  return out;
}

std::vector<ClientId> ClientRegistry::over_memory(const std::map<ClientId, uint64_t>& bytes, uint64_t bytes_max) {
  std::vector<ClientEntry*> away;
  uint64_t sum = 0;
  for (auto& [id, entry] : entries_) {
    const auto has = bytes.find(id);
    if (entry.state != ClientState::kSuspended || has == bytes.end() || has->second == 0) continue;
    away.push_back(&entry);
    sum += has->second;
  }
  std::stable_sort(away.begin(), away.end(), [](const ClientEntry* a, const ClientEntry* b) { return a->deadline_seconds < b->deadline_seconds; });
  std::vector<ClientId> out;
  for (ClientEntry* entry : away) {
    if (sum <= bytes_max) break;
    sum -= bytes.at(entry->id);
    entry->state = ClientState::kClosing;
    out.push_back(entry->id);
  }
  return out;
}

ClientEntry* ClientRegistry::find(ClientId id) {
  const auto at = entries_.find(id);
  return at == entries_.end() ? nullptr : &at->second;
}

ClientEntry* ClientRegistry::find_uuid(const Uuid& uuid) {
  for (auto& [id, entry] : entries_) {
    if (entry.uuid == uuid && entry.state != ClientState::kClosing) return &entry;
  }
  return nullptr;
}

size_t ClientRegistry::count(ClientState state) const {
  return static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e.second.state == state; }));
}

ClientId ClientRegistry::new_id(std::optional<ClientId> wanted) {
  if (wanted && !entries_.contains(*wanted)) return *wanted;
  while (next_id_ < kLocalClientIdFirst || entries_.contains(ClientId(next_id_))) {
    next_id_ = next_id_ < kLocalClientIdFirst ? kLocalClientIdFirst : next_id_ + 1;
  }
  return ClientId(next_id_++);
}

}  // namespace tmem
