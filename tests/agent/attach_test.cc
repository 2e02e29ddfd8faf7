// SPDX-License-Identifier: MIT
#include "agent/attach.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/fake_store.h"
#include "tmem/tmem_xs.h"

namespace tmem::agent {
namespace {

constexpr const char* kUuid = "01234567-89ab-cdef-0123-456789abcdef";

class Agent : public testing::Test {
 protected:
  Agent() { EXPECT_NE(mkdtemp(place_), nullptr); }
  ~Agent() override { std::filesystem::remove_all(place_); }
  void domain(Domid id, const std::string& name, const std::string& uuid = kUuid) {
    const std::string path = "/local/domain/" + std::to_string(id);
    store_.nodes[path + "/name"] = {name, {}};
    store_.nodes[path + "/vm"] = {"/vm/" + uuid, {}};
  }
  void write(const std::string& file, const std::string& text) {
    const std::filesystem::path path = std::filesystem::path(place_) / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  void destroy(Domid id) { store_.remove("/local/domain/" + std::to_string(id)); }
  Reconciler agent(bool enabled) {
    Reconciler::Options options;
    options.places = {std::string(place_) + "/etc", std::string(place_) + "/records", std::string(place_) + "/proc"};
    options.backend_domain = "tmem";
    options.fallback.enabled = enabled;
    return Reconciler(store_, options, [](int, const std::string&) {});
  }
  std::string back(const char* node) { return store_.read(backend_path(1, 7) + "/" + node).value_or("(none)"); }
  std::string front(const char* node) { return store_.read(frontend_path(7) + "/" + node).value_or("(none)"); }

  FakeStore store_;
  char place_[32] = "/tmp/tmem-agent-XXXXXX";
};

TEST_F(Agent, AttachesAGuestWithTheRightOwners) {
  domain(1, "tmem");
  domain(7, "web1");
  auto reconciler = agent(true);
  EXPECT_TRUE(reconciler.reconcile());
  EXPECT_EQ(back("state"), "1");
  EXPECT_EQ(back("online"), "1");
  EXPECT_EQ(back("frontend-id"), "7");
  EXPECT_EQ(back("frontend"), frontend_path(7));
  EXPECT_EQ(back("guest"), std::string("uuid=") + kUuid + " name=web1");
  EXPECT_EQ(front("backend"), backend_path(1, 7));
  EXPECT_EQ(front("backend-id"), "1");
  EXPECT_EQ(front("state"), "1");
  unsigned owned = 0;
  for (const auto& [path, node] : store_.nodes) {
    if (path.rfind(backend_path(1, 7), 0) == 0) {
      EXPECT_EQ(node.permissions.owner, 1u) << path;
      EXPECT_EQ(node.permissions.reader, Domid{7}) << path;
      ++owned;
    }
    if (path.rfind(frontend_path(7), 0) == 0) {
      EXPECT_EQ(node.permissions.owner, 7u) << path;
    }
  }
  EXPECT_LE(owned + 1, TMEM_XS_NODES_OWNED_MAX) << "one more is written by the service";
  EXPECT_EQ(store_.nodes["/local/domain/7/device/tmem"].permissions.owner, 0u) << "the guest cannot add devices";
  EXPECT_EQ(store_.release_watchers, std::vector<Domid>{1});
  EXPECT_EQ(store_.read(TMEM_XS_SERVICE_DOMAIN), "1") << "dom0's tools find the service by it";
}

TEST_F(Agent, ASecondRoundChangesNothing) {
  domain(1, "tmem");
  domain(7, "web1");
  agent(true).reconcile();
  store_.nodes[backend_path(1, 7) + "/state"].value = "4";
  const int writes = store_.writes;
  EXPECT_TRUE(agent(true).reconcile()) << "as after a restart of the agent";
  EXPECT_EQ(store_.writes, writes);
  EXPECT_EQ(back("state"), "4");
}

TEST_F(Agent, ADomainThatIsBeingBuiltIsLookedAtAgain) {
  domain(1, "tmem");
  store_.nodes["/local/domain/7/vm"] = {std::string("/vm/") + kUuid, {}};
  auto reconciler = agent(true);
  EXPECT_FALSE(reconciler.reconcile());
  domain(7, "web1");
  EXPECT_TRUE(reconciler.reconcile());
  EXPECT_EQ(back("state"), "1");
}

TEST_F(Agent, RemovesWhatAGuestThatIsGoneLeavesBehind) {
  domain(1, "tmem");
  domain(7, "web1");
  auto reconciler = agent(true);
  reconciler.reconcile();
  destroy(7);
  EXPECT_TRUE(reconciler.reconcile());
  EXPECT_TRUE(store_.list("/local/domain/1/backend/tmem").empty());
}

TEST_F(Agent, WithoutTheServicesDomainNothingIsAttachedAndItIsPickedUpWhenItComes) {
  domain(7, "web1");
  auto reconciler = agent(true);
  EXPECT_TRUE(reconciler.reconcile());
  EXPECT_EQ(front("state"), "(none)");
  domain(1, "tmem");
  reconciler.reconcile();
  EXPECT_EQ(front("backend-id"), "1");
}

TEST_F(Agent, AReplacedServiceDomainGetsItsGuestsAgain) {
  domain(1, "tmem");
  domain(7, "web1");
  auto reconciler = agent(true);
  reconciler.reconcile();
  destroy(1);
  reconciler.reconcile();
  EXPECT_EQ(front("state"), "(none)") << "the guest sees the old device go";
  domain(9, "tmem");
  reconciler.reconcile();
  EXPECT_EQ(front("backend-id"), "9");
  EXPECT_EQ(front("state"), "1");
  EXPECT_EQ(store_.read(backend_path(9, 7) + "/online"), "1");
}

TEST_F(Agent, AServiceDomainThatWasReplacedBetweenTwoRoundsIsFirstTakenAwayFromTheGuest) {
  domain(1, "tmem");
  domain(7, "web1");
  auto reconciler = agent(true);
  reconciler.reconcile();
  destroy(1);
  domain(9, "tmem");
  EXPECT_FALSE(reconciler.reconcile());
  EXPECT_EQ(front("state"), "(none)");
  EXPECT_TRUE(reconciler.reconcile());
  EXPECT_EQ(front("backend-id"), "9");
}

TEST_F(Agent, DetachWaitsForTheBackendToCloseAndThenRemovesTheFrontend) {
  domain(1, "tmem");
  domain(7, "web1");
  auto reconciler = agent(true);
  reconciler.reconcile();
  store_.nodes[std::string(kWishes) + "/7"] = {"detach", {}};
  EXPECT_FALSE(reconciler.reconcile());
  EXPECT_EQ(back("online"), "0");
  EXPECT_EQ(back("state"), "5");
  EXPECT_NE(front("state"), "(none)") << "the guest still takes its pages back";
  store_.remove(backend_path(1, 7));  // what the backend does when it has closed
  EXPECT_TRUE(reconciler.reconcile());
  EXPECT_EQ(front("state"), "(none)");
  store_.nodes[std::string(kWishes) + "/7"] = {"attach", {}};
  reconciler.reconcile();
  EXPECT_EQ(back("online"), "1");
}

TEST_F(Agent, AWishChangesWhatItNamesAndTheServiceIsToldAtOnce) {
  domain(1, "tmem");
  domain(7, "web1");
  auto reconciler = agent(false);
  reconciler.reconcile();
  EXPECT_EQ(back("policy"), "(none)");
  store_.nodes[std::string(kWishes) + "/7"] = {"attach weight=300 cap=64", {}};
  reconciler.reconcile();
  EXPECT_EQ(back("policy"), "weight=300 cap-pages=16384 min-pages=0 compress=1");
  store_.nodes[std::string(kWishes) + "/7"] = {"attach compress=0", {}};
  reconciler.reconcile();
  EXPECT_EQ(back("policy"), "weight=300 cap-pages=16384 min-pages=0 compress=0") << "what was said before stays";
  store_.nodes[std::string(kWishes) + "/7"] = {"attach weight=much", {}};
  reconciler.reconcile();
  EXPECT_EQ(back("policy"), "weight=300 cap-pages=16384 min-pages=0 compress=0") << "nonsense changes nothing";
  EXPECT_EQ(back("online"), "1");
  destroy(7);
  reconciler.reconcile();
  domain(7, "web1");
  agent(false).reconcile();
  EXPECT_EQ(back("policy"), "weight=300 cap-pages=16384 min-pages=0 compress=0") << "its next start finds it by its uuid";
}

TEST_F(Agent, GuestsThatHaveANewUuidEachTimeDoNotLeaveRecordsForEver) {
  domain(1, "tmem");
  auto reconciler = agent(false);
  const auto count = [&] {
    size_t n = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(std::string(place_) + "/records")) ++n;
    return n;
  };
  write("etc/tmem.d/web1.conf", "tmem = 1\n");
  for (int i = 0; i < 600; ++i) {
    domain(7, "web1", "01234567-89ab-cdef-0123-456789abc" + std::to_string(100 + i));
    reconciler.reconcile();
  }
  destroy(7);
  reconciler.reconcile();
  EXPECT_EQ(count(), kRecordsMax);
}

TEST_F(Agent, ARenamedGuestIsToldByItsNewNameWithThePolicyOfThatNameAndTheOperatorsWord) {
  domain(1, "tmem");
  domain(7, "web1");
  auto reconciler = agent(true);
  reconciler.reconcile();
  write("etc/tmem.d/web2.conf", "tmem = 1\nweight = 250\n");
  store_.nodes[std::string(kWishes) + "/7"] = {"attach cap=64", {}};
  domain(7, "web2");
  EXPECT_TRUE(reconciler.reconcile());
  EXPECT_EQ(back("guest"), std::string("uuid=") + kUuid + " name=web2");
  EXPECT_EQ(back("policy"), "weight=250 cap-pages=16384 min-pages=0 compress=1");
  EXPECT_EQ(back("online"), "1");
}

TEST_F(Agent, AGuestThatArrivesFromAnotherHostIsKnownByItsOwnName) {
  write("etc/tmem.d/web1.conf", "tmem = 1\nweight = 250\n");
  domain(1, "tmem");
  domain(7, "web1--incoming");
  auto reconciler = agent(false);
  EXPECT_TRUE(reconciler.reconcile());
  EXPECT_EQ(back("guest"), std::string("uuid=") + kUuid + " name=web1");
  EXPECT_EQ(back("policy"), "weight=250 cap-pages=0 min-pages=0 compress=1");
}

TEST_F(Agent, AWishEndsWithItsDomain) {
  domain(1, "tmem");
  store_.nodes[std::string(kWishes) + "/7"] = {"attach", {}};
  agent(false).reconcile();
  EXPECT_TRUE(store_.list(kWishes).empty());
}

TEST_F(Agent, AGuestThatRewritesItsFrontendIsAttachedAnewAndHarmsNobodyElse) {
  domain(1, "tmem");
  domain(7, "web1");
  domain(8, "web2", "fedcba98-7654-3210-fedc-ba9876543210");
  auto reconciler = agent(true);
  reconciler.reconcile();
  store_.nodes[backend_path(1, 8) + "/state"].value = "4";
  store_.nodes[frontend_path(7) + "/backend"].value = backend_path(1, 8);
  reconciler.reconcile();
  reconciler.reconcile();
  EXPECT_EQ(front("backend"), backend_path(1, 7));
  EXPECT_EQ(store_.read(backend_path(1, 8) + "/state"), "4");
}

TEST_F(Agent, AFailedCommitLeavesNothingAndTheNextRoundAttaches) {
  domain(1, "tmem");
  domain(7, "web1");
  auto reconciler = agent(true);
  store_.fail_next = true;
  EXPECT_THROW(reconciler.reconcile(), StoreError);
  EXPECT_EQ(back("state"), "(none)");
  EXPECT_TRUE(reconciler.reconcile());
  EXPECT_EQ(back("state"), "1");
}

TEST_F(Agent, WhatIsANumberIsNeverADomainsName) {
  domain(1, "7");
  domain(7, "web1");
  EXPECT_EQ(find_domain(store_, "7"), Domid{7});
  EXPECT_EQ(find_domain(store_, "web1"), Domid{7});
  EXPECT_EQ(find_domain(store_, "0"), Domid{0});
  EXPECT_EQ(find_domain(store_, "12"), std::nullopt);
  EXPECT_EQ(find_domain(store_, "1x"), std::nullopt);
}

TEST_F(Agent, AWishIsAnsweredWhenItHasComeTrueOrWithWhyNot) {
  domain(1, "tmem");
  domain(7, "web1");
  auto reconciler = agent(false);
  const std::string wish = std::string(kWishes) + "/7";
  store_.nodes[wish] = {"attach min=64 cap=128", {}};
  reconciler.reconcile();
  EXPECT_EQ(store_.read(wish + "/answer"), "done");
  store_.remove(wish);
  store_.nodes[wish] = {"attach cap=32", {}};
  reconciler.reconcile();
  EXPECT_EQ(store_.read(wish + "/answer"), "refused: wish 'attach cap=32': tmem_min is above tmem_cap");
  EXPECT_EQ(back("policy"), "weight=100 cap-pages=32768 min-pages=16384 compress=1");
  store_.remove(wish + "/answer");
  reconciler.reconcile();
  EXPECT_TRUE(store_.read(wish + "/answer")) << "who asks the same again is answered again";
}

TEST_F(Agent, NothingIsWrittenIntoTheDirectoryOfADomainThatHasGoneMeanwhile) {
  attach(store_, 1, 7, {"web1", kUuid}, {});
  carry_tuning(store_, 7, {{"selfballooning", "1"}});
  EXPECT_TRUE(store_.nodes.empty());
}

}  // namespace
}  // namespace tmem::agent
