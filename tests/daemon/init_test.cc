// SPDX-License-Identifier: MIT
// xen-tmemd as process 1: which part it plays, and what it takes from the kernel's command line and memory figures.
#include "daemon/base/init.h"

#include <gtest/gtest.h>

#include "daemon/config/config.h"

namespace tmem {
namespace {

TEST(Init, ThePartIsKnownByTheNameAndInitOnlyAsTheFirstProcess) {
  EXPECT_EQ(role_of("/init", true), Role::kInit);
  EXPECT_EQ(role_of("/init", false), Role::kProgram);
  EXPECT_EQ(role_of("/sbin/poweroff", false), Role::kPoweroff);
  EXPECT_EQ(role_of("/usr/sbin/xen-tmemd", true), Role::kProgram) << "in a container it may well be process 1";
  EXPECT_EQ(role_of("", false), Role::kProgram);
}

TEST(Init, WordsOfTheCommandLineAreConfiguration) {
  const std::string text = config_of_command_line("console=hvc0 quiet tmem.memory=64M tmem.shards=2\ttmem.log-level=debug tmem. tmem.novalue xtmem.a=1\n");
  EXPECT_EQ(text, "memory = 64M\nshards = 2\nlog-level = debug\n");
  ConfigReader reader(HostFigures{uint64_t{1} << 30, 2});
  reader.add_text(text, "command line");
  const Config config = reader.finish();
  EXPECT_TRUE(reader.errors().empty());
  EXPECT_EQ(config.memory_bytes, uint64_t{64} << 20);
  EXPECT_EQ(config_of_command_line("console=hvc0"), "");
}

TEST(Init, AWrongWordIsAnErrorOfTheConfiguration) {
  ConfigReader reader(HostFigures{uint64_t{1} << 30, 2});
  reader.add_text(config_of_command_line("tmem.memmory=1G tmem.shards==3"), "command line");
  reader.finish();
  EXPECT_EQ(reader.errors().size(), 2u);
}

TEST(Init, TheArenasGetWhatIsAvailableButForAReserve) {
  const auto mib = [](uint64_t available_kib) { return arena_mib_of("MemTotal:  99999999 kB\nMemAvailable:   " + std::to_string(available_kib) + " kB\nBuffers: 1 kB\n"); };
  EXPECT_EQ(mib(1000 * 1024), 1000u - 32 - 30);
  EXPECT_EQ(mib(32 * 1024), 0u) << "so little that the service's own default must judge";
  EXPECT_EQ(arena_mib_of("MemTotal: 5 kB\n"), 0u);
  EXPECT_EQ(arena_mib_of("MemAvailable:"), 0u);
  EXPECT_LT(mib(4096 * 1024), 4096u);
}

}  // namespace
}  // namespace tmem
