// SPDX-License-Identifier: MIT
#include "daemon/guests/client_life.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace tmem {
namespace {

// On the shard's thread. all_queues: the client has one on every shard, so that it may join shared pools.
Status attach_on(Shard& shard, const ClientEntry& entry, bool all_queues) {
  Engine& engine = shard.engine();
  if (engine.client_info(entry.id)) return engine.set_identity(entry.id, entry.identity());
  return engine.attach(entry.id, entry.identity(), policy_share(entry.policy, entry.queues, shard.shard()), all_queues);
}

// On the shard's thread. What was out is kept for puts that come again, and more as far as cap and freeze allow: who reconnects
// again and again is not to get past them.
void keep_room(Shard& shard, ClientId client) {
  const Result<ClientInfo> info = shard.engine().client_info(client);
  shard.worker().remove_channel(client);
  if (!info) return;
  shard.engine().top_up_credits(client, info.value().credits);
  shard.engine().grant_credits(client, kCreditsPerQueueMax);
}

}  // namespace

void ClientLife::attach(ClientId client, std::function<void(bool)> done) {
  const auto failed = std::make_shared<std::atomic<bool>>(false);
  shards_.on_shards(
      [failed, entry = *registry_.find(client), shards = shards_.count()](Shard& shard) {
        if (shard.shard() >= entry.queues) return;
        if (attach_on(shard, entry, entry.queues == shards) != Status::kOk) *failed = true;
      },
      [failed, done = std::move(done)] { done(!*failed); });
}

void ClientLife::open_channels(std::vector<std::unique_ptr<Channel>> channels, std::function<void(bool)> done) {
  struct Opening {
    std::vector<std::unique_ptr<Channel>> channels;
    std::atomic<bool> failed{false};
  };
  const auto opening = std::make_shared<Opening>();
  opening->channels = std::move(channels);
  shards_.on_shards(
      [opening](Shard& shard) {
        if (shard.shard() >= opening->channels.size()) return;
        if (!shard.worker().add_channel(std::move(opening->channels[shard.shard()]))) opening->failed = true;
      },
      [opening, done = std::move(done)] { done(!opening->failed); });
}

void ClientLife::close_channels(ClientId client, std::function<void()> done) {
  shards_.on_shards(
      [client](Shard& shard) { keep_room(shard, client); },
      std::move(done));
}

void ClientLife::authorise(ClientId client, const std::vector<Uuid>& uuids) {
  if (uuids.empty()) return;
  shards_.on_shards(
      [client, uuids](Shard& shard) {
        for (const Uuid& uuid : uuids) {
          // kNoClient: it has no queue on this shard.
          [[maybe_unused]] const Status status = shard.engine().authorise(client, uuid, true);
        }
      },
      [] {});
}

void ClientLife::free(ClientId client, std::function<void()> done) {
  shards_.on_shards(
      [client](Shard& shard) {
        shard.worker().remove_channel(client);
        // kNoClient: it had no queue on this shard.
        [[maybe_unused]] const Status status = shard.engine().detach(client);
      },
      [this, client, done = std::move(done)] {
        registry_.erase(client);
        done();
      });
}

void ClientLife::write_identity(ClientId client) {
  const ClientEntry* entry = registry_.find(client);
  if (entry == nullptr) return;
  shards_.on_shards(
      [entry = *entry](Shard& shard) {
        [[maybe_unused]] const Status status = shard.engine().set_identity(entry.id, entry.identity());
      },
      [] {});
}

// The registry has the new policy at once, so that the next change starts from it; if a shard cannot take it, all go back.
void ClientLife::set_policy(ClientId client, const ClientPolicy& policy, const std::string& dedup_group, std::function<void(bool)> done) {
  ClientEntry* entry = registry_.find(client);
  if (entry == nullptr) return done(true);
  const ClientPolicy before = std::exchange(entry->policy, policy);
  const std::string group_before = std::exchange(entry->dedup_group, dedup_group);
  write_policy(client, [this, client, policy, before, group_before, done = std::move(done)](bool written) {
    ClientEntry* now = registry_.find(client);
    if (written || now == nullptr || now->policy != policy) return done(written);
    now->policy = before;
    now->dedup_group = group_before;
    write_policy(client, [done](bool) { done(false); });  // where the new one was taken there is room for the old
  });
}

void ClientLife::write_policy(ClientId client, std::function<void(bool)> done) {
  const ClientEntry* entry = registry_.find(client);
  if (entry == nullptr) return done(true);
  const auto failed = std::make_shared<std::atomic<bool>>(false);
  shards_.on_shards(
      [failed, id = client, policy = entry->policy, queues = std::max(1U, entry->queues)](Shard& shard) {
        if (shard.shard() >= queues) return;
        const Status status = shard.engine().set_policy(id, policy_share(policy, queues, shard.shard()));
        if (status != Status::kOk && status != Status::kNoClient) *failed = true;  // kNoClient: it has left meanwhile
      },
      [failed, done = std::move(done)] { done(!*failed); });
}

}  // namespace tmem
