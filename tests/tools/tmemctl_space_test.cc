// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/tmemctl/commands/figures.h"
#include "tools/tmemctl_run.h"

namespace tmem::test {
namespace {

using testing::HasSubstr;

constexpr const char* kUuid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";

struct TmemctlSpace : testing::Test {
  FakeService service;
  TmemctlSpace() {
    control::Client& web = service.add_client(7, "web1");
    web.mutable_space()->set_pages_ephemeral(1000);
    FakeService::add_pool(web, 0, true).mutable_space()->set_pages_persistent(5);
    FakeService::add_pool(web, 3, false).mutable_space()->set_pages_ephemeral(1000);
    control::Client& db = service.add_client(9, "db");
    db.mutable_space()->set_pages_ephemeral(10);
    db.set_state(control::Client::SUSPENDED);
    service.info.add_shards()->set_memory_bytes_target(64 << 20);
  }
};

TEST_F(TmemctlSpace, FlushesOneClientWhole) {
  Ran ran = run_tool(service, {"flush", "web1"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "flushed 1000 pages (3.9 MiB of guests' pages)\n");
  EXPECT_EQ(service.clients[1].space().pages_ephemeral(), 10u);
}

TEST_F(TmemctlSpace, WhatADetachWouldLoseIsFoundByUuidAsIdsAreNotDomains) {
  control::ListClients::Reply listed;
  for (const auto& [id, uuid, pages] : {std::tuple{7, "00000000-0000-0000-0000-000000000007", 3}, std::tuple{2, kUuid, 40}}) {
    control::Client& client = *listed.add_clients();
    client.set_id(static_cast<uint32_t>(id));
    client.set_uuid(uuid);
    client.mutable_space()->set_pages_persistent(static_cast<uint64_t>(pages));
  }
  EXPECT_EQ(tool::pages_persistent(listed, kUuid), 40u);
  EXPECT_EQ(tool::pages_persistent(listed, "11111111-2fa1-11d2-883f-0016d3cca427"), 0u);
}

TEST_F(TmemctlSpace, FlushesASizeOfAll) {
  EXPECT_EQ(run_tool(service, {"flush", "-a", "1"}).out, "flushed 256 pages (1.0 MiB of guests' pages)\n");
  EXPECT_EQ(service.requests.back().flush().bytes(), 1u << 20);
  EXPECT_FALSE(service.requests.back().flush().has_client());
}

TEST_F(TmemctlSpace, ADryFlushOnlyLooks) {
  EXPECT_EQ(run_tool(service, {"flush", "-n", "-a"}).out, "would flush all of the 1010 ephemeral pages (3.9 MiB) of all clients\n");
  EXPECT_EQ(service.clients[0].space().pages_ephemeral(), 1000u);
}

TEST_F(TmemctlSpace, DestroysAPoolAndAPersistentOneOnlyByForce) {
  EXPECT_EQ(run_tool(service, {"destroy-pool", "7", "3"}).out, "destroyed pool 3 of '7' with 1000 pages\n");
  Ran refused = run_tool(service, {"destroy-pool", "web1", "0"});
  EXPECT_EQ(refused.status, 5);
  EXPECT_THAT(refused.err, HasSubstr("--force"));
  EXPECT_THAT(run_tool(service, {"destroy-pool", "-n", "web1", "0"}).out, HasSubstr("--force is needed"));
  EXPECT_EQ(run_tool(service, {"destroy-pool", "web1", "0", "--force"}).status, 0);
  EXPECT_EQ(run_tool(service, {"destroy-pool", "web1", "0", "--force"}).status, 3);
  EXPECT_EQ(run_tool(service, {"destroy-pool", "-n", "web1", "0"}).status, 3);
}

TEST_F(TmemctlSpace, ForgetsOnlyWhoIsAway) {
  EXPECT_EQ(run_tool(service, {"forget", "web1"}).status, 5);
  EXPECT_THAT(run_tool(service, {"forget", "-n", "db"}).out, HasSubstr("would forget 'db' (9), which is suspended"));
  EXPECT_EQ(run_tool(service, {"forget", "db"}).status, 0);
  EXPECT_EQ(run_tool(service, {"forget", "db"}).status, 3);
}

TEST_F(TmemctlSpace, MovesTheMemoryOfTheService) {
  EXPECT_EQ(run_tool(service, {"set-memory", "-n", "1G"}).out, "would set the memory of the service: 64.0 MiB -> 1024.0 MiB\n");
  EXPECT_EQ(run_tool(service, {"set-memory", "1G"}).out, "memory of the service: 64.0 MiB -> 1024.0 MiB\n");
  EXPECT_EQ(service.info.shards(0).memory_bytes_target(), uint64_t{1} << 30);
}

TEST_F(TmemctlSpace, AllowsAndDeniesSharedPoolsUnderBothNames) {
  EXPECT_EQ(run_tool(service, {"shared-auth", "web1", kUuid, "allow"}).status, 0);
  ASSERT_EQ(service.clients[0].authorised_size(), 1);
  EXPECT_EQ(service.clients[0].authorised(0), kUuid);
  EXPECT_EQ(run_tool(service, {"tmem-shared-auth", "-a", "-u", kUuid, "-A", "1"}).status, 0);
  EXPECT_EQ(service.clients[1].authorised_size(), 1);
  EXPECT_EQ(run_tool(service, {"shared-auth", "-a", "1B4E28BA-2FA1-11D2-883F-0016D3CCA427", "deny"}).status, 0);
  EXPECT_EQ(service.clients[0].authorised_size() + service.clients[1].authorised_size(), 0);
  EXPECT_EQ(run_tool(service, {"tmem-shared-auth", "web1", "-u", kUuid, "-A", "0", "-n"}).out,
            "would deny 'web1' (7) the shared pools of " + std::string(kUuid) + "\n");
}

TEST_F(TmemctlSpace, WrongInputIsAUsageErrorAndReachesNobody) {
  const std::vector<std::vector<std::string>> wrong = {
      {"flush"}, {"flush", "-a", "web1", "3"}, {"flush", "web1", "0"}, {"flush", "web1", "many"}, {"flush", "web1", "1", "2"},
      {"destroy-pool", "web1"}, {"destroy-pool", "web1", "x"}, {"destroy-pool", "web1", "-1"}, {"forget"}, {"set-memory"}, {"set-memory", "0"},
      {"set-memory", "1Q"}, {"shared-auth", "web1", kUuid}, {"shared-auth", "web1", "1234", "allow"}, {"shared-auth", "web1", kUuid, "perhaps"},
      {"shared-auth", "-a", "web1", kUuid, "allow"}, {"tmem-shared-auth", "web1", "-A", "1"}, {"tmem-shared-auth", "web1", "-u", kUuid, "-A", "2"}};
  for (const auto& arguments : wrong) {
    Ran ran = run_tool(service, arguments);
    EXPECT_EQ(ran.status, 2) << testing::PrintToString(arguments) << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
  EXPECT_TRUE(service.requests.empty());
}

}  // namespace
}  // namespace tmem::test
