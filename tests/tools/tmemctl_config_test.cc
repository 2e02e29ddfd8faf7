// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

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
  EXPECT_EQ(json["schema"], "xen-tmem/config-show/1");
  EXPECT_EQ(json["values"]["shards"], 1);
  EXPECT_FALSE(json["keys"].empty());
  EXPECT_THAT(run_tool({"config", "show", path}).out, HasSubstr("shards: 1\n"));
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
