// SPDX-License-Identifier: MIT
#include "daemon/config/config.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tmem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr HostFigures kHost{uint64_t{16} << 30, 4};

std::vector<std::string> errors_of(std::string_view text) {
  ConfigReader reader(kHost);
  reader.add_text(text, "f.conf");
  reader.finish();
  std::vector<std::string> out;
  for (const ConfigError& error : reader.errors()) out.push_back(error.to_string());
  return out;
}

Config config_of(std::string_view text) {
  ConfigReader reader(kHost);
  reader.add_text(text, "f.conf");
  const Config config = reader.finish();
  EXPECT_THAT(reader.errors(), IsEmpty()) << reader.errors().front().to_string();
  return config;
}

TEST(Config, DefaultsArePercentagesOfTheHost) {
  const Config config = config_of("");
  EXPECT_EQ(config.memory_bytes, uint64_t{4} << 30);
  EXPECT_EQ(config.memory_bytes_max, kHost.memory_bytes);
  EXPECT_EQ(config.shards, 4u);
  EXPECT_EQ(config.memfd_socket, "/run/xen-tmem/memfd.sock");
  EXPECT_TRUE(config.client_compress);
  EXPECT_EQ(config.client_cap_bytes, 0u);
}

TEST(Config, WhatSuspendedClientsMayTakeIsAPartOfTheServicesMemory) {
  EXPECT_EQ(config_of("").suspended_memory_percent, 50u);
  EXPECT_EQ(config_of("suspend-memory = 7%").suspended_memory_percent, 7u);
}

TEST(Config, CommentsBlanksAndWindowsLineEndsAreTaken) {
  const Config config = config_of("# c\n; c\n\n  memory =  512M \r\n\tshards=2\nlog-level = debug");
  EXPECT_EQ(config.memory_bytes, uint64_t{512} << 20);
  EXPECT_EQ(config.shards, 2u);
  EXPECT_EQ(config.log_level, LogLevel::kDebug);
}

TEST(Config, AnUnknownKeyIsNamedWithFileLineAndAGuess) {
  EXPECT_THAT(errors_of("shards = 2\nmemroy = 1G\n"), ElementsAre("f.conf:2: unknown key 'memroy': did you mean 'memory'?"));
  EXPECT_THAT(errors_of("zzz = 1\n"), ElementsAre(HasSubstr("f.conf:1: unknown key 'zzz': see xen-tmem.conf(5)")));
}

TEST(Config, ABadValueIsNamedWithWhatIsAllowed) {
  EXPECT_THAT(errors_of("shards = 33\n"), ElementsAre("f.conf:1: '33' is no value for 'shards'; allowed: auto (one for each CPU, at most 8), or 1 to 32"));
  for (const char* line : {"memory = 512", "memory = -1M", "memory = 101%", "memory = 7M", "memory = 99999999999999G", "shards = 0", "shards = 1x", "huge-pages = yes",
                           "log-level = loud", "memfd-socket = relative", "ring-order-max = 2", "recover-grace =", "client-weight = 65536", "suspend-memory = 1G",
                           "suspend-memory = 101%"}) {
    EXPECT_EQ(errors_of(line).size(), 1u) << line;
  }
}

TEST(Config, ALineWithoutEqualsSignIsAnError) {
  EXPECT_THAT(errors_of("\n\nmemory 5G\n"), ElementsAre("f.conf:3: expected 'key = value', found 'memory 5G'"));
}

TEST(Config, AKeyTwiceInOneFileIsAnErrorInTwoFilesTheLaterWins) {
  EXPECT_THAT(errors_of("shards = 1\n\nshards = 2\n"), ElementsAre("f.conf:3: 'shards' was given in line 1 already; remove one"));
  ConfigReader reader(kHost);
  reader.add_text("shards = 1\nmemory = 1G\n", "a");
  reader.add_text("shards = 2\n", "b");
  const Config config = reader.finish();
  EXPECT_THAT(reader.errors(), IsEmpty());
  EXPECT_EQ(config.shards, 2u);
  EXPECT_EQ(config.memory_bytes, uint64_t{1} << 30);
}

