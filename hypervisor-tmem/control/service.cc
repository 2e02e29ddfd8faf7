// SPDX-License-Identifier: MIT
#include "control/service.h"

#include <map>
#include <memory>

#include "control/translate.h"

namespace tmem {
namespace {

using control::Reply;

void refuse(const ControlService::Answer& answer, control::ErrorCode code, std::string text) {
  Reply reply;
  reply.set_code(code);
  reply.set_error(std::move(text));
  answer(std::move(reply));
}

std::string described(const ControlClient& client) { return "'" + client.name + "' (client " + std::to_string(client.id.value()) + ")"; }

// One slot for each shard: each shard's thread writes its own, the main thread reads when all are done.
template <typename T>
std::shared_ptr<std::vector<T>> per_shard(const ControlHost& host) {
  return std::make_shared<std::vector<T>>(host.shards());
}

uint64_t sum(const std::vector<uint64_t>& parts) {
  uint64_t total = 0;
  for (const uint64_t part : parts) total += part;
  return total;
}

// What one shard knows of one client.
struct ClientPart {
  bool present = false;
  ClientInfo info;
  QueueFigures queue;
  std::vector<PoolInfo> pools;
  std::vector<Uuid> authorised;
};

ClientPart read_client(ShardAccess& shard, ClientId id, bool pools, bool authorised) {
  ClientPart part;
  const Result<ClientInfo> info = shard.engine().client_info(id);
  if (!info) return part;
  part.present = true;
  part.info = info.value();
  part.queue = shard.queue(id);
  if (pools) {
    const Result<std::vector<PoolInfo>> listed = shard.engine().pools(id);
    if (listed) part.pools = listed.value();
  }
  if (authorised) part.authorised = shard.engine().authorised(id);
  return part;
}

void add_part(control::Client& client, const ClientPart& part, std::map<uint32_t, control::Pool>& pools, std::map<std::string, bool>& uuids) {
  add_ops(*client.mutable_ops(), part.info.ops);
  add_space(*client.mutable_space(), part.info.space);
  client.set_credits(client.credits() + part.info.credits);
  client.set_requests(client.requests() + part.queue.requests);
  client.set_requests_malformed(client.requests_malformed() + part.queue.requests_malformed);
  client.set_doorbells_sent(client.doorbells_sent() + part.queue.doorbells_sent);
  add_refusals(*client.mutable_refused(), part.queue.refused);
  for (const PoolInfo& pool : part.pools) {
    const auto [at, is_new] = pools.try_emplace(pool.id.value());
    if (is_new) {
      set_pool(at->second, pool);
    } else {
      add_pool(at->second, pool);
    }
  }
  for (const Uuid& uuid : part.authorised) uuids[uuid_text(uuid)] = true;
}

}  // namespace

void ControlService::handle(const control::Request& request, Answer answer) {
  const auto with_id = [id = request.id(), answer = std::move(answer)](Reply reply) {
    reply.set_id(id);
    answer(std::move(reply));
  };
  switch (request.body_case()) {
    case control::Request::kInfo: return info(with_id);
    case control::Request::kListClients: return list_clients(request.list_clients(), with_id);
    case control::Request::kSetPolicy: return set_policy(request.set_policy(), with_id);
    case control::Request::kFlush: return flush(request.flush(), with_id);
    case control::Request::kDestroyPool: return destroy_pool(request.destroy_pool(), with_id);
    case control::Request::kSharedAuth: return shared_auth(request.shared_auth(), with_id);
    case control::Request::kFreeable: return freeable(with_id);
    case control::Request::kSetMemory: return set_memory(request.set_memory(), with_id);
    case control::Request::kForget: return forget(request.forget(), with_id);
    case control::Request::kSubscribe: {
      Reply reply;
      reply.mutable_subscribe();
      return with_id(std::move(reply));
    }
    case control::Request::BODY_NOT_SET: break;
  }
  refuse(with_id, control::ERROR_BAD_REQUEST, "the request asks for nothing that this version knows; update xen-tmemd or ask for less");
}

std::optional<std::vector<ControlClient>> ControlService::select(const control::ClientSelector* selector, const Answer& answer) const {
  std::vector<ControlClient> all = host_.clients();
  if (selector == nullptr) return all;
  if (selector->has_id() == selector->has_name()) {
    refuse(answer, control::ERROR_BAD_REQUEST, "name a client either by id or by name");
    return std::nullopt;
  }
  std::vector<ControlClient> out;
  for (ControlClient& client : all) {
    if (client.state == ControlClientState::kClosing) continue;
    if (selector->has_id() ? client.id.value() == selector->id() : client.name == selector->name()) out.push_back(std::move(client));
  }
  const std::string named = selector->has_id() ? std::to_string(selector->id()) : "'" + selector->name() + "'";
  if (out.empty()) {
    refuse(answer, control::ERROR_NO_CLIENT, "no client " + named + ": it never connected, or it is gone; see: xen-tmemctl list");
    return std::nullopt;
  }
  if (out.size() > 1) {
    refuse(answer, control::ERROR_BAD_REQUEST, std::to_string(out.size()) + " clients are called " + named + ": name one by its id");
    return std::nullopt;
  }
  return out;
}

std::optional<ControlClient> ControlService::select_one(bool present, const control::ClientSelector& selector, const Answer& answer) const {
  if (!present) {
    refuse(answer, control::ERROR_BAD_REQUEST, "this needs a client: name one by id or by name");
    return std::nullopt;
  }
  const auto clients = select(&selector, answer);
  return clients ? std::optional(clients->front()) : std::nullopt;
}

void ControlService::info(Answer answer) {
  const auto parts = per_shard<control::Shard>(host_);
  host_.on_shards(
      [parts](ShardAccess& shard) {
        control::Shard& out = (*parts)[shard.shard()];
        set_shard(out, shard.shard(), shard.engine().stats());
        out.set_sleeps(shard.sleeps());
        out.set_wakeups(shard.wakeups());
        out.set_channels_broken(shard.channels_broken());
      },
      [this, parts, answer = std::move(answer)] {
        Reply reply;
        control::Info::Reply& out = *reply.mutable_info();
        set_info(out, host_.figures());
        for (control::Shard& shard : *parts) *out.add_shards() = std::move(shard);
        out.set_clients(static_cast<uint32_t>(host_.clients().size()));
        answer(std::move(reply));
      });
}

// One client at a time: hundreds of clients with hundreds of pools each would keep a shard from its guests.
struct ControlService::Listing {
  control::ListClients::Request request;
  std::vector<ControlClient> clients;
  std::vector<ClientPart> parts;  // of each shard, of the client whose turn it is
  Reply reply;
};

void ControlService::list_clients(const control::ListClients::Request& request, Answer answer) {
  auto clients = select(request.has_client() ? &request.client() : nullptr, answer);
  if (!clients) return;
  const auto listing = std::make_shared<Listing>(Listing{request, std::move(*clients), std::vector<ClientPart>(host_.shards()), {}});
  listing->reply.mutable_list_clients();
  list_next(listing, std::move(answer));
}

void ControlService::list_next(const std::shared_ptr<Listing>& listing, Answer answer) {
  control::ListClients::Reply& out = *listing->reply.mutable_list_clients();
  const auto turn = static_cast<size_t>(out.clients_size());
  if (turn == listing->clients.size()) return answer(std::move(listing->reply));
  host_.on_shards(
      [listing, turn](ShardAccess& shard) {
        listing->parts[shard.shard()] = read_client(shard, listing->clients[turn].id, listing->request.pools(), listing->request.authorised());
      },
      [this, listing, turn, answer = std::move(answer)] {
        control::Client& client = *listing->reply.mutable_list_clients()->add_clients();
        set_client(client, listing->clients[turn]);
        std::map<uint32_t, control::Pool> pools;
        std::map<std::string, bool> uuids;
        for (const ClientPart& part : listing->parts) {
          if (part.present) add_part(client, part, pools, uuids);
        }
        for (auto& [id, pool] : pools) *client.add_pools() = std::move(pool);
        for (const auto& [uuid, allowed] : uuids) client.add_authorised(uuid);
        list_next(listing, answer);
      });
}

void ControlService::set_policy(const control::SetPolicy::Request& request, Answer answer) {
  auto clients = select(request.has_client() ? &request.client() : nullptr, answer);
  if (!clients) return;
  // All are tested before one is changed.
  for (ControlClient& client : *clients) {
    if (const auto wrong = apply_policy(request.policy(), client.policy, client.dedup_group)) {
      return refuse(answer, control::ERROR_BAD_REQUEST, "policy of " + described(client) + " unchanged: " + *wrong);
    }
  }
  struct Changing {
    uint32_t changed = 0;
    std::string unchanged;  // whose policy could not be written down
  };
  // Its end answers, when the last change is done.
  const std::shared_ptr<Changing> changing(new Changing, [answer = std::move(answer)](Changing* all) {
    const std::unique_ptr<Changing> owned(all);
    if (!all->unchanged.empty()) {
      return refuse(answer, control::ERROR_NOT_POSSIBLE,
                    "policy of " + all->unchanged + " unchanged: the service has no room to write it down; raise its memory, or free pages");
    }
    Reply reply;
    reply.mutable_set_policy()->set_clients_changed(all->changed);
    answer(std::move(reply));
  });
  for (const ControlClient& client : *clients) {
    host_.set_policy(client.id, client.policy, client.dedup_group, [changing, who = described(client)](bool written) {
      if (written) ++changing->changed;
      else changing->unchanged += (changing->unchanged.empty() ? "" : ", ") + who;
    });
  }
}

// Each shard drops a few pages a turn, so that it serves requests in between: what was there at first, and no page that comes
// meanwhile.
struct ControlService::Flushing {
  struct Part {
    std::optional<uint64_t> pages_left;
    Flushed slice;
    Flushed sum;
  };

