// SPDX-License-Identifier: MIT
// A host for control tests: two shards with real engines over plain memory, in the test's own thread. Answers come late if the
// test wants (hold), as they do from real shards.
#pragma once

#include <memory>
#include <vector>

#include "control/host.h"
#include "support/heap_memory.h"

namespace tmem::test {

class FakeHost final : public ControlHost {
 public:
  static constexpr uint64_t kMemoryMax = uint64_t{64} << 20;

  FakeHost() {
    for (uint32_t i = 0; i < 2; ++i) {
      shards_.push_back(std::make_unique<FakeShard>());
      shards_.back()->number = i;
      EngineConfig config;
      config.memory_bytes_target = 8 << 20;
      shards_.back()->made = std::move(Engine::create(shards_.back()->memory, config).value());
    }
  }

  ClientId add(uint32_t id, const std::string& name, ControlClientState state = ControlClientState::kConnected) {
    ControlClient client;
    client.id = ClientId(id);
    client.name = name;
    client.uuid.byte[0] = static_cast<uint8_t>(id);
    client.state = state;
    client.transport = "memfd";
    client.queues = 2;
    for (const auto& shard : shards_) {
      if (shard->engine().attach(client.id, {client.uuid, {1, 2}, 2, client.name}, client.policy, true) != Status::kOk) std::abort();
    }
    rows.push_back(client);
    return client.id;
  }
  // The same on both shards, as a front does it.
  void make_pool(ClientId client, uint32_t pool, uint32_t flags) {
    for (const auto& shard : shards_) {
      if (shard->engine().new_pool(client, PoolId(pool), flags) != Status::kOk) std::abort();
    }
  }
  void put(ClientId client, uint32_t pool, uint32_t pages) {
    for (const auto& shard : shards_) {
      for (uint32_t i = 0; i < pages; ++i) {
        if (shard->engine().put(client, {PoolId(pool), {{1, 2, 3}}, PageIndex(i)}, SameFilled{i + 1}) != Status::kOk) std::abort();
      }
    }
  }
  Engine& engine(uint32_t shard) { return shards_[shard]->engine(); }

  ServiceFigures figures() const override {
    ServiceFigures out;
    out.version = "1.2.3";
    out.pid = 77;
    out.memory_bytes_max = kMemoryMax;
    return out;
  }
  uint32_t shards() const override { return 2; }
  std::vector<ControlClient> clients() const override { return rows; }
  void on_shards(std::function<void(ShardAccess&)> work, std::function<void()> done) override {
    for (const auto& shard : shards_) work(*shard);
    if (hold) {
      held.push_back(std::move(done));
    } else {
      done();
    }
  }
  void set_policy(ClientId client, const ClientPolicy& policy, const std::string& dedup_group, std::function<void(bool)> done) override {
    if (client == without_room) return done(false);
    for (ControlClient& row : rows) {
      if (row.id != client) continue;
      row.policy = policy;
      row.dedup_group = dedup_group;
    }
    done(true);
  }
  bool forget(ClientId client) override {
    for (const ControlClient& row : rows) {
      if (row.id == client && row.state != ControlClientState::kConnected) return true;
    }
    return false;
  }
  std::optional<uint64_t> set_memory(uint64_t bytes) override {
    if (bytes > kMemoryMax) return std::nullopt;
    return std::exchange(memory, bytes);
  }

  std::vector<ControlClient> rows;
  uint64_t memory = 16 << 20;
  ClientId without_room;  // its policy cannot be written down
  bool hold = false;
  std::vector<std::function<void()>> held;

 private:
  struct FakeShard final : ShardAccess {
    uint32_t shard() const override { return number; }
    Engine& engine() override { return *made; }
    QueueFigures queue(ClientId) const override { return {10, 1, 2, {.no_pool = 5}}; }
    uint64_t sleeps() const override { return 3; }
    uint64_t wakeups() const override { return 4; }
    uint64_t channels_broken() const override { return 6; }
    uint32_t number = 0;
    HeapMemory memory{64};
    std::unique_ptr<Engine> made;
  };
  std::vector<std::unique_ptr<FakeShard>> shards_;
};

}  // namespace tmem::test
