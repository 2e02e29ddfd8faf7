// SPDX-License-Identifier: MIT
// What is decided about a client, on real shards: here what happens when a shard does not take it.
#include "daemon/guests/client_life.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "daemon/base/notify.h"

namespace tmem {
namespace {

TEST(ClientLife, APolicyThatAShardDoesNotTakeIsWhatItWas) {
  boost::asio::io_context io;
  const auto waiting = boost::asio::make_work_guard(io);
  ClientRegistry registry({}, ClientPolicy(), 1);
  ShardSet shards(io, [](ClientId) {});
  ClientLife life(registry, shards);
  Config config;
  config.shards = 2;
  config.memory_bytes = config.memory_bytes_max = uint64_t{8} << 20;
  std::map<std::string, FileDescriptor> nothing;
  Notifier notifier;
  ASSERT_EQ(shards.open(config, nothing, notifier), "");
  ClientHello hello;
  hello.uuid.byte[0] = 1;
  hello.queues = 2;
  const ClientId client = registry.admit(hello).id;
  const ClientPolicy before = registry.find(client)->policy;
  const auto set = [&](const ClientPolicy& policy) {
    std::optional<bool> written;
    life.set_policy(client, policy, "self", [&](bool ok) { written = ok; });
    EXPECT_EQ(registry.find(client)->policy, policy) << "the next change starts from it";
    while (!written) io.run_one();
    return *written;
  };
  shards.each([&](Shard& shard) { ASSERT_EQ(shard.engine().attach(client, registry.find(client)->identity(), before, true), Status::kOk); });
  shards.start();
  ClientPolicy wrong;
  wrong.frozen = true;
  wrong.weight = kWeightMax + 1;
  EXPECT_FALSE(set(wrong));
  EXPECT_EQ(registry.find(client)->policy, before);
  EXPECT_EQ(registry.find(client)->dedup_group, "");
  ClientPolicy frozen;
  frozen.frozen = true;
  EXPECT_TRUE(set(frozen));
  EXPECT_EQ(registry.find(client)->policy, frozen);
  shards.stop();
  shards.each([&](Shard& shard) { EXPECT_EQ(shard.engine().client_info(client).value().policy, frozen) << shard.shard(); });
}

}  // namespace
}  // namespace tmem
