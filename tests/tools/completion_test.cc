// SPDX-License-Identifier: MIT
// The bash completion, run by a real bash against the real program and a service with two clients.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <sstream>

#include "tools/tmemctl_run.h"

namespace tmem::test {
namespace {

using testing::Contains;
using testing::Not;
using testing::UnorderedElementsAre;

using Words = std::set<std::string>;

struct Completion : testing::Test {
  FakeService service;
  Completion() {
    FakeService::add_pool(service.add_client(7, "web1"), 3, false);
    FakeService::add_pool(service.clients[0], 14, true);
    service.add_client(9, "$(touch x)");
    setenv("PATH", (std::filesystem::path(XEN_TMEMCTL).parent_path().string() + ":" + getenv("PATH")).c_str(), 1);
    setenv("XEN_TMEM_CONTROL", service.socket_path().c_str(), 1);
  }
  ~Completion() override { unsetenv("XEN_TMEM_CONTROL"); }

  // words: what stands on the line, the last one being completed, each quoted for bash.
  static Words complete(const std::string& words) {
    std::string script = "source " COMPLETION "; COMP_WORDS=(xen-tmemctl " + words +
                         "); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _xen_tmemctl; printf '%s\\n' \"${COMPREPLY[@]}\"";
    setenv("COMPLETION_SCRIPT", script.c_str(), 1);
    FILE* bash = popen("bash -c \"$COMPLETION_SCRIPT\"", "r");
    Words found;
    char line[256];
    while (fgets(line, sizeof line, bash)) found.insert(std::string(line, strcspn(line, "\n")));
    EXPECT_EQ(pclose(bash), 0);
    found.erase("");
    return found;
  }
};

TEST_F(Completion, KnowsEveryCommandThatTheProgramHas) {
  std::istringstream help(run_tool({"--help"}).out);
  Words known = complete("''");
  size_t commands = 0;
  for (std::string line; std::getline(help, line) && line != "Subcommands:";) {
  }
  for (std::string line; std::getline(help, line) && line.starts_with("  ") && !line.starts_with("   ");) {
    commands++;
    EXPECT_THAT(known, Contains(line.substr(2, line.find(' ', 2) - 2)));
  }
  EXPECT_GT(commands, 15u);
}

TEST_F(Completion, KnowsClientsAndPools) {
  EXPECT_THAT(complete("freeze we"), UnorderedElementsAre("web1"));
  EXPECT_THAT(complete("list ''"), Contains("web1"));
  EXPECT_THAT(complete("destroy-pool web1 ''"), UnorderedElementsAre("3", "14"));
  EXPECT_THAT(complete("destroy-pool -f web1 1"), UnorderedElementsAre("14"));
  EXPECT_THAT(complete("freeze web1 ''"), Not(Contains("web1")));
}

TEST_F(Completion, ANameIsNeverRunByTheShell) {
  complete("freeze ''");
  EXPECT_FALSE(std::filesystem::exists("x"));
}

TEST_F(Completion, KnowsOptionsAndSettings) {
  EXPECT_THAT(complete("set web1 we"), UnorderedElementsAre("weight="));
  EXPECT_THAT(complete("top --ba"), UnorderedElementsAre("--batch"));
  EXPECT_THAT(complete("config ''"), UnorderedElementsAre("check", "show"));
  EXPECT_THAT(complete("top -s pu"), UnorderedElementsAre("put/s"));
}

TEST_F(Completion, WithoutAServiceTheRestIsStillCompleted) {
  EXPECT_THAT(complete("--socket /nonexistent freeze ''"), UnorderedElementsAre());
  EXPECT_THAT(complete("--socket /nonexistent fre"), UnorderedElementsAre("freeable", "freeze"));
}

}  // namespace
}  // namespace tmem::test
