// SPDX-License-Identifier: MIT
// doctor's checks on what dom0 sees, with facts that are made up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/tmemctl/doctor/xen_facts.h"

namespace tmem::test {
namespace {

using tool::Finding;
using tool::Level;
using tool::XenFacts;

XenFacts healthy() {
  XenFacts facts;
  facts.store = "xenstored";
  facts.nodes = {50, 1000};
  facts.watches = {4, 128};
  facts.agent_runs = facts.service_published = true;
  facts.service_domid = 1;
  facts.service_name = "tmem";
  facts.guests = {{7, "web1", "4", "4"}};
  return facts;
}

// The worst finding of one check.
Finding found(const XenFacts& facts, const std::string& name) {
  Finding worst{Level::kOk, ""};
  for (const tool::XenCheck& check : tool::xen_checks()) {
    if (check.name != name) continue;
    for (const Finding& finding : check.run(facts))
      if (finding.level != Level::kSkipped && finding.level >= worst.level) worst = finding;
  }
  return worst;
}

TEST(DoctorXen, AHealthyHostHasNothing) {
  for (const tool::XenCheck& check : tool::xen_checks()) EXPECT_EQ(found(healthy(), check.name).level, Level::kOk) << check.name;
}

TEST(DoctorXen, EachFaultIsFoundByItsCheckWithARemedy) {
  struct Case {
    const char* check;
    Level level;
    void (*spoil)(XenFacts&);
  };
  const Case cases[] = {
      {"xenstore", Level::kProblem, [](XenFacts& f) { f.store.clear(); }},
      {"xenstore", Level::kNote, [](XenFacts& f) { f.store = "oxenstored"; }},
      {"xen-agent", Level::kProblem, [](XenFacts& f) { f.agent_runs = false; }},
      {"xen-service", Level::kProblem, [](XenFacts& f) { f.service_published = false; }},
      {"xen-quotas", Level::kWarning, [](XenFacts& f) { f.nodes.used = 800; }},
      {"xen-quotas", Level::kWarning, [](XenFacts& f) { f.watches.used = 127; }},
      {"xen-guests", Level::kNote, [](XenFacts& f) { f.guests[0] = {7, "web1", "2", "1"}; }},
      {"xen-guests", Level::kWarning, [](XenFacts& f) { f.guests[0] = {7, "web1", "1", "1"}; }},
      {"xen-guests", Level::kWarning, [](XenFacts& f) { f.guests[0] = {7, "web1", "6", "3"}; }},
      {"xen-guests", Level::kWarning, [](XenFacts& f) { f.guests[0] = {7, "web1", "4", ""}; }},
      {"xen-stale", Level::kWarning, [](XenFacts& f) { f.stale = {"/local/domain/1/backend/tmem/9"}; }},
  };
  for (const Case& one : cases) {
    XenFacts facts = healthy();
    one.spoil(facts);
    EXPECT_EQ(found(facts, one.check).level, one.level) << one.check;
    EXPECT_NE(found(facts, one.check).remedy, "") << one.check;
  }
}

TEST(DoctorXen, AQuotaThatIsNotKnownIsNoFault) {
  XenFacts facts = healthy();
  facts.nodes = {900, 0};
  EXPECT_EQ(found(facts, "xen-quotas").level, Level::kOk);
}

TEST(DoctorXen, FiguresAreReadFromEitherDaemonsText) {
  const std::string c = "Quota settings:\nnodes            :     1000 Nodes per domain\nwatches          :      128 Watches per domain\ntransaction-nodes:       7 x\n";
  EXPECT_EQ(tool::figure_of(c, "nodes"), 1000u);
  EXPECT_EQ(tool::figure_of(c, "watches"), 128u);
  EXPECT_EQ(tool::figure_of(c, "outstanding"), std::nullopt);
  const std::string ocaml = "# quota-maxwatch = 1\nquota-activate = true\nquota-maxentity = 1000\nquota-maxwatch = 100";
  EXPECT_EQ(tool::figure_of(ocaml, "quota-maxentity"), 1000u);
  EXPECT_EQ(tool::figure_of(ocaml, "quota-maxwatch"), 100u);
  EXPECT_EQ(tool::figure_of(ocaml, "quota-activate"), std::nullopt);
  EXPECT_EQ(tool::figure_of("", "nodes"), std::nullopt);
  EXPECT_EQ(tool::figure_of("nodes", "nodes"), std::nullopt);
}

}  // namespace
}  // namespace tmem::test
