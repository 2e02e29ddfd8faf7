// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/tmemctl_run.h"

namespace tmem::test {
namespace {

using testing::HasSubstr;

struct TmemctlPolicy : testing::Test {
  FakeService service;
  TmemctlPolicy() {
    service.add_client(7, "web1");
    control::Client& db = service.add_client(9, "db");
    db.mutable_policy()->set_weight(300);
    db.mutable_policy()->set_compress(false);
    db.mutable_policy()->set_cap_pages(1000);
  }
  const control::Policy& policy(size_t i) { return service.clients[i].policy(); }
};

TEST_F(TmemctlPolicy, SetsEverythingThatIsNamed) {
  Ran ran = run_tool(service, {"set", "web1", "weight=200", "cap=2G", "min=64", "compress=off", "dedup=farm"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out + ran.err, "");
  EXPECT_EQ(policy(0).weight(), 200u);
  EXPECT_EQ(policy(0).cap_pages(), uint64_t{2} << 30 >> 12);
  EXPECT_EQ(policy(0).min_pages(), uint64_t{64} << 20 >> 12);
  EXPECT_FALSE(policy(0).compress());
  EXPECT_EQ(policy(0).dedup_group(), "farm");
  EXPECT_EQ(policy(1).weight(), 300u);
}

TEST_F(TmemctlPolicy, OldDefect_9_3_12_AWeightForAllChangesOnlyTheWeightOfEach) {
  EXPECT_EQ(run_tool(service, {"set", "-a", "weight=50"}).status, 0);
  EXPECT_EQ(policy(0).weight(), 50u);
  EXPECT_TRUE(policy(0).compress());
  EXPECT_EQ(policy(1).weight(), 50u);
  EXPECT_FALSE(policy(1).compress());
  EXPECT_EQ(policy(1).cap_pages(), 1000u);
  EXPECT_FALSE(service.requests.back().set_policy().policy().has_compress());
  EXPECT_EQ(run_tool(service, {"tmem-set", "-a", "-p", "1"}).status, 0);
  EXPECT_TRUE(policy(1).compress());
  EXPECT_EQ(policy(1).weight(), 50u);
}

TEST_F(TmemctlPolicy, TheOldNamesDoTheSame) {
  EXPECT_EQ(run_tool(service, {"tmem-set", "7", "-w", "11", "-c", "1", "-p", "0"}).status, 0);
  EXPECT_EQ(policy(0).weight(), 11u);
  EXPECT_EQ(policy(0).cap_pages(), 256u);
  EXPECT_FALSE(policy(0).compress());
  EXPECT_EQ(run_tool(service, {"tmem-freeze", "web1"}).status, 0);
  EXPECT_TRUE(policy(0).frozen());
  EXPECT_EQ(run_tool(service, {"tmem-thaw", "-a"}).status, 0);
  EXPECT_FALSE(policy(0).frozen());
}

TEST_F(TmemctlPolicy, FreezesOneAndThawsAll) {
  EXPECT_EQ(run_tool(service, {"freeze", "db"}).status, 0);
  EXPECT_FALSE(policy(0).frozen());
  EXPECT_TRUE(policy(1).frozen());
  EXPECT_EQ(policy(1).weight(), 300u);
  EXPECT_EQ(run_tool(service, {"thaw", "-a"}).status, 0);
  EXPECT_FALSE(policy(1).frozen());
}

TEST_F(TmemctlPolicy, ADryRunSaysWhatItWouldDoAndDoesNothing) {
  Ran ran = run_tool(service, {"set", "-n", "-a", "weight=1"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "would set weight of 'web1' (7): 100 -> 1\nwould set weight of 'db' (9): 300 -> 1\n");
  EXPECT_EQ(policy(1).weight(), 300u);
  EXPECT_EQ(run_tool(service, {"freeze", "-n", "ghost"}).status, 3);
}

TEST_F(TmemctlPolicy, WrongSettingsAreUsageErrorsAndReachNobody) {
  const std::vector<std::vector<std::string>> wrong = {
      {"set"}, {"set", "web1"}, {"set", "weight=1"}, {"set", "-a"}, {"set", "-a", "web1", "weight=1"}, {"set", "web1", "wieght=1"},
      {"set", "web1", "weight=-1"}, {"set", "web1", "weight=4294967296"}, {"set", "web1", "weight="}, {"set", "web1", "cap=lots"},
      {"set", "web1", "cap=1k"}, {"set", "web1", "cap=99999999999999t"}, {"set", "web1", "compress=maybe"}, {"set", "web1", "web2", "weight=1"},
      {"tmem-set", "web1"}, {"tmem-set", "-w", "1"}, {"freeze"}, {"freeze", "-a", "web1"}, {"freeze", "--json", "web1"}};
  for (const auto& arguments : wrong) {
    Ran ran = run_tool(service, arguments);
    EXPECT_EQ(ran.status, 2) << testing::PrintToString(arguments) << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    EXPECT_THAT(ran.err, testing::StartsWith("xen-tmemctl: "));
    EXPECT_EQ(ran.out, "");
  }
  EXPECT_TRUE(service.requests.empty());
}

TEST_F(TmemctlPolicy, NoSuchClientHasAnExitStatusOfItsOwn) {
  Ran ran = run_tool(service, {"set", "ghost", "weight=1"});
  EXPECT_EQ(ran.status, 3);
  EXPECT_EQ(ran.err, "xen-tmemctl: there is no client 'ghost'; see: xen-tmemctl list\n");
  EXPECT_EQ(run_tool(service, {"set", "4711", "weight=1"}).status, 3);
}

TEST_F(TmemctlPolicy, ANameThatTwoBearIsRefused) {
  service.clients[1].set_name("web1");
  Ran ran = run_tool(service, {"freeze", "web1"});
  EXPECT_EQ(ran.status, 5);
  EXPECT_THAT(ran.err, HasSubstr("use an id"));
}

TEST_F(TmemctlPolicy, SettingAllOfNobodySaysSo) {
  service.clients.clear();
  Ran ran = run_tool(service, {"freeze", "-a"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.err, HasSubstr("nothing was changed"));
}

}  // namespace
}  // namespace tmem::test
