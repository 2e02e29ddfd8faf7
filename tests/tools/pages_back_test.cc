// SPDX-License-Identifier: MIT
#include "tools/tmemctl/pages_back.h"

#include <gtest/gtest.h>

#include "agent/attach.h"
#include "agent/fake_store.h"
#include "tmem/tmem_xs.h"

namespace tmem::tool {
namespace {

const std::string kRequest = "/local/domain/7/" TMEM_XS_PAGES_TARGET;
const std::string kAnswer = agent::frontend_path(7) + "/" TMEM_XS_PAGES_BACK;

// The guest: answers a request as soon as it is written.
class Guest final : public agent::Store {
 public:
  Guest() { store.write("/local/domain/7/name", "web1", {}); }
  std::optional<std::string> read(const std::string& path) override { return store.read(path); }
  std::vector<std::string> list(const std::string& path) override { return store.list(path); }
  void remove(const std::string& path) override { store.remove(path); }
  void write(const std::string& path, std::string_view value, const agent::Permissions& permissions) override {
    store.write(path, value, permissions);
    if (path == kRequest && !answer.empty()) store.write(kAnswer, answer, {7, 1});
  }
  void transaction(const std::function<void(agent::StoreView&)>& body) override { body(*this); }
  void watch(const std::string&, const std::string&) override {}
  void unwatch(const std::string&, const std::string&) override {}
  void allow_release_watch(agent::Domid) override {}

  agent::FakeStore store;
  std::string answer;
};

TEST(PagesBack, ARequestIsOfDom0AndReadableByItsGuest) {
  Guest guest;
  PagesRequest request(guest, 7);
  request.ask(12);
  EXPECT_EQ(guest.store.nodes.at(kRequest).value, "12");
  EXPECT_EQ(guest.store.nodes.at(kRequest).permissions.owner, 0u);
  EXPECT_EQ(guest.store.nodes.at(kRequest).permissions.reader, 7u);
}

TEST(PagesBack, ADomainThatIsGoneIsNotMadeAnewByARequest) {
  Guest guest;
  guest.store.remove("/local/domain/7");
  PagesRequest request(guest, 7);
  request.ask(12);
  EXPECT_TRUE(guest.store.nodes.empty());
}

TEST(PagesBack, TheGuestsWordsAreTaken) {
  Guest guest;
  guest.answer = "target=0 left=17 busy=0 error=12";
  PagesRequest request(guest, 7);
  const auto answer = take_back(request, 0, 60);
  ASSERT_TRUE(answer.has_value());
  EXPECT_FALSE(answer->busy);
  EXPECT_EQ(answer->left, 17u);
  EXPECT_EQ(answer->error, 12);
}

TEST(PagesBack, AnAnswerOfBeforeIsNotTakenForThisOne) {
  Guest guest;
  guest.store.write(kAnswer, "target=0 left=0 busy=0 error=0", {7, 1});
  PagesRequest request(guest, 7);
  request.ask(0);
  EXPECT_FALSE(request.look().has_value());
}

TEST(PagesBack, NonsenseIsNoAnswer) {
  Guest guest;
  PagesRequest request(guest, 7);
  for (const char* words : {"", "left=0", "target=0 left=x busy=0 error=0", "target=0 left=0 busy= error=0"}) {
    guest.answer = words;
    request.ask(0);
    EXPECT_FALSE(request.look().has_value()) << words;
  }
}

TEST(PagesBack, AGuestThatIsStillAtItWhenTheTimeIsOverIsSaidToBeBusy) {
  Guest guest;
  guest.answer = "target=0 left=5000 busy=1 error=0";
  PagesRequest request(guest, 7);
  const auto answer = take_back(request, 0, 0.001);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->busy);
}

TEST(PagesBack, ARequestEndsWithItsOwner) {
  Guest guest;
  {
    PagesRequest request(guest, 7);
    request.ask(0);
    EXPECT_TRUE(guest.store.read(kRequest).has_value());
  }
  EXPECT_FALSE(guest.store.read(kRequest).has_value());
}

TEST(PagesBack, AGuestIsAskedBeforeItsPagesAreCounted) {
  Guest guest;
  guest.answer = "target=0 left=0 busy=0 error=0";
  PagesRequest request(guest, 7);
  const Kept kept = take_all_back(request, 60, [&]() -> uint64_t { return guest.store.read(kRequest) == "0" ? 0 : 5; });
  EXPECT_EQ(kept.pages, 0u);
  ASSERT_TRUE(kept.answer.has_value());
  EXPECT_FALSE(kept.answer->busy);
}

}  // namespace
}  // namespace tmem::tool
