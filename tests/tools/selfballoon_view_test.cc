// SPDX-License-Identifier: MIT
// What dom0 makes of a guest's report, which may say anything, and what it writes.
#include "tools/tmemctl/selfballoon_view.h"

#include <gtest/gtest.h>

#include "agent/fake_store.h"
#include "tools/tmemctl/failure.h"

namespace tmem::tool {
namespace {

const std::string kGuest = "/local/domain/7/", kReport = kGuest + "data/tmem/selfballoon/", kKeys = kGuest + "memory/tmem/selfballoon";

class SelfballoonView : public testing::Test {
 protected:
  void node(const std::string& path, const std::string& value) { store_.nodes[path] = {value, {}}; }
  agent::FakeStore store_;
};

TEST_F(SelfballoonView, AReportIsTakenApart) {
  node(kGuest + "name", "web1");
  node(kGuest + "memory/target", "524288");
  node(kReport + "state", "state=running psi=1 selfballoon_policy=pressure");
  node(kReport + "decision", "from-kib=500 target-kib=400 reason=takes what was not needed");
  node(kReport + "log", "1700000000 500 400 takes what was not needed\n1700000005 400 450 need has grown");
  const Json one = selfballoon_of(store_, 7);
  EXPECT_EQ(one["name"], "web1");
  EXPECT_EQ(one["limit_kib"], 524288u);
  EXPECT_EQ(one["state"]["state"], "running");
  EXPECT_EQ(one["decision"]["target_kib"], 400u);
  EXPECT_EQ(one["decision"]["reason"], "takes what was not needed");
  ASSERT_EQ(one["log"].size(), 2u);
  EXPECT_EQ(one["log"][1]["target_kib"], 450u);
  EXPECT_EQ(one["log"][1]["reason"], "need has grown");
}

TEST_F(SelfballoonView, ALyingReportSteersNoTerminalAndBreaksNothing) {
  node(kReport + "state", "state=\x1b[2J =x x= \xff\xfe limit-kib=99999999999999999999999999");
  node(kReport + "decision", "reason=");
  node(kReport + "log", "x y z\n-1 2 3 four\n\n1 2");
  node(kReport + "refused", "a\x1b" "b\n");
  const Json one = selfballoon_of(store_, 7);
  const std::string text = one.dump();
  EXPECT_EQ(text.find("\\u001b"), std::string::npos) << text;
  EXPECT_EQ(one["refused"][0], "a?b");
  EXPECT_TRUE(one["limit_kib"].is_null());
}

TEST_F(SelfballoonView, DomainsThatReportOrAreTunedAreListed) {
  node("/local/domain/0/name", "Domain-0");
  node(kReport + "state", "state=running");
  node("/local/domain/12/memory/tmem/selfballoon/selfballooning", "0");
  EXPECT_EQ(selfballoon_domains(store_), (std::vector<agent::Domid>{7, 12}));
}

TEST_F(SelfballoonView, ASettingIsWrittenForTheGuestToReadAndTakenAway) {
  apply_tuning(store_, 7, tuning_change({"selfballoon=0", "selfballoon_interval=2"}));
  EXPECT_EQ(store_.read(kKeys + "/selfballooning"), "0");
  EXPECT_EQ(store_.nodes[kKeys + "/selfballoon_interval"].permissions.reader, agent::Domid{7});
  apply_tuning(store_, 7, tuning_change({"selfballoon_interval="}));
  EXPECT_EQ(store_.read(kKeys + "/selfballoon_interval"), std::nullopt);
  EXPECT_EQ(store_.read(kKeys + "/selfballooning"), "0");
}

TEST_F(SelfballoonView, WhatAGuestWouldRefuseIsRefusedHere) {
  for (const char* bad : {"speed=1", "selfballoon_interval=0", "selfballoon_policy=brave"}) EXPECT_THROW(tuning_change({bad}), Failure) << bad;
}

}  // namespace
}  // namespace tmem::tool
