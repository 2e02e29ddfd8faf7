// SPDX-License-Identifier: MIT
#include "breathe/remembered_store.h"

#include <gtest/gtest.h>

#include <functional>

#include "breathe/fake_host.h"

namespace tmem::breathe {
namespace {

class RememberedStoreTest : public testing::Test {
 protected:
  void set(const std::string& path, const std::string& value) { below_.nodes[path] = {value, {}}; }
  // How often the store below was asked.
  int reads(const std::function<void()>& body) {
    const int before = below_.reads;
    body();
    return below_.reads - before;
  }
  // Watches fire once when they are set.
  void begin() {
    for (const std::string& path : below_.watched) store_.told(path);
  }

  agent::FakeStore below_;
  RememberedStore store_{below_};
  const std::string target_ = node(5, "memory/target"), min_ = node(5, "memory/tmem/flow/min");
};

TEST_F(RememberedStoreTest, WhatWasReadIsNotReadAgainAlsoWhereNothingIs) {
  set(target_, "1");
  EXPECT_EQ(store_.read(target_), "1");
  EXPECT_EQ(store_.read(min_), std::nullopt);
  begin();
  EXPECT_EQ(reads([&] {
              EXPECT_EQ(store_.read(target_), "1");
              EXPECT_EQ(store_.read(min_), std::nullopt);
            }),
            0);
}

TEST_F(RememberedStoreTest, AWatchIsSetBeforeTheFirstRead) {
  EXPECT_EQ(store_.read(target_), std::nullopt);
  EXPECT_TRUE(below_.watched.contains(node(5, "memory")));
}

TEST_F(RememberedStoreTest, WhoIsToldReadsAgain) {
  set(target_, "1");
  store_.read(target_);
  store_.read(min_);
  store_.list(node(5, "memory"));
  begin();
  for (const std::string& path : {target_, node(5, "memory"), node(5, "memory/tmem"), std::string("/local/domain/5")}) {
    set(target_, path);
    store_.told(path);
    EXPECT_EQ(store_.read(target_), path);
  }
  set(min_, "7");
  store_.told(min_);
  EXPECT_EQ(store_.read(min_), "7");
  EXPECT_EQ(store_.list(node(5, "memory")), (std::vector<std::string>{"target", "tmem"}));
}

TEST_F(RememberedStoreTest, AnotherDomainsChangeCostsNothing) {
  store_.read(node(5, "memory/target"));
  store_.read(node(51, "memory/target"));
  begin();
  store_.told(node(51, "memory/target"));
  EXPECT_EQ(reads([&] { store_.read(node(5, "memory/target")); }), 0);
  EXPECT_EQ(reads([&] { store_.read(node(51, "memory/target")); }), 1);
}

TEST_F(RememberedStoreTest, OwnWritesAndRemovalsAreSeen) {
  const std::string limit = TMEM_XS_FLOW_LIMIT "/5";
  EXPECT_EQ(store_.read(limit), std::nullopt);
  store_.write(limit, "a", {});
  EXPECT_EQ(store_.read(limit), "a");
  EXPECT_EQ(store_.list(TMEM_XS_FLOW_LIMIT), std::vector<std::string>{"5"});
  store_.transaction([&](agent::StoreView& view) { view.write(limit, "b", {}); });
  EXPECT_EQ(store_.read(limit), "b");
  store_.remove(limit);
  EXPECT_EQ(store_.read(limit), std::nullopt);
  EXPECT_TRUE(store_.list(TMEM_XS_FLOW_LIMIT).empty());
}

TEST_F(RememberedStoreTest, WhatIsElsewhereIsReadEachTime) {
  for (const char* path : {TMEM_XS_FLOW_STATE, "/vm/1/uuid", "/local/domain", "/local/domain/5", "/local/domain/x/name"}) {
    EXPECT_EQ(reads([&] {
                store_.read(path);
                store_.read(path);
                store_.list(path);
              }),
              3)
        << path;
  }
  EXPECT_TRUE(below_.watched.empty());
}

TEST_F(RememberedStoreTest, AGoneDomainIsForgotten) {
  set(target_, "1");
  store_.read(target_);
  store_.read(node(6, "name"));
  store_.read(TMEM_XS_FLOW_LIMIT "/5");
  store_.keep({0, 6});
  EXPECT_EQ(below_.watched, (std::set<std::string>{node(6, "name"), TMEM_XS_FLOW_LIMIT}));
  set(target_, "2");  // its number came again
  EXPECT_EQ(store_.read(target_), "2");
}

TEST_F(RememberedStoreTest, AQuietHostIsHardlyAsked) {
  FakeHost host;
  for (Domid id = 2; id < 12; ++id) host.add(id, "g" + std::to_string(id), 128);
  RememberedStore store(host.store);
  Breather breather(store, host, host, {{}, "tmem", [](Domid, const std::string&) { return false; }}, [](const Event&) {});
  uint64_t now = 0;
  for (int i = 0; i < 30; ++i) {
    breather.round(now += 1000);
    host.settle();
    store.told(node(kTmem, "memory/target"));  // which the breather sets behind this store
  }
  const int before = host.store.reads;
  breather.round(now += 1000);
  EXPECT_LE(host.store.reads - before, 5) << "of a hundred that a round looks at";
}

}  // namespace
}  // namespace tmem::breathe
