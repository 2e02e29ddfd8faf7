// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "selfballoon/params.h"

namespace tmem::selfballoon {
namespace {

TEST(Params, EveryKeyTakesItsBoundsAndNothingBeyond) {
  for (const KeyInfo& key : number_keys()) {
    Params params;
    EXPECT_EQ(set(params, key.name, std::to_string(key.lowest)), std::nullopt) << key.name;
    EXPECT_EQ(get(params, key.name), std::to_string(key.lowest));
    EXPECT_EQ(set(params, key.name, std::to_string(key.highest) + "\n"), std::nullopt) << key.name;
    EXPECT_EQ(get(params, key.name), std::to_string(key.highest));
    EXPECT_NE(set(params, key.name, std::to_string(uint64_t{key.highest} + 1)), std::nullopt) << key.name;
    EXPECT_EQ(get(params, key.name), std::to_string(key.highest)) << "the old value stays";
    EXPECT_TRUE(reset(params, key.name));
    EXPECT_EQ(params, Params{}) << key.name;
  }
}

TEST(Params, ARefusalSaysWhatIsAllowed) {
  Params params;
  EXPECT_EQ(set(params, "selfballoon_interval", "0"), "'0' is not a number from 1 to 3600");
  EXPECT_EQ(set(params, "selfballoon_interval", "-5"), "'-5' is not a number from 1 to 3600");
  EXPECT_EQ(set(params, "selfballoon_interval", "5s"), "'5s' is not a number from 1 to 3600");
  EXPECT_EQ(set(params, "selfballoon_interval", ""), "'' is not a number from 1 to 3600");
  EXPECT_EQ(set(params, "selfballoon_policy", "brave"), "'brave' is neither pressure nor committed");
  EXPECT_EQ(set(params, "interval", "5"), "there is no such key");
  EXPECT_EQ(params, Params{});
}

TEST(Params, ARefusalShowsNoControlBytesAndNoEndlessText) {
  Params params;
  const auto reason = set(params, "selfballoon_interval", "\x1b[2J" + std::string(5000, 'x'));
  ASSERT_TRUE(reason);
  EXPECT_LT(reason->size(), 100u);
  EXPECT_EQ(reason->find('\x1b'), std::string::npos);
}

TEST(Params, ThePolicyIsAWord) {
  Params params;
  EXPECT_EQ(set(params, "selfballoon_policy", "committed"), std::nullopt);
  EXPECT_EQ(params.policy, Policy::kCommitted);
  EXPECT_EQ(get(params, "selfballoon_policy"), "committed");
  EXPECT_TRUE(reset(params, "selfballoon_policy"));
  EXPECT_EQ(params.policy, Policy::kPressure);
  EXPECT_FALSE(reset(params, "nothing"));
}

}  // namespace
}  // namespace tmem::selfballoon
