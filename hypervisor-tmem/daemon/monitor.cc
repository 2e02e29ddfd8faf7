// SPDX-License-Identifier: MIT
#include "daemon/monitor.h"

#include <algorithm>
#include <utility>

namespace tmem {

std::vector<MonitorEvent> Monitor::look(const std::vector<ShardSample>& shards) {
  using Kind = MonitorEvent::Kind;
  std::vector<MonitorEvent> events;
  uint64_t held = 0;
  uint64_t target = 0;
  std::map<ClientId, ClientSample> now;
  for (const ShardSample& shard : shards) {
    held += shard.memory_bytes - std::min(shard.memory_bytes, shard.freeable_bytes);
    target += shard.memory_bytes_target;
    for (const ClientSample& part : shard.clients) {
      ClientSample& sum = now[part.id];
      sum.id = part.id;
      sum.put_no_space += part.put_no_space;
      sum.get_corrupt += part.get_corrupt;
    }
  }
  const uint64_t percent = target == 0 ? 0 : held * 100 / target;
  if (!low_ && percent >= kLowPercent) events.push_back({Kind::kMemoryLow, ClientId(), percent});
  if (low_ && percent <= kOkPercent) events.push_back({Kind::kMemoryOk, ClientId(), percent});
  low_ = low_ ? percent > kOkPercent : percent >= kLowPercent;
  for (const auto& [id, client] : now) {
    const auto known = last_.find(id);
    const ClientSample before = known != last_.end() ? known->second : ClientSample{};
    if (client.put_no_space > before.put_no_space) events.push_back({Kind::kPutRefused, id, client.put_no_space - before.put_no_space});
    if (client.get_corrupt > before.get_corrupt) events.push_back({Kind::kPageCorrupt, id, client.get_corrupt - before.get_corrupt});
  }
  last_ = std::move(now);
  return events;
}

}  // namespace tmem
