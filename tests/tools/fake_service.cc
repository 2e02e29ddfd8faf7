// SPDX-License-Identifier: MIT
#include "tools/fake_service.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace tmem::test {
namespace {

void fail(control::Reply& reply, control::ErrorCode code, const std::string& text) {
  reply.set_code(code);
  reply.set_error(text);
}

}  // namespace

FakeService::FakeService() {
  char name[] = "/tmp/tmem-fake-XXXXXX";
  if (!mkdtemp(name)) throw std::runtime_error("mkdtemp");
  directory_ = name;
  path_ = directory_ + "/control.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener_, 8) != 0)
    throw std::runtime_error("bind");
  info.set_version("0.1.0");
  info.set_abi_version(1);
  thread_ = std::thread([this] { serve(); });
}

FakeService::~FakeService() {
  stopping_ = true;
  thread_.join();
  close(listener_);
  unlink(path_.c_str());
  rmdir(directory_.c_str());
}

control::Client& FakeService::add_client(uint32_t id, const std::string& name) {
  control::Client& client = clients.emplace_back();
  client.set_id(id);
  client.set_name(name);
  client.set_transport("memfd");
  client.mutable_policy()->set_weight(100);
  client.mutable_policy()->set_cap_pages(0);
  client.mutable_policy()->set_min_pages(0);
  client.mutable_policy()->set_compress(true);
  client.mutable_policy()->set_frozen(false);
  client.mutable_policy()->set_dedup_group("");
  return client;
}

control::Pool& FakeService::add_pool(control::Client& client, uint32_t id, bool persistent) {
  control::Pool& pool = *client.add_pools();
  pool.set_id(id);
  pool.set_persistent(persistent);
  return pool;
}

std::string FakeService::frame(const std::string& body) {
  std::string bytes;
  for (int i = 0; i < 4; i++) bytes += static_cast<char>(body.size() >> (8 * i));
  return bytes + body;
}

void FakeService::serve() {
  while (!stopping_) {
    pollfd waiting{listener_, POLLIN, 0};
    if (poll(&waiting, 1, 20) <= 0) continue;
    int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    serve_connection(connection);
    close(connection);
  }
}

