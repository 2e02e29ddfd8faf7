// SPDX-License-Identifier: MIT
// Guests that take pages back where somebody waits for room.
#include "breathe/breather_fixture.h"

namespace tmem::breathe {
namespace {

// All of the service's 400 MiB are persistent pages of two guests, at half their size.
class BreatherPagesTest : public BreatherTest {
 protected:
  BreatherPagesTest() {
    host_.service.needed_kib = host_.service.now_kib = 400 * kMib;
    for (const Domid id : {2u, 3u}) {
      host_.add(id, "g" + std::to_string(id), 800);
      host_.kept.push_back({uuid_of(id), 100, 100 * kMib, 0, 200 * kMib});
    }
  }
  std::optional<std::string> asked(Domid id) { return host_.store.read(node(id, TMEM_XS_PAGES_TARGET)); }
};

TEST_F(BreatherPagesTest, GuestsAreAskedForPagesUntilTheRoomIsMade) {
  ask("7", 1000, 5);
  round();
  EXPECT_EQ(asked(2), std::to_string(100 * kMib - 58 * kMib)) << "half of 256 + 1000 - 1024, two KiB a page";
  EXPECT_EQ(asked(3), asked(2));
  EXPECT_EQ(host_.store.nodes[node(2, TMEM_XS_PAGES_TARGET)].permissions.reader, Domid{2});
  EXPECT_EQ(word(answer("7"), "state"), "making");
  for (int i = 0; i < 30; ++i) {
    host_.take_back(10 * kMib);
    rounds(1);
  }
  EXPECT_GE(host_.kept[0].pages, 40 * kMib) << "no more than was asked for";
  EXPECT_THAT(told_, IsEmpty());
  EXPECT_EQ(asked(2), std::nullopt) << "over";
  EXPECT_THAT(host_.store.list(TMEM_XS_FLOW_PAGES), IsEmpty());
}

TEST_F(BreatherPagesTest, TheRoomIsMadeOfThem) {
  ask("7", 1000);
  for (int i = 0; i < 9; ++i) {
    host_.take_back(10 * kMib);
    rounds(1);
  }
  EXPECT_EQ(word(answer("7"), "state"), "made") << answer("7");
  EXPECT_GE(host_.free, (1000 + 256) * kMib) << "and the reserve stays";
}

TEST_F(BreatherPagesTest, AGuestThatDoesNotAnswerHarmsNobody) {
  willing(4, 800, 300);
  ask("7", 1000);
  rounds(8);
  EXPECT_EQ(host_.target(4), 800 * kMib) << "pages first";
  rounds(8);
  EXPECT_EQ(asked(2), std::nullopt);
  EXPECT_LT(host_.target(4), 800 * kMib) << "then memory of who has some to give";
  EXPECT_EQ(word(answer("7"), "state"), "made") << answer("7");
}

TEST_F(BreatherPagesTest, AnotherOnesRequestIsLeftAlone) {
  host_.store.write(node(2, TMEM_XS_PAGES_TARGET), "0", {0, 2});
  ask("7", 1000, 5);
  rounds(30);
  EXPECT_EQ(asked(2), "0");
}

TEST_F(BreatherPagesTest, ARestartOfTheAgentEndsWhatItAskedFor) {
  ask("7", 1000);
  round();
  ASSERT_TRUE(asked(2));
  host_.store.remove(TMEM_XS_FLOW_ROOM "/7");
  Breather second(host_.store, host_, host_, {{}, "tmem", [](Domid, const std::string&) { return false; }}, [](const Event&) {});
  second.round(now_ += 1000);
  EXPECT_EQ(asked(2), std::nullopt);
}

TEST_F(BreatherPagesTest, AServiceWhoseAnswerIsLateChangesNoRequest) {
  ask("7", 1000);
  round();
  const auto before = asked(2);
  host_.answers = false;
  round();
  EXPECT_EQ(asked(2), before);
}

TEST_F(BreatherPagesTest, WhenMemoryIsMovedNoMoreNoPagesAreWanted) {
  ask("7", 1000);
  round();
  ASSERT_TRUE(asked(2) && asked(3));
  host_.store.write(node(3, TMEM_XS_PAGES_TARGET), "1", {0, 3});  // somebody else's
  let_go(host_.store, host_);
  EXPECT_EQ(asked(2), std::nullopt);
  EXPECT_EQ(asked(3), "1");
  EXPECT_THAT(host_.store.list(TMEM_XS_FLOW_PAGES), IsEmpty());
}

}  // namespace
}  // namespace tmem::breathe
