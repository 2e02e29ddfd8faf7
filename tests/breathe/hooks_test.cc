// SPDX-License-Identifier: MIT
// Scripts of events.d, and who is being moved.
#include "breathe/hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "breathe/moving.h"

namespace tmem::breathe {
namespace {

namespace fs = std::filesystem;

class HooksTest : public testing::Test {
 protected:
  static fs::path make_directory() {
    std::string path = testing::TempDir() + "hooks-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("mkdtemp");
    fs::create_directory(fs::path(path) / "events.d");
    return path;
  }
  ~HooksTest() override { fs::remove_all(directory_); }

  void script(const std::string& name, const std::string& body, bool executable = true) {
    const fs::path path = directory_ / "events.d" / name;
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    if (executable) fs::permissions(path, fs::perms::owner_all);
  }
  void drain(Hooks& hooks, uint64_t now_ms = 0) {
    while (hooks.look(now_ms) > 0) usleep(1000);
  }
  std::string text(const std::string& name) {
    std::ostringstream all;
    all << std::ifstream(directory_ / name).rdbuf();
    return all.str();
  }

  const fs::path directory_ = make_directory();
  std::vector<std::string> complaints_;
  Hooks hooks_{directory_ / "events.d", 30000, [this](const std::string& c) { complaints_.push_back(c); }};
};

TEST_F(HooksTest, AScriptIsToldWhatHappenedAsArguments) {
  script("mail", "printf '%s|' \"$@\" > " + (directory_ / "out").string());
  hooks_.run({"guest-stuck", "7", "we b1; rm -rf"}, 0);
  drain(hooks_);
  EXPECT_EQ(text("out"), "guest-stuck|7|we b1; rm -rf|");
  EXPECT_TRUE(complaints_.empty());
}

TEST_F(HooksTest, OnlyExecutablesWithPlainNamesAreRun) {
  for (const char* name : {"a.sh", "b~", ".c", "d.dpkg-old"}) script(name, "touch " + (directory_ / "ran").string());
  script("notes", "touch " + (directory_ / "ran").string(), false);
  fs::create_directory(directory_ / "events.d" / "folder");
  hooks_.run({"memory-low", "0", ""}, 0);
  EXPECT_EQ(hooks_.look(0), 0u);
  EXPECT_FALSE(fs::exists(directory_ / "ran"));
}

TEST_F(HooksTest, AFailureIsComplainedOf) {
  script("bad", "exit 3");
  hooks_.run({"memory-low", "0", ""}, 0);
  drain(hooks_);
  ASSERT_EQ(complaints_.size(), 1u);
  EXPECT_THAT(complaints_[0], testing::HasSubstr("bad failed with status 3"));
}

TEST_F(HooksTest, WhoTakesTooLongIsKilledWithAllThatItStarted) {
  script("slow", "sleep 100000 & wait");
  hooks_.run({"memory-low", "0", ""}, 1000);
  EXPECT_EQ(hooks_.look(30999), 1u);
  EXPECT_EQ(hooks_.look(31000), 1u);
  drain(hooks_, 31000);
  ASSERT_EQ(complaints_.size(), 1u);
  EXPECT_THAT(complaints_[0], testing::HasSubstr("slow is killed: it ran for more than 30 seconds"));
}

TEST_F(HooksTest, ThereIsAnEndToHowManyRun) {
  script("slow", "exec sleep 100000");
  for (size_t i = 0; i < Hooks::kRunningMax + 1; ++i) hooks_.run({"memory-low", "0", ""}, 0);
  EXPECT_EQ(hooks_.look(0), Hooks::kRunningMax);
  EXPECT_EQ(complaints_.size(), 1u);
}

TEST_F(HooksTest, NoDirectoryIsNoError) {
  fs::remove_all(directory_ / "events.d");
  hooks_.run({"memory-low", "0", ""}, 0);
  EXPECT_TRUE(complaints_.empty());
}

class MovingTest : public HooksTest {
 protected:
  void process(const std::string& pid, const std::vector<std::string>& words) {
    fs::create_directories(directory_ / pid);
    std::ofstream out(directory_ / pid / "cmdline", std::ios::binary);
    for (const std::string& word : words) out << word << '\0';
  }
};

TEST_F(MovingTest, LibxlsNamesAndXlsCommandLinesSayWhoMoves) {
  const auto is_moving = [&](agent::Domid domain, const std::string& name) { return Moving(directory_).has(domain, name); };
  EXPECT_TRUE(is_moving(7, "web1--incoming"));
  EXPECT_TRUE(is_moving(7, "web1--migratedaway"));
  EXPECT_FALSE(is_moving(7, "web1"));
  process("12", {"xl", "list", "web1"});
  process("13", {"vi", "migrate", "web1"});
  process("14", {"xl"});
  process("self", {"xl", "save", "web1", "f"});
  EXPECT_FALSE(is_moving(7, "web1"));
  process("15", {"/usr/sbin/xl", "-v", "migrate", "--debug", "web1", "host2"});
  EXPECT_TRUE(is_moving(7, "web1"));
  EXPECT_FALSE(is_moving(8, "web2"));
  process("16", {"xl", "save", "8", "file"});
  EXPECT_TRUE(is_moving(8, "web2"));
}

TEST_F(MovingTest, TheProcessListIsReadOnceUntilItIsForgotten) {
  Moving moving(directory_);
  process("15", {"xl", "migrate", "web1", "host2"});
  EXPECT_TRUE(moving.has(7, "web1"));
  fs::remove_all(directory_ / "15");
  process("16", {"xl", "save", "web2", "file"});
  EXPECT_TRUE(moving.has(7, "web1"));
  EXPECT_FALSE(moving.has(8, "web2"));
  moving.forget();
  EXPECT_FALSE(moving.has(7, "web1"));
  EXPECT_TRUE(moving.has(8, "web2"));
}

}  // namespace
}  // namespace tmem::breathe
