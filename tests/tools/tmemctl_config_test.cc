// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <sstream>

#include "daemon/config/config.h"
#include "tools/tmemctl_run.h"

namespace tmem::test {
namespace {

using testing::HasSubstr;

struct TmemctlConfig : testing::Test {
  std::string directory, path;
  TmemctlConfig() {
    char name[] = "/tmp/tmem-config-XXXXXX";
    directory = mkdtemp(name);
    path = directory + "/tmem.conf";
  }
  ~TmemctlConfig() override {
    unlink(path.c_str());
    rmdir(directory.c_str());
  }
  void write(const std::string& text) { std::ofstream(path) << text; }
};

TEST_F(TmemctlConfig, AGoodFileIsGoodAndShown) {
  write("# a comment\nshards = 1\n");
  Ran check = run_tool({"config", "check", path});
  EXPECT_EQ(check.status, 0) << check.err;
  EXPECT_EQ(check.out, "the configuration is good\n");
  auto json = run_tool({"config", "show", path, "--json"}).json();
  EXPECT_EQ(json["schema"], "xen-tmem/config-show/2");
  for (const auto& key : json["keys"]) {
    if (key["name"] != "shards") continue;
    EXPECT_EQ(key["value"], "1");
    EXPECT_EQ(key["line"], 2);
  }
  EXPECT_THAT(run_tool({"config", "show", path}).out, HasSubstr("# " + path + "\nshards = 1\n"));
}

// Every key under its own name, and nothing but a file: it may be written to a file, judged good, and comes to the same.
TEST_F(TmemctlConfig, WhatIsShownIsAFileThatComesToTheSame) {
  write("shards = 3\nmemory = 10%\nxen = off\nxen-domain = store\nxen-attach = on\nclient-cap = 512M\nlog-level = debug\nkeep-connections = off\n");
  const Ran first = run_tool({"config", "show", path});
  for (const ConfigKey& key : config_keys()) EXPECT_THAT(first.out, HasSubstr("\n" + std::string(key.name) + " = ")) << key.name;
  EXPECT_THAT(first.out, HasSubstr("\nclient-cap = 512M\n"));
  write(first.out);
  EXPECT_EQ(run_tool({"config", "check", path}).status, 0);
  auto without_comments = [](const std::string& text) {
    std::multiset<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
      if (!line.starts_with('#')) lines.insert(line);
    return lines;
  };
  EXPECT_EQ(without_comments(run_tool({"config", "show", path}).out), without_comments(first.out));
}

TEST_F(TmemctlConfig, AnErrorNamesFileAndLine) {
  write("shards = 1\nno_such_key = 3\nshards = many\n");
  Ran check = run_tool({"config", "check", path});
  EXPECT_EQ(check.status, 1);
  EXPECT_THAT(check.err, HasSubstr(path + ":2: "));
  EXPECT_THAT(check.err, HasSubstr(path + ":3: "));
  auto json = run_tool({"config", "check", path, "--json"}).json();
  EXPECT_EQ(json["schema"], "xen-tmem/config-check/1");
  EXPECT_EQ(json["errors"][0]["line"], 2);
  Ran show = run_tool({"config", "show", path});
  EXPECT_EQ(show.status, 1);
  EXPECT_EQ(show.out, "");
}

TEST_F(TmemctlConfig, AFileThatIsNotThereIsAnError) { EXPECT_EQ(run_tool({"config", "check", path}).status, 1); }

TEST_F(TmemctlConfig, ConfigAloneIsAUsageError) { EXPECT_EQ(run_tool({"config"}).status, 2); }

}  // namespace
}  // namespace tmem::test
