// SPDX-License-Identifier: MIT
#include "tools/tmemctl/host_events.h"

#include <gtest/gtest.h>

#include "agent/fake_store.h"
#include "tmem/tmem_xs.h"

namespace tmem::tool {
namespace {

TEST(HostEvents, OnlyWhatIsNewIsToldAlsoWhereOldLinesHaveLeft) {
  agent::FakeStore store;
  const auto write = [&](const char* lines) { store.write(TMEM_XS_FLOW_EVENTS, lines, {}); };
  write("1 memory-low 0 \n2 guest-stuck 7 web 1");
  HostEvents events(store);
  EXPECT_TRUE(events.fresh().empty());
  write("2 guest-stuck 7 web 1\n2 guest-stuck 7 web 1\n3 memory-enough 0 ");
  const std::vector<HostEvent> fresh = events.fresh();
  ASSERT_EQ(fresh.size(), 2u);
  EXPECT_EQ(fresh[0].time_s, 2u);
  EXPECT_EQ(fresh[0].kind, "guest-stuck");
  EXPECT_EQ(fresh[0].domain, 7u);
  EXPECT_EQ(fresh[0].name, "web 1");
  EXPECT_EQ(fresh[1].kind, "memory-enough");
  EXPECT_EQ(fresh[1].name, "");
  EXPECT_TRUE(events.fresh().empty());
}

TEST(HostEvents, WithoutAnAgentThereAreNone) {
  agent::FakeStore store;
  EXPECT_TRUE(HostEvents(store).fresh().empty());
}

}  // namespace
}  // namespace tmem::tool
