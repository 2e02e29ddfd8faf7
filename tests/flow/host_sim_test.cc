// SPDX-License-Identifier: MIT
// Whole hosts for whole days: nothing is handed out twice, nothing swings, nobody is left behind, and flowing memory beats
// memory that stands still.
#include "flow/host_sim.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace tmem::flow {
namespace {

HostSetup day(Scheme scheme) {
  HostSetup setup;
  setup.scheme = scheme;
  setup.guests = 20;
  return setup;
}

TEST(HostSim, ADayOfPressureIsStableAndFair) {
  const HostSetup setup = day(Scheme::kPressure);
  const HostResult result = simulate(setup);
  EXPECT_FALSE(result.overcommitted);
  EXPECT_GE(result.fairness, 0.99);
  // Each burst may cost its guest two reversals and a few on its way.
  EXPECT_LE(result.moves_reversed, setup.guests * 200u);
  EXPECT_LE(result.on_disk_gib_seconds, result.wanted_gib_seconds / 500) << "tmem gives way to guests that wake, and then has less room";
}

TEST(HostSim, FlowingMemoryBeatsMemoryThatStandsStill) {
  const HostResult still = simulate(day(Scheme::kStatic)), flows = simulate(day(Scheme::kPressure));
  EXPECT_LT(flows.in_tmem_gib_seconds + flows.on_disk_gib_seconds, (still.in_tmem_gib_seconds + still.on_disk_gib_seconds) / 10);
}

TEST(HostSim, BurstsInTurnFitIntoALittleOverHalfOfTheSum) {
  HostSetup setup = day(Scheme::kPressure);
  setup.guests = 4;
  setup.turns = true;
  setup.seconds = 4 * 3600;
  const HostResult result = simulate(setup);
  EXPECT_FALSE(result.overcommitted);
  // Who was busy before keeps its memory for a minute and lets it go within two; so long the next one is short, out of tmem.
  EXPECT_LE(result.hurt_seconds, 24u * 120);
  setup.scheme = Scheme::kStatic;
  const HostResult still = simulate(setup);
  EXPECT_LE((result.in_tmem_gib_seconds + result.on_disk_gib_seconds) * 10, still.on_disk_gib_seconds);
}

TEST(HostSim, GuestsThatIgnoreEverythingHarmNobody) {
  HostSetup setup = day(Scheme::kPressure);
  setup.seconds = 6 * 3600;
  setup.disobedient = 4;
  const HostResult result = simulate(setup);
  EXPECT_FALSE(result.overcommitted);
  EXPECT_GE(result.fairness, 0.95);
}

TEST(HostSim, AThousandGuestsAreNoOtherThanTwenty) {
  HostSetup setup = day(Scheme::kPressure);
  setup.guests = 1000;
  const char* seconds = std::getenv("TMEM_SIM_SECONDS");  // of tools/test: a day with --all
  setup.seconds = seconds ? static_cast<unsigned>(std::stoul(seconds)) : 1800;
  const HostResult result = simulate(setup);
  EXPECT_FALSE(result.overcommitted);
  EXPECT_GE(result.fairness, 0.98);
  EXPECT_LE(result.moves_reversed, uint64_t{setup.guests} * (20 + setup.seconds / 480)) << "a day: as for twenty";
}

// --- guests that are built while others run --------------------------------------------------------------------------------

HostSetup newcomers() {
  HostSetup setup = day(Scheme::kPressure);
  setup.guests = 24;
  setup.percent = 45;
  setup.newcomer_seconds = 1200;
  return setup;
}

const HostResult& a_day_of_newcomers() {
  static const HostResult result = simulate(newcomers());
  return result;
}

TEST(HostSim, ANewcomerGetsItsRoomAndNobodyGivesWhatIsHis) {
  const HostResult& result = a_day_of_newcomers();
  EXPECT_FALSE(result.overcommitted);
  EXPECT_GE(result.newcomers.built, 60u);
  EXPECT_LE(result.newcomers.wait_seconds_max, 20u) << "what tmem drops is there at once; balloons take seconds, more where guests wake meanwhile";
  EXPECT_EQ(result.newcomers.forbidden, 0u);
  EXPECT_GT(result.newcomers.taken_back_kib, 0u) << "pages were asked for as well";
}

TEST(HostSim, WhoGivesFollowsTheWeights) {
  const auto& asked = a_day_of_newcomers().newcomers.asked_kib;
  ASSERT_EQ(asked.size(), 2u) << "somebody was asked";
  EXPECT_LE(asked.at(200) * 4, asked.at(100) * 3);
}

TEST(HostSim, LimitsGoUpAgainOnceNobodyWaitsAndDoNotSwing) {
  const Newcomers& told = a_day_of_newcomers().newcomers;
  EXPECT_LE(told.idle_seconds_max, 12u) << "what one guest's limit has gone up by is kept for it for ten seconds";
  EXPECT_EQ(told.lowered_kib_last, 0u);
  EXPECT_LE(told.limits_reversed, told.built * newcomers().guests) << "down and up, for half of those that come";
}

TEST(HostSim, GuestsThatIgnoreTheirLimitKeepNobodyFromItsRoom) {
  HostSetup setup = newcomers();
  setup.disobedient = setup.guests / 2;
  setup.percent = 55;
  const HostResult result = simulate(setup);
  EXPECT_FALSE(result.overcommitted);
  EXPECT_GE(result.newcomers.built, 60u);
  EXPECT_LE(result.newcomers.wait_seconds_max, 40u) << "ten seconds until they are seen through, as many for who takes no pages back";
  EXPECT_EQ(result.newcomers.forbidden, 0u);
}

TEST(HostSim, TheSameSeedIsTheSameDay) {
  HostSetup setup = day(Scheme::kPressure);
  setup.seconds = 3600;
  EXPECT_EQ(simulate(setup).tmem_mib, simulate(setup).tmem_mib);
}

}  // namespace
}  // namespace tmem::flow