bool FakeService::read_all(int connection, char* to, size_t size) {
  while (size > 0) {
    pollfd waiting{connection, POLLIN, 0};
    if (poll(&waiting, 1, 20) == 0) {
      if (stopping_) return false;
      continue;
    }
    ssize_t n = recv(connection, to, size, 0);
    if (n <= 0) return false;
    to += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool FakeService::send_all(int connection, const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    ssize_t n = send(connection, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

void FakeService::serve_connection(int connection) {
  for (;;) {
    char head[4];
    if (!read_all(connection, head, 4)) return;
    uint32_t size = 0;
    for (int i = 0; i < 4; i++) size |= uint32_t{static_cast<uint8_t>(head[i])} << (8 * i);
    std::string body(size, '\0');
    control::Request request;
    if (!read_all(connection, body.data(), size) || !request.ParseFromString(body)) return;
    requests.push_back(request);
    if (silent) continue;
    if (raw_answer) {
      send_all(connection, raw_answer(request));
      return;
    }
    if (!send_all(connection, frame(answer(request).SerializeAsString()))) return;
    if (!request.has_subscribe()) continue;
    for (const control::Event& event : events) {
      control::Reply reply;
      reply.set_id(request.id());
      *reply.mutable_event() = event;
      send_all(connection, frame(reply.SerializeAsString()));
    }
    return;
  }
}

std::vector<control::Client*> FakeService::chosen(const control::ClientSelector* selector, control::Reply& reply) {
  std::vector<control::Client*> found;
  for (control::Client& client : clients)
    if (!selector || (selector->has_id() ? client.id() == selector->id() : client.name() == selector->name())) found.push_back(&client);
  if (selector && found.empty())
    fail(reply, control::ERROR_NO_CLIENT, "there is no client '" + (selector->has_id() ? std::to_string(selector->id()) : selector->name()) + "'; see: xen-tmemctl list");
  if (selector && found.size() > 1) fail(reply, control::ERROR_NOT_POSSIBLE, "two clients are named '" + selector->name() + "'; use an id");
  return found;
}

void FakeService::list(const control::ListClients::Request& request, control::Reply& reply) {
  auto& body = *reply.mutable_list_clients();
  for (control::Client* client : chosen(request.has_client() ? &request.client() : nullptr, reply)) {
    control::Client& copy = *body.add_clients();
    copy = *client;
    if (!request.pools()) copy.clear_pools();
    if (!request.authorised()) copy.clear_authorised();
  }
}

void FakeService::set_policy(const control::SetPolicy::Request& request, control::Reply& reply) {
  auto found = chosen(request.has_client() ? &request.client() : nullptr, reply);
  for (control::Client* client : found) client->mutable_policy()->MergeFrom(request.policy());
  reply.mutable_set_policy()->set_clients_changed(static_cast<uint32_t>(found.size()));
}

void FakeService::flush(const control::Flush::Request& request, control::Reply& reply) {
  uint64_t left = request.bytes() == 0 ? UINT64_MAX : request.bytes() / 4096, flushed = 0;
  for (control::Client* client : chosen(request.has_client() ? &request.client() : nullptr, reply)) {
    uint64_t now = std::min(left, client->space().pages_ephemeral());
    client->mutable_space()->set_pages_ephemeral(client->space().pages_ephemeral() - now);
    left -= now;
    flushed += now;
  }
  reply.mutable_flush()->set_pages_flushed(flushed);
}

void FakeService::destroy_pool(const control::DestroyPool::Request& request, control::Reply& reply) {
  auto found = chosen(&request.client(), reply);
  if (found.empty()) return;
  auto& pools = *found[0]->mutable_pools();
  auto pool = std::find_if(pools.begin(), pools.end(), [&](const control::Pool& p) { return p.id() == request.pool(); });
  if (pool == pools.end()) return fail(reply, control::ERROR_NO_POOL, "client '" + found[0]->name() + "' has no pool " + std::to_string(request.pool()));
  if (pool->persistent() && !request.force()) return fail(reply, control::ERROR_NOT_POSSIBLE, "pool is persistent; its pages would be lost; say --force");
  reply.mutable_destroy_pool()->set_pages_destroyed(pool->space().pages_ephemeral() + pool->space().pages_persistent());
  pools.erase(pool);
}

void FakeService::shared_auth(const control::SharedAuth::Request& request, control::Reply& reply) {
  auto found = chosen(request.has_client() ? &request.client() : nullptr, reply);
  for (control::Client* client : found) {
    auto& uuids = *client->mutable_authorised();
    auto at = std::find(uuids.begin(), uuids.end(), request.uuid());
    if (request.allow() && at == uuids.end()) client->add_authorised(request.uuid());
    if (!request.allow() && at != uuids.end()) uuids.erase(at);
  }
  reply.mutable_shared_auth()->set_clients_changed(static_cast<uint32_t>(found.size()));
}

void FakeService::forget(const control::Forget::Request& request, control::Reply& reply) {
  auto found = chosen(&request.client(), reply);
  if (found.empty()) return;
  if (found[0]->state() == control::Client::CONNECTED)
    return fail(reply, control::ERROR_NOT_POSSIBLE, "client '" + found[0]->name() + "' is connected; only one that is away can be forgotten");
  reply.mutable_forget()->set_pages_destroyed(found[0]->space().pages_persistent());
  clients.erase(clients.begin() + (found[0] - clients.data()));
}

control::Reply FakeService::answer(const control::Request& request) {
  control::Reply reply;
  reply.set_id(request.id());
  switch (request.body_case()) {
    case control::Request::kInfo: *reply.mutable_info() = info; break;
    case control::Request::kListClients: list(request.list_clients(), reply); break;
    case control::Request::kSetPolicy: set_policy(request.set_policy(), reply); break;
    case control::Request::kFlush: flush(request.flush(), reply); break;
    case control::Request::kDestroyPool: destroy_pool(request.destroy_pool(), reply); break;
    case control::Request::kSharedAuth: shared_auth(request.shared_auth(), reply); break;
    case control::Request::kFreeable: reply.mutable_freeable()->set_bytes(freeable_bytes); break;
    case control::Request::kSubscribe: reply.mutable_subscribe(); break;
    case control::Request::kSetMemory: {
      uint64_t before = info.shards_size() > 0 ? info.shards(0).memory_bytes_target() : 0;
      reply.mutable_set_memory()->set_bytes_before(before);
      if (info.shards_size() > 0) info.mutable_shards(0)->set_memory_bytes_target(request.set_memory().bytes());
      break;
    }
    case control::Request::kForget: forget(request.forget(), reply); break;
    case control::Request::BODY_NOT_SET: fail(reply, control::ERROR_BAD_REQUEST, "the request is empty"); break;
  }
  return reply;
}

}  // namespace tmem::test
