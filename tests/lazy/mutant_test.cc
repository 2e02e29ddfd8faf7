// SPDX-License-Identifier: MIT
// Compiled with a registry that has one mistake (CMakeLists.txt): the checker must find it.
#include <gtest/gtest.h>

#include "lazy/cases.h"

namespace tmem::test {
namespace {

#define LAZY_NAME_OF(name) #name
#define LAZY_NAME(name) LAZY_NAME_OF(name)

TEST(LazyMutant, IsFound) {
  Exploration sum;
  std::string found;
  for (size_t size = 1; size <= 3; ++size)
    for (const First first : {First::kCold, First::kLate, First::kUnconnected, First::kWarm})
      if (found.empty()) found = explore_all(first, size, size < 3 ? kNoBound : 2, sum);
  EXPECT_NE(found, "") << LAZY_NAME(LAZY_MUTANT) << " was not found";
  std::printf("%s: %s\n", LAZY_NAME(LAZY_MUTANT), found.c_str());
}

}  // namespace
}  // namespace tmem::test
