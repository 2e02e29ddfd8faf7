// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/tmemctl_run.h"

namespace tmem::test {
namespace {

using testing::HasSubstr;
using testing::Not;

struct TmemctlList : testing::Test {
  FakeService service;
  TmemctlList() {
    control::Client& web = service.add_client(7, "web1");
    web.mutable_space()->set_pages_ephemeral(512);
    web.mutable_space()->set_pages_persistent(1024);
    web.mutable_space()->set_bytes_compressed(2 << 20);
    web.mutable_ops()->set_get_hit(3);
    web.mutable_ops()->set_get_miss(1);
    control::Pool& swap = FakeService::add_pool(web, 0, true);
    swap.mutable_space()->set_pages_persistent(1024);
    swap.mutable_space()->set_bytes_compressed(1 << 20);
    control::Pool& cache = FakeService::add_pool(web, 3, false);
    cache.set_shared(true);
    cache.set_uuid("1b4e28ba-2fa1-11d2-883f-0016d3cca427");
    cache.mutable_space()->set_pages_ephemeral(512);
    control::Client& db = service.add_client(9, "db");
    db.set_state(control::Client::RECOVERED);
    db.mutable_policy()->set_frozen(true);
    db.mutable_policy()->set_cap_pages(262144);
  }
};

TEST_F(TmemctlList, PrintsALineForEachClientAndForEachPool) {
  Ran ran = run_tool(service, {"list"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out,
            "Name      ID  State             Type                Pages  MiB  Stored(MiB)  Ratio  Hit%  Weight  Cap(MiB)\n"
            "web1       7  connected         2 pools              1536  6.0          2.0   3.00  75.0     100         -\n"
            "  web1/0   7                    persistent private   1024  4.0          1.0   4.00     -\n"
            "  web1/3   7                    ephemeral shared      512  2.0          0.0      -     -\n"
            "db         9  recovered,frozen  0 pools                 0  0.0          0.0      -     -     100    1024.0\n");
}

TEST_F(TmemctlList, TakesAClientByNameAndById) {
  EXPECT_EQ(run_tool(service, {"list", "web1"}).out, run_tool(service, {"list", "7"}).out);
  EXPECT_THAT(run_tool(service, {"list", "9"}).out, Not(HasSubstr("web1")));
}

TEST_F(TmemctlList, LeavesPoolsOutWhenOnlyClientsAreAskedFor) {
  EXPECT_THAT(run_tool(service, {"list", "-c"}).out, Not(HasSubstr("web1/0")));
}

TEST_F(TmemctlList, PrintsTheUnitThatFitsWithHuman) {
  Ran ran = run_tool(service, {"list", "-H"});
  EXPECT_THAT(ran.out, HasSubstr("1.0 GiB"));
  EXPECT_THAT(ran.out, HasSubstr("4.0 MiB"));
}

TEST_F(TmemctlList, LongFormHasEveryCounterByItsName) {
  Ran ran = run_tool(service, {"list", "-l", "web1"});
  EXPECT_THAT(ran.out, HasSubstr("get_hit: 3\n"));
  EXPECT_THAT(ran.out, HasSubstr("put_deduplicated: 0\n"));
  EXPECT_THAT(ran.out, HasSubstr("bytes_compressed: 2.0 MiB\n"));
  EXPECT_THAT(ran.out, HasSubstr("uuid: 1b4e28ba-2fa1-11d2-883f-0016d3cca427\n"));
}

TEST_F(TmemctlList, JsonHasASchemaAndBytesAndEveryField) {
  Ran ran = run_tool(service, {"list", "--json"});
  auto json = ran.json();
  EXPECT_EQ(json["schema"], "xen-tmem/list/1");
  ASSERT_EQ(json["clients"].size(), 2u);
  const auto& web = json["clients"][0];
  EXPECT_EQ(web["id"], 7);
  EXPECT_EQ(web["state"], "connected");
  EXPECT_EQ(web["space"]["bytes_compressed"], 2 << 20);
  EXPECT_EQ(web["ops"]["put_stored"], 0);
  EXPECT_EQ(web["policy"]["compress"], true);
  EXPECT_EQ(web["pools"][1]["id"], 3);
  EXPECT_EQ(web["pools"][1]["shared"], true);
  EXPECT_EQ(json["clients"][1]["policy"]["cap_pages"], 262144);
}

TEST_F(TmemctlList, AnEmptyServiceIsAnEmptyList) {
  service.clients.clear();
  EXPECT_EQ(run_tool(service, {"list"}).status, 0);
  EXPECT_TRUE(run_tool(service, {"list", "--json"}).json()["clients"].empty());
}

TEST_F(TmemctlList, OldDefect_9_3_13_ThousandsOfPoolsAreListedWithoutALoss) {
  control::Client& big = service.add_client(11, "big");
  for (uint32_t i = 0; i < 20000; i++) FakeService::add_pool(big, i, true).mutable_ops()->set_put_stored(uint64_t{1} << 60);
  Ran ran = run_tool(service, {"list", "big", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_GT(ran.out.size(), size_t{1} << 20);
  auto pools = ran.json()["clients"][0]["pools"];
  ASSERT_EQ(pools.size(), 20000u);
  EXPECT_EQ(pools[19999]["ops"]["put_stored"], uint64_t{1} << 60);
}

TEST_F(TmemctlList, AHostileNameDoesNotReachTheTerminal) {
  service.clients[0].set_name("ev\033[2Jil\n");
  Ran table = run_tool(service, {"list"});
  EXPECT_THAT(table.out, HasSubstr("ev?[2Jil?"));
  EXPECT_THAT(table.out, Not(HasSubstr("\033")));
  EXPECT_EQ(run_tool(service, {"list", "--json"}).json()["clients"][0]["name"], "ev\033[2Jil\n");
  EXPECT_THAT(run_tool(service, {"list", "-l"}).out, Not(HasSubstr("\033")));
}

TEST_F(TmemctlList, TheOldNameWantsAClientOrAllAsXlDid) {
  EXPECT_EQ(run_tool(service, {"tmem-list"}).status, 2);
  EXPECT_EQ(run_tool(service, {"tmem-list", "-a", "web1"}).status, 2);
  EXPECT_EQ(run_tool(service, {"tmem-list", "-a"}).out, run_tool(service, {"list"}).out);
  EXPECT_EQ(run_tool(service, {"tmem-list", "-l", "web1"}).out, run_tool(service, {"list", "-l", "web1"}).out);
}

TEST_F(TmemctlList, CompletionGetsNamesAndPools) {
  EXPECT_EQ(run_tool(service, {"complete"}).out, "web1\ndb\n");
  EXPECT_EQ(run_tool(service, {"complete", "web1"}).out, "0\n3\n");
}

TEST_F(TmemctlList, InfoAddsTheShardsUp) {
  for (uint32_t i = 0; i < 2; i++) {
    control::Shard& shard = *service.info.add_shards();
    shard.set_id(i);
    shard.set_memory_bytes(3 << 20);
  }
  auto json = run_tool(service, {"info", "--json"}).json();
  EXPECT_EQ(json["schema"], "xen-tmem/info/1");
  EXPECT_EQ(json["version"], "0.1.0");
  EXPECT_EQ(json["totals"]["memory_bytes"], 6 << 20);
  EXPECT_FALSE(json["totals"].contains("id"));
  EXPECT_EQ(json["shards"].size(), 2u);
  EXPECT_THAT(run_tool(service, {"info"}).out, HasSubstr("memory_bytes: 6.0 MiB\n"));
}

TEST_F(TmemctlList, StatsAddTheClientsUp) {
  service.clients[1].mutable_ops()->set_get_hit(39);
  auto json = run_tool(service, {"stats", "--json"}).json();
  EXPECT_EQ(json["schema"], "xen-tmem/stats/1");
  EXPECT_EQ(json["totals"]["ops"]["get_hit"], 42);
  EXPECT_EQ(json["totals"]["space"]["pages_persistent"], 1024);
  EXPECT_FALSE(json["clients"][0].contains("pools"));
  auto one = run_tool(service, {"stats", "web1", "--json"}).json();
  EXPECT_EQ(one["clients"].size(), 1u);
  EXPECT_EQ(one["clients"][0]["pools"][0]["space"]["pages_persistent"], 1024);
}

TEST_F(TmemctlList, FreeableIsANumberOfMebibytesAsXlPrintedIt) {
  service.freeable_bytes = (uint64_t{5} << 20) + 4096;
  EXPECT_EQ(run_tool(service, {"freeable"}).out, "5\n");
  EXPECT_EQ(run_tool(service, {"tmem-freeable"}).out, "5\n");
  EXPECT_EQ(run_tool(service, {"freeable", "--json"}).json()["bytes"], (5 << 20) + 4096);
}

}  // namespace
}  // namespace tmem::test