TEST(Config, ValuesThatContradictEachOtherAreNamedWhereTheyStand) {
  EXPECT_THAT(errors_of("memory = 8M\nshards = 32\n"), ElementsAre(HasSubstr("f.conf:2: 32 shards need a memory of at least 128M")));
  EXPECT_THAT(errors_of("client-cap = 1M\nclient-min = 2M\n"), ElementsAre(HasSubstr("f.conf:2: 'client-min' is above 'client-cap'")));
  EXPECT_THAT(errors_of("control-socket = /a\nmemfd-socket = /a\n"), ElementsAre(HasSubstr("must differ")));
}

TEST(Config, HostileTextIsEchoedOnOneShortLine) {
  const auto errors = errors_of("k\x1b[31m\x01" + std::string(5000, 'x') + " = 1\n");
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_LT(errors[0].size(), 200u);
  EXPECT_EQ(errors[0].find('\x1b'), std::string::npos);
}

TEST(Config, MemoryMaxIsNeverBelowMemory) {
  EXPECT_THAT(errors_of("memory = 2G\nmemory-max = 1G\n"),
              ElementsAre("f.conf:2: 'memory' is above 'memory-max'; raise 'memory-max' or lower 'memory'"));
  EXPECT_EQ(config_of("memory = 32G\n").memory_bytes_max, uint64_t{32} << 30) << "the default gives way";
}

TEST(Config, AFileAndItsDropInsAreReadInOrderOfNames) {
  std::string folder = (std::filesystem::temp_directory_path() / "tmem-config-XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  std::filesystem::create_directory(folder + "/t.conf.d");
  std::ofstream(folder + "/t.conf") << "shards = 1\nmemory = 64M\n";
  std::ofstream(folder + "/t.conf.d/20.conf") << "shards = 3\n";
  std::ofstream(folder + "/t.conf.d/10.conf") << "shards = 2\nmemory = 128M\n";
  std::ofstream(folder + "/t.conf.d/30.conf.off") << "nonsense\n";
  std::vector<ConfigError> errors;
  const Config config = load_config(folder + "/t.conf", kHost, errors);
  EXPECT_THAT(errors, IsEmpty());
  EXPECT_EQ(config.shards, 3u);
  EXPECT_EQ(config.memory_bytes, uint64_t{128} << 20);
  load_config(folder + "/absent.conf", kHost, errors);
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].to_string(), folder + "/absent.conf: no such file");
  std::filesystem::remove_all(folder);
}

std::string text_of(const std::string& path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(Config, APipeAmongTheDropInsIsAnErrorAndNotWaitedFor) {
  std::string folder = (std::filesystem::temp_directory_path() / "tmem-config-XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  ASSERT_EQ(mkfifo((folder + "/1.conf").c_str(), 0600), 0);
  ConfigReader reader(kHost);
  reader.add_directory(folder);
  ASSERT_EQ(reader.errors().size(), 1u);
  EXPECT_THAT(reader.errors()[0].text, HasSubstr("not a readable regular file"));
  std::filesystem::remove_all(folder);
}

TEST(Config, MemoryMovesOnlyWhereThatIsAskedFor) {
  EXPECT_FALSE(config_of("").breathe);
  EXPECT_TRUE(config_of("breathe = on\n").breathe);
}

TEST(Config, TheExampleHoldsEveryKeyWithItsDefault) {
  const std::string example = text_of(TMEM_SOURCE_DIR "/xenstore-config/examples/tmem.conf");
  std::string uncommented = example;
  for (const ConfigKey& key : config_keys()) {
    const std::string line = "\n#" + std::string(key.name) + " = " + std::string(key.default_value) + "\n";
    const size_t at = uncommented.find(line);
    ASSERT_NE(at, std::string::npos) << line;
    uncommented.erase(at + 1, 1);
  }
  config_of(uncommented);
}

TEST(Config, TheManualPageNamesEveryKeyWithItsDefault) {
  std::string page = text_of(TMEM_SOURCE_DIR "/docs/man/xen-tmem.conf.5");
  std::erase(page, '\\');
  for (const ConfigKey& key : config_keys()) {
    EXPECT_NE(page.find(".BR " + std::string(key.name) + " \" = " + std::string(key.default_value) + "\""), std::string::npos) << key.name;
  }
}

}  // namespace
}  // namespace tmem
