// SPDX-License-Identifier: MIT
// The registry's own code in every order of steps of any two and any three actors, of the fours of eleven of them, and of others, chosen
// and random; world.h names the invariants.
#include <gtest/gtest.h>

#include <algorithm>

#include "lazy/cases.h"
#include "support/page_source.h"

namespace tmem::test {
namespace {

// AddressSanitizer makes a step some twenty times as dear and looks at memory, not at orders: it sees one preemption.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TMEM_SANITIZED_STEPS 1
#endif
#endif
#ifdef TMEM_SANITIZED_STEPS
constexpr uint32_t kPreemptions = 1;
#else
constexpr uint32_t kPreemptions = kNoBound;
#endif

class LazyModel : public ::testing::TestWithParam<First> {};

TEST_P(LazyModel, HoldsForEveryTwoActors) {
  Exploration sum;
  EXPECT_EQ(explore_all(GetParam(), 2, kNoBound, sum), "");
  RecordProperty("states", std::to_string(sum.states));
}

TEST_P(LazyModel, HoldsForEveryThreeActors) {
  Exploration sum;
  EXPECT_EQ(explore_all(GetParam(), 3, kPreemptions, sum), "");
  RecordProperty("states", std::to_string(sum.states));
  std::printf("%llu states, %llu orders\n", static_cast<unsigned long long>(sum.states), static_cast<unsigned long long>(sum.runs));
}

std::vector<size_t> named(const std::vector<std::string>& names) {
  std::vector<size_t> set;
  for (const std::string& name : names) {
    const auto found = std::find_if(actors().begin(), actors().end(), [&](const NamedActor& actor) { return name == actor.name; });
    set.push_back(static_cast<size_t>(found - actors().begin()));
  }
  return set;
}

// Threes meet pair by pair; these are the fours where all four share a member or the mutex.
TEST_P(LazyModel, HoldsForChosenFours) {
  const std::vector<std::vector<std::string>> fours = {
      {"store", "load", "register", "connect"},        {"store", "store", "connect", "disconnect"},
      {"store", "load", "bring_back", "swapoff"},      {"store", "free", "unregister", "connect"},
      {"swapon", "register", "connect", "unregister"}, {"store", "load", "lose_memory", "bring_back"},
      {"put", "get", "write_no_room", "mend"},         {"put", "umount", "mount", "get"},
      {"put", "write", "disconnect", "connect"},       {"put", "get", "umount", "unregister"},
      {"write_no_room", "mend", "umount", "mount"},    {"mount", "put", "register", "connect"},
  };
  for (const auto& names : fours) {
    const Exploration one = explore_set(GetParam(), named(names), kPreemptions);
    EXPECT_EQ(one.violation, "") << name_set(GetParam(), named(names));
  }
}

// Of all actors: some fours each time, others with each seed.
TEST_P(LazyModel, HoldsForRandomFours) {
  Random random(seed_or(1) + static_cast<uint64_t>(GetParam()));
  const uint64_t count = rounds_or("TMEM_EXPLORED_FOURS", 20);
  for (uint64_t i = 0; i < count; ++i) {
    std::vector<size_t> set(4);
    for (size_t& actor : set) actor = random() % actors().size();
    const Exploration one = explore_set(GetParam(), set, kPreemptions);
    ASSERT_EQ(one.violation, "") << name_set(GetParam(), set);
  }
}

// What the kernel, the operator and the connection do: all 1001 fours of these eleven, a part of them each time.
TEST_P(LazyModel, HoldsForEveryFourOfTheKernelsAndTheConnections) {
  const std::vector<size_t> of = named({"swapon", "swapoff", "mount", "umount", "register", "unregister", "connect", "disconnect", "store", "load", "free"});
  const uint64_t parts = rounds_or("TMEM_FOURS_PARTS", 100);
  uint64_t at = seed_or(1) % parts, sets = 0, states = 0;
  for (size_t a = 0; a < of.size(); ++a) {
    for (size_t b = a; b < of.size(); ++b) {
      for (size_t c = b; c < of.size(); ++c) {
        for (size_t d = c; d < of.size(); ++d) {
          if (at++ % parts != 0) continue;
          const std::vector<size_t> set{of[a], of[b], of[c], of[d]};
          const Exploration one = explore_set(GetParam(), set, kPreemptions);
          ASSERT_EQ(one.violation, "") << name_set(GetParam(), set);
          ++sets;
          states += one.states;
        }
      }
    }
  }
  std::printf("%llu sets, %llu states\n", static_cast<unsigned long long>(sets), static_cast<unsigned long long>(states));
}

INSTANTIATE_TEST_SUITE_P(From, LazyModel, ::testing::Values(First::kCold, First::kLate, First::kUnconnected, First::kWarm),
                         [](const auto& what) {
                           return std::string(std::vector<const char*>{"Cold", "Late", "Unconnected", "Warm"}[static_cast<size_t>(what.param)]);
                         });

}  // namespace
}  // namespace tmem::test
