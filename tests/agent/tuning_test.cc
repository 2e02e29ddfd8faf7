// SPDX-License-Identifier: MIT
// The tuning of self-ballooning from configuration to xenstore.
#include "agent/tuning.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "agent/attach.h"
#include "agent/fake_store.h"

namespace tmem::agent {
namespace {

const std::string kPath = "/local/domain/7/memory/tmem/selfballoon";

std::vector<PolicyError> errors;

std::optional<GuestPolicy> read(const std::string& text) {
  errors.clear();
  return policy_from_text(text, "web1.conf", errors);
}

TEST(AgentTuning, KeysOfAConfigurationBecomeNodes) {
  const auto policy = read("tmem_selfballoon = 1\nselfballoon_interval = 3\ntmem_selfballoon_policy = committed\ntmem_frontswap_inertia = 9\n");
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->tuning, (Tuning{{"frontswap_inertia", "9"}, {"selfballoon_interval", "3"}, {"selfballoon_policy", "committed"}, {"selfballooning", "1"}}));
  EXPECT_EQ(read(policy_to_text(*policy)), policy) << "the record for its next start says the same";
}

TEST(AgentTuning, BadValuesAreErrorsThatSayWhatIsAllowed) {
  EXPECT_FALSE(read("tmem_selfballoon_interval = 0\n"));
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].text, "web1.conf: tmem_selfballoon_interval: '0' is not a number from 1 to 3600");
  EXPECT_FALSE(read("tmem_selfballoon_speed = 1\n"));
  EXPECT_EQ(errors[0].text, "web1.conf: unknown key tmem_selfballoon_speed; xl-tmem(5) has those that there are");
}

TEST(AgentTuning, XlCfgCarriesEveryKey) {
  const std::filesystem::path file = testing::TempDir() + "tuning.cfg";
  std::ofstream out(file);
  out << "name = \"web1\"\ntmem = 1\ntmem_selfballoon = 1\ntmem_selfballoon_policy = \"pressure\"\n";
  for (const std::string& node : tuning_nodes()) {
    if (node != "selfballoon_policy" && node != "selfballooning") out << "tmem_" << node << " = 1\n";
  }
  out.close();
  errors.clear();
  const auto config = read_xl_config(file, {}, errors);
  ASSERT_TRUE(config && config->policy) << (errors.empty() ? "" : errors[0].text);
  EXPECT_EQ(config->policy->tuning.size(), tuning_nodes().size());
}

TEST(AgentTuning, APartInTheHostsPolicyIsCarriedLikewise) {
  const auto policy = read("tmem_flow_min = 256\nflow_max = 512\ntmem_flow_weight = 200\ntmem_flow_buffer = 0\n");
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->flow, (Tuning{{"buffer", "0"}, {"max", "512"}, {"min", "256"}, {"weight", "200"}}));
  EXPECT_EQ(read(policy_to_text(*policy)), policy) << "the record for its next start says the same";
  EXPECT_FALSE(read("tmem_flow_buffer = 101\n"));
  EXPECT_EQ(errors[0].text, "web1.conf: tmem_flow_buffer: '101' is not a number from 0 to 100");
  EXPECT_FALSE(read("tmem_flow_speed = 1\n"));

  const std::filesystem::path file = testing::TempDir() + "flow.cfg";
  std::ofstream(file) << "name = \"web1\"\ntmem_flow_min = 256\ntmem_flow_max = 512\ntmem_flow_weight = 200\ntmem_flow_buffer = 0\n";
  errors.clear();
  const auto config = read_xl_config(file, {}, errors);
  ASSERT_TRUE(config && config->policy);
  EXPECT_EQ(config->policy->flow, policy->flow);
}

TEST(AgentTuning, AGuestMayBeTunedWithoutTmem) {
  const std::filesystem::path file = testing::TempDir() + "tuning-alone.cfg";
  std::ofstream(file) << "name = \"web1\"\ntmem_selfballoon_interval = 3\n";
  errors.clear();
  const auto config = read_xl_config(file, {}, errors);
  ASSERT_TRUE(config && config->policy);
  EXPECT_FALSE(config->policy->enabled);
  EXPECT_EQ(config->policy->tuning, (Tuning{{"selfballoon_interval", "3"}}));
}

class AgentCarries : public testing::Test {
 protected:
  AgentCarries() {
    store_.nodes["/local/domain/7/name"] = {"web1", {}};
    store_.nodes["/local/domain/7/vm"] = {"/vm/01234567-89ab-cdef-0123-456789abcdef", {}};
    options_.places = {"/proc/none/etc", "/proc/none/records", "/proc/none/proc"};
    options_.backend_domain = "tmem";
    options_.fallback.tuning = {{"selfballooning", "1"}, {"selfballoon_interval", "2"}};
    options_.fallback.flow = {{"min", "256"}};
  }
  FakeStore store_;
  Reconciler::Options options_;
};

TEST_F(AgentCarries, ItIsWrittenForTheGuestToReadAlsoWithoutAService) {
  Reconciler(store_, options_, [](int, const std::string&) {}).reconcile();
  EXPECT_EQ(store_.read(kPath + "/selfballoon_interval"), "2");
  EXPECT_EQ(store_.nodes[kPath + "/selfballoon_interval"].permissions.owner, 0u);
  EXPECT_EQ(store_.nodes[kPath + "/selfballoon_interval"].permissions.reader, Domid{7});
}

TEST_F(AgentCarries, APartInTheHostsPolicyIsDom0sOwn) {
  Reconciler(store_, options_, [](int, const std::string&) {}).reconcile();
  EXPECT_EQ(store_.read("/local/domain/7/memory/tmem/flow/min"), "256");
  EXPECT_EQ(store_.nodes["/local/domain/7/memory/tmem/flow/min"].permissions.reader, std::nullopt);
  EXPECT_EQ(store_.nodes["/local/domain/7/memory/tmem"].permissions.reader, Domid{7}) << "its tuning lies beside it";
}

TEST_F(AgentCarries, WhatTheOperatorChangedStaysAlsoOverARestartOfTheAgent) {
  Reconciler first(store_, options_, [](int, const std::string&) {});
  first.reconcile();
  store_.write(kPath + "/selfballoon_interval", "9", {});
  first.reconcile();
  Reconciler(store_, options_, [](int, const std::string&) {}).reconcile();
  EXPECT_EQ(store_.read(kPath + "/selfballoon_interval"), "9");
  store_.remove(kPath);
  first.reconcile();
  EXPECT_EQ(store_.read(kPath + "/selfballoon_interval"), std::nullopt) << "taken away for good";
}

}  // namespace
}  // namespace tmem::agent
