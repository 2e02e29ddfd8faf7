// SPDX-License-Identifier: MIT
#include "daemon/guests/kept_connection.h"

#include <algorithm>
#include <cstdio>

#include "daemon/base/notify.h"

namespace tmem {
namespace {

constexpr const char* kPrefix = "client-";

std::string part_name(ClientId client, const char* part) { return kPrefix + std::to_string(client.value()) + "-" + part; }
std::string queue_name(ClientId client, const char* part, uint32_t queue) { return part_name(client, part) + "-" + std::to_string(queue); }

void take_part(KeptConnections& out, const std::string& name, FileDescriptor fd) {
  unsigned id = 0;
  unsigned queue = 0;
  unsigned queues = 0;
  unsigned order = 0;
  int rest = 0;
  if (std::sscanf(name.c_str(), "client-%u-%n", &id, &rest) != 1 || rest == 0) return;
  KeptConnection& connection = out[ClientId(id)];
  const char* const part = name.c_str() + rest;
  if (std::sscanf(part, "requests-%u", &queue) == 1 && queue < TMEMIF_QUEUES_MAX) {
    connection.doorbells[queue].requests = std::move(fd);
  } else if (std::sscanf(part, "responses-%u", &queue) == 1 && queue < TMEMIF_QUEUES_MAX) {
    connection.doorbells[queue].responses = std::move(fd);
  } else if (std::sscanf(part, "region-%u-%u", &queues, &order) == 2) {
    connection.region = MemfdRegion::adopt(std::move(fd), queues, order);
  } else if (std::string_view(part) == "socket") {
    connection.socket = std::move(fd);
  }
}

}  // namespace

std::string kept_socket_name(ClientId client) { return part_name(client, "socket"); }

void keep_connection(Notifier& notifier, ClientId client, const MemfdConnection& made) {
  const std::string geometry = std::to_string(made.region->queues()) + "-" + std::to_string(made.region->ring_order());
  notifier.store(part_name(client, "region-") + geometry, made.region->fd());
  for (uint32_t queue = 0; queue < made.doorbells.size(); ++queue) {
    notifier.store(queue_name(client, "requests", queue), made.doorbells[queue].requests.get());
    notifier.store(queue_name(client, "responses", queue), made.doorbells[queue].responses.get());
  }
}

void forget_connection(Notifier& notifier, ClientId client, uint32_t queues) {
  notifier.forget(kept_socket_name(client));
  for (uint32_t order = TMEMIF_RING_ORDER_MIN; order <= TMEMIF_RING_ORDER_MAX; ++order) {
    notifier.forget(part_name(client, "region-") + std::to_string(queues) + "-" + std::to_string(order));
  }
  for (uint32_t queue = 0; queue < queues; ++queue) {
    notifier.forget(queue_name(client, "requests", queue));
    notifier.forget(queue_name(client, "responses", queue));
  }
}

bool KeptConnection::whole() const {
  if (!region || !socket.valid() || doorbells.size() != region->queues()) return false;
  return std::all_of(doorbells.begin(), doorbells.end(), [this](const auto& entry) {
    return entry.first < region->queues() && entry.second.requests.valid() && entry.second.responses.valid();
  });
}

uint32_t KeptConnection::queues_seen() const {
  uint32_t queues = region ? region->queues() : 0;
  for (const auto& [queue, doorbell] : doorbells) queues = std::max(queues, queue + 1);
  return queues;
}

std::vector<std::unique_ptr<Channel>> KeptConnection::make_channels(ClientId client) {
  std::vector<std::unique_ptr<Channel>> channels;
  for (auto& [queue, doorbell] : doorbells) channels.push_back(std::make_unique<MemfdChannel>(client, region, queue, std::move(doorbell)));
  return channels;
}

KeptConnections take_kept_connections(std::map<std::string, FileDescriptor>& inherited) {
  KeptConnections out;
  for (auto at = inherited.lower_bound(kPrefix); at != inherited.end() && at->first.starts_with(kPrefix); at = inherited.erase(at)) {
    take_part(out, at->first, std::move(at->second));
  }
  return out;
}

}  // namespace tmem