  void on(ShardAccess& shard) {
    Engine& engine = shard.engine();
    Part& part = parts[shard.shard()];
    if (!part.pages_left) part.pages_left = pages_there(engine);
    part.slice = {};
    if (*part.pages_left == 0 || part.sum.bytes >= share) return;
    if (!client) {
      part.slice = engine.flush_ephemeral(share - part.sum.bytes);
    } else if (const Result<Flushed> flushed = engine.flush_ephemeral(*client, share - part.sum.bytes)) {
      part.slice = flushed.value();
    }
    *part.pages_left -= std::min(*part.pages_left, part.slice.pages);
    part.sum.pages += part.slice.pages;
    part.sum.bytes += part.slice.bytes;
  }

  uint64_t pages_there(const Engine& engine) const {
    uint64_t pages = 0;
    for (const ClientId id : engine.clients()) {
      if (!client || id == *client) pages += engine.client_info(id).value().space.pages_ephemeral;
    }
    return pages;
  }

  std::optional<ClientId> client;  // nobody: everyone, by weight
  uint64_t share = 0;              // bytes that each shard is to free
  std::vector<Part> parts;         // each shard's
};

void ControlService::flush(const control::Flush::Request& request, Answer answer) {
  const auto flushing = std::make_shared<Flushing>();
  flushing->parts.resize(host_.shards());
  uint32_t queues = host_.shards();
  if (request.has_client()) {
    const auto client = select_one(true, request.client(), answer);
    if (!client) return;
    flushing->client = client->id;
    queues = std::max(1U, client->queues);
  }
  flushing->share = request.bytes() == 0 ? UINT64_MAX : request.bytes() / queues + 1;
  flush_on(flushing, std::move(answer));
}

void ControlService::flush_on(const std::shared_ptr<Flushing>& flushing, Answer answer) {
  host_.on_shards([flushing](ShardAccess& shard) { flushing->on(shard); },
                  [this, flushing, answer = std::move(answer)] {
                    uint64_t slice = 0;
                    uint64_t pages = 0;
                    for (const Flushing::Part& part : flushing->parts) {
                      slice += part.slice.pages;
                      pages += part.sum.pages;
                    }
                    if (slice > 0) return flush_on(flushing, answer);
                    Reply reply;
                    reply.mutable_flush()->set_pages_flushed(pages);
                    answer(std::move(reply));
                  });
}

void ControlService::destroy_pool(const control::DestroyPool::Request& request, Answer answer) {
  const auto client = select_one(request.has_client(), request.client(), answer);
  if (!client) return;
  const auto found = per_shard<std::optional<PoolInfo>>(host_);
  host_.on_shards(
      [found, id = client->id, wanted = PoolId(request.pool())](ShardAccess& shard) {
        const Result<std::vector<PoolInfo>> pools = shard.engine().pools(id);
        if (!pools) return;
        for (const PoolInfo& pool : pools.value()) {
          if (pool.id == wanted) (*found)[shard.shard()] = pool;
        }
      },
      [this, found, client = *client, request, answer = std::move(answer)] {
        for (const auto& pool : *found) {
          if (pool) return destroy_pool_found(client, request, *pool, answer);
        }
        refuse(answer, control::ERROR_NO_POOL, described(client) + " has no pool " + std::to_string(request.pool()) + "; see: xen-tmemctl list");
      });
}

void ControlService::destroy_pool_found(const ControlClient& client, const control::DestroyPool::Request& request, const PoolInfo& pool, Answer answer) {
  if (pool.persistent && !request.force()) {
    return refuse(answer, control::ERROR_NOT_POSSIBLE,
                  "pool " + std::to_string(request.pool()) + " of " + described(client) +
                      " is persistent: its pages exist nowhere else and the guest would lose them; say --force if that is meant");
  }
  const auto pages = per_shard<uint64_t>(host_);
  host_.on_shards(
      [pages, id = client.id, wanted = PoolId(request.pool())](ShardAccess& shard) {
        Engine& engine = shard.engine();
        const auto stored = [&] {
          const Result<ClientInfo> info = engine.client_info(id);
          return info ? info.value().space.pages_ephemeral + info.value().space.pages_persistent : 0;
        };
        const uint64_t before = stored();
        if (engine.destroy_pool(id, wanted) == Status::kOk) (*pages)[shard.shard()] = before - stored();
      },
      [pages, answer = std::move(answer)] {
        Reply reply;
        reply.mutable_destroy_pool()->set_pages_destroyed(sum(*pages));
        answer(std::move(reply));
      });
}

void ControlService::shared_auth(const control::SharedAuth::Request& request, Answer answer) {
  const auto uuid = parse_uuid(request.uuid());
  if (!uuid) {
    return refuse(answer, control::ERROR_BAD_REQUEST, "the pool's uuid is malformed: give 36 characters such as 01234567-89ab-cdef-0123-456789abcdef");
  }
  auto clients = select(request.has_client() ? &request.client() : nullptr, answer);
  if (!clients) return;
  const auto listed = std::make_shared<const std::vector<ControlClient>>(std::move(*clients));
  const auto refused = per_shard<std::map<size_t, Status>>(host_);
  host_.on_shards(
      [listed, refused, uuid = *uuid, allow = request.allow()](ShardAccess& shard) {
        for (size_t i = 0; i < listed->size(); ++i) {
          if (shard.shard() >= (*listed)[i].queues) continue;
          const Status status = shard.engine().authorise((*listed)[i].id, uuid, allow);
          if (status != Status::kOk && status != Status::kNoClient) (*refused)[shard.shard()].emplace(i, status);
        }
      },
      [listed, refused, answer = std::move(answer)] {
        for (const auto& shard : *refused) {
          for (const auto& [i, status] : shard) {
            const std::string why = status == Status::kNoSpace ? "the service has no room to note it; raise its memory, or free pages"
                                                               : "it may be allowed at most " + std::to_string(kAuthorisedUuidsMax) + " shared pools; revoke one first";
            return refuse(answer, control::ERROR_NOT_POSSIBLE, described((*listed)[i]) + " was not changed: " + why);
          }
        }
        Reply reply;
        reply.mutable_shared_auth()->set_clients_changed(static_cast<uint32_t>(listed->size()));
        answer(std::move(reply));
      });
}

void ControlService::freeable(Answer answer) {
  const auto bytes = per_shard<uint64_t>(host_);
  host_.on_shards([bytes](ShardAccess& shard) { (*bytes)[shard.shard()] = shard.engine().freeable_bytes(); },
                  [bytes, answer = std::move(answer)] {
                    Reply reply;
                    reply.mutable_freeable()->set_bytes(sum(*bytes));
                    answer(std::move(reply));
                  });
}

void ControlService::set_memory(const control::SetMemory::Request& request, Answer answer) {
  const std::optional<uint64_t> before = host_.set_memory(request.bytes());
  if (!before) {
    return refuse(answer, control::ERROR_BAD_REQUEST,
                  std::to_string(request.bytes()) + " bytes of memory is out of range: give at least 4 MiB for each of " + std::to_string(host_.shards()) +
                      " shards and at most " + std::to_string(host_.figures().memory_bytes_max) + " (memory-max in the configuration)");
  }
  Reply reply;
  reply.mutable_set_memory()->set_bytes_before(*before);
  answer(std::move(reply));
}

void ControlService::forget(const control::Forget::Request& request, Answer answer) {
  const auto client = select_one(request.has_client(), request.client(), answer);
  if (!client) return;
  const auto pages = per_shard<uint64_t>(host_);
  host_.on_shards(
      [pages, id = client->id](ShardAccess& shard) {
        const Result<ClientInfo> info = shard.engine().client_info(id);
        if (info) (*pages)[shard.shard()] = info.value().space.pages_ephemeral + info.value().space.pages_persistent;
      },
      [this, pages, client = *client, answer = std::move(answer)] {
        if (!host_.forget(client.id)) {
          return refuse(answer, control::ERROR_NOT_POSSIBLE,
                        described(client) + " is connected: only suspended and recovered clients can be forgotten; stop the guest first");
        }
        Reply reply;
        reply.mutable_forget()->set_pages_destroyed(sum(*pages));
        answer(std::move(reply));
      });
}

}  // namespace tmem
