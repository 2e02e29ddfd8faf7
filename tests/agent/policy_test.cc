// SPDX-License-Identifier: MIT
#include "agent/policy.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "agent/guest_config.h"

namespace tmem::agent {
namespace {
namespace fs = std::filesystem;

constexpr const char* kUuid = "01234567-89ab-cdef-0123-456789abcdef";
constexpr const char* kOther = "fedcba98-7654-3210-fedc-ba9876543210";

class PolicyFiles : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/tmem-agent-XXXXXX";
    root_ = mkdtemp(name);
    places_ = {root_ / "etc", root_ / "records", root_ / "proc"};
    fs::create_directories(places_.etc / "tmem.d");
    fs::create_directories(places_.etc / "auto");
    fs::create_directories(places_.proc);
  }
  void TearDown() override { fs::remove_all(root_); }

  void file(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  void process(int pid, const std::vector<std::string>& words, const fs::path& directory) {
    std::string line;
    for (const auto& word : words) line += word + '\0';
    file(places_.proc / std::to_string(pid) / "cmdline", line);
    fs::create_directory_symlink(directory, places_.proc / std::to_string(pid) / "cwd");
  }
  FoundPolicy find(const std::string& name, const std::string& uuid = kUuid) {
    errors_.clear();
    return find_policy(places_, {name, uuid}, {}, errors_);
  }

  fs::path root_;
  ConfigPlaces places_;
  std::vector<PolicyError> errors_;
};

TEST_F(PolicyFiles, AGuestThatNobodySpeaksOfGetsTheDefault) {
  const auto found = find("web1");
  EXPECT_EQ(found.source, PolicySource::kDefault);
  EXPECT_FALSE(found.policy.enabled);
  EXPECT_TRUE(errors_.empty());
}

TEST_F(PolicyFiles, KeysOfXlCfgAreReadByXlsOwnParser) {
  file(places_.etc / "web1.cfg", std::string("name = \"web1\"\nmemory = 128\ntmem = 1\ntmem_weight = 200\ntmem_cap = '512'\ntmem_min=16\n"
                                             "tmem_compress=0\ntmem_shared = [ '") + kUuid + "', \"" + kOther + "\" ]\n");
  const auto found = find("web1");
  EXPECT_EQ(found.source, PolicySource::kXlConfig);
  const GuestPolicy expected{true, 200, 512, 16, false, {kUuid, kOther}};
  EXPECT_EQ(found.policy, expected);
}

TEST_F(PolicyFiles, TheGuestsOwnFileWinsOverXlCfg) {
  file(places_.etc / "web1.cfg", "name='web1'\ntmem=1\ntmem_weight=1\n");
  file(places_.etc / "tmem.d" / "web1.conf", "# comment\ntmem = 1\nweight = 300  # with or without the prefix\n");
  const auto found = find("web1");
  EXPECT_EQ(found.source, PolicySource::kGuestFile);
  EXPECT_EQ(found.policy.weight, 300u);
}

TEST_F(PolicyFiles, InlineKeysOfARunningXlCreateCount) {
  file(root_ / "plain.cfg", "name='web1'\nmemory=128\n");
  process(42, {"/usr/lib/xen-4.17/bin/xl", "create", "-p", (root_ / "plain.cfg").string(), "tmem=1", "tmem_weight=7"}, "/");
  const auto found = find("web1");
  EXPECT_EQ(found.source, PolicySource::kXlConfig);
  EXPECT_EQ(found.policy.weight, 7u);
}

TEST_F(PolicyFiles, ARelativePathIsFoundWhileXlIsInItsDirectory) {
  file(root_ / "home" / "vm.cfg", "name='web1'\ntmem=1\n");
  process(42, {"xl", "create", "-c", "vm.cfg"}, root_ / "home");
  EXPECT_TRUE(find("web1").policy.enabled);
  EXPECT_FALSE(find("web2").policy.enabled) << "the file names another guest";
}

TEST_F(PolicyFiles, AnotherProgramsCommandLineIsNotXls) {
  file(root_ / "vm.cfg", "name='web1'\ntmem=1\n");
  process(42, {"vi", "create", (root_ / "vm.cfg").string()}, "/");
  process(43, {"xl", "list", (root_ / "vm.cfg").string()}, "/");
  EXPECT_EQ(find("web1").source, PolicySource::kDefault);
}

TEST_F(PolicyFiles, AFileThatCannotBeReadIsNobodysAndWaitsForNobody) {
  process(42, {"xl", "create", root_.string()}, "/");
  ASSERT_EQ(mkfifo((root_ / "pipe").c_str(), 0600), 0);
  process(43, {"xl", "create", (root_ / "pipe").string()}, "/");
  file(root_ / "broken.cfg", "name = (\n");
  process(44, {"xl", "create", (root_ / "broken.cfg").string()}, "/");
  EXPECT_EQ(find("web1").source, PolicySource::kDefault);
  EXPECT_TRUE(errors_.empty()) << "another guest's file";
}

TEST_F(PolicyFiles, WhatAnotherUserCallsXlIsNotXl) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to be somebody else";
  file(root_ / "vm.cfg", "name='web1'\ntmem=1\n");
  process(42, {"xl", "create", (root_ / "vm.cfg").string()}, "/");
  EXPECT_TRUE(find("web1").policy.enabled);
  ASSERT_EQ(chown((places_.proc / "42").c_str(), 1000, 1000), 0);
  EXPECT_FALSE(find("web1").policy.enabled);
}

TEST_F(PolicyFiles, AUuidIsTheSameInCapitals) {
  std::string capitals = kUuid;
  for (char& c : capitals) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  file(places_.etc / "a.cfg", "name='web1'\nuuid='" + capitals + "'\ntmem=1\n");
  EXPECT_TRUE(find("web1", kUuid).policy.enabled);
}

TEST_F(PolicyFiles, TwoGuestsOfOneNameAreToldApartByUuid) {
  file(places_.etc / "a.cfg", std::string("name='web1'\nuuid='") + kUuid + "'\ntmem=1\ntmem_weight=1\n");
  file(places_.etc / "b.cfg", std::string("name='web1'\nuuid='") + kOther + "'\ntmem=1\ntmem_weight=2\n");
  EXPECT_EQ(find("web1", kUuid).policy.weight, 1u);
  EXPECT_EQ(find("web1", kOther).policy.weight, 2u);
}

TEST_F(PolicyFiles, ANamesakesFileIsNotTakenForAGuestThatWasStartedFromAnother) {
  file(places_.etc / "web1.cfg", "name='web1'\ntmem=1\n");
  file(root_ / "plain.cfg", "name='web1'\nmemory=128\n");
  process(42, {"xl", "create", (root_ / "plain.cfg").string()}, "/");
  EXPECT_EQ(find("web1").source, PolicySource::kDefault);
  GuestPolicy attached_by_hand{true, 5, 0, 0, true, {}};
  write_record(places_, kUuid, attached_by_hand);
  EXPECT_EQ(find("web1").source, PolicySource::kRecord);
}

TEST_F(PolicyFiles, NorWhenXlHasLeftTheDirectoryOfTheOther) {
  file(places_.etc / "web1.cfg", "name='web1'\ntmem=1\n");
  process(42, {"xl", "create", "plain.cfg"}, root_ / "elsewhere");
  EXPECT_EQ(find("web1").source, PolicySource::kDefault);
  file(places_.etc / "auto" / "plain.cfg", "name='web1'\ntmem=1\ntmem_weight=2\n");
  EXPECT_EQ(find("web1").policy.weight, 2u) << "it may be this file";
  fs::remove(places_.etc / "auto" / "plain.cfg");
  file(places_.etc / "web1.cfg", std::string("name='web1'\nuuid='") + kUuid + "'\ntmem=1\n");
  EXPECT_TRUE(find("web1").policy.enabled) << "its uuid is certain";
}

TEST_F(PolicyFiles, TheRecordServesARenamedGuestAndLosesToAnyText) {
  GuestPolicy policy{true, 5, 0, 0, true, {kOther}};
  write_record(places_, kUuid, policy);
  const auto found = find("renamed");
  EXPECT_EQ(found.source, PolicySource::kRecord);
  EXPECT_EQ(found.policy, policy);
  file(places_.etc / "tmem.d" / "renamed.conf", "tmem=0\n");
  EXPECT_FALSE(find("renamed").policy.enabled);
}

TEST_F(PolicyFiles, OldRecordsOfGuestsThatAreGoneAreDroppedAndNoOthers) {
  constexpr auto kDay = std::chrono::hours(24);
  const auto uuid = [](int i) { return "01234567-89ab-cdef-0123-4567000000" + std::to_string(10 + i); };
  const auto record = [&](int i) { return places_.records / (uuid(i) + ".conf"); };
  for (int i = 0; i < 8; ++i) {
    write_record(places_, uuid(i), {});
    fs::last_write_time(record(i), fs::file_time_type::clock::now() - (20 - i) * kDay);
  }
  file(places_.records / "notes.conf", "not ours\n");
  file(places_.etc / "web1.cfg", "name='web1'\nuuid='" + uuid(0) + "'\ntmem=1\n");
  age_record(places_, uuid(2));  // it ended just now
  EXPECT_EQ(drop_old_records(places_, {uuid(1)}, 7), 0u);
  EXPECT_EQ(drop_old_records(places_, {uuid(1)}, 3), 3u);
  std::vector<int> left;
  for (int i = 0; i < 8; ++i) {
    if (fs::exists(record(i))) left.push_back(i);
  }
  EXPECT_EQ(left, (std::vector<int>{0, 1, 2, 6, 7})) << "0 is named by an xl.cfg, 1 lives, 2 may be rebooting";
  EXPECT_TRUE(fs::exists(places_.records / "notes.conf"));
}

TEST_F(PolicyFiles, TheAgentsUnitLetsItReadWhereAnXlCfgMayBe) {
  std::ifstream unit(TMEM_SOURCE_DIR "/xenstore-config/systemd/xen-tmem-agent.service");
  bool any = false;
  for (std::string line; std::getline(unit, line); any = true) {
    EXPECT_NE(line, "PrivateTmp=yes");
    EXPECT_NE(line, "ProtectHome=yes");
  }
  EXPECT_TRUE(any);
}

TEST_F(PolicyFiles, AWrongFileIsAnErrorAndNoMatch) {
  file(places_.etc / "tmem.d" / "web1.conf", "tmem = 1\nwieght = 3\n");
  const auto found = find("web1");
  EXPECT_EQ(found.source, PolicySource::kDefault);
  ASSERT_EQ(errors_.size(), 1u);
  EXPECT_NE(errors_[0].text.find("tmem_wieght"), std::string::npos) << errors_[0].text;
}

TEST_F(PolicyFiles, AFileThatXlCannotParseIsNamed) {
  file(places_.etc / "web1.cfg", "name = 'web1'\nmemory = [ 1\n");
  EXPECT_EQ(find("web1").source, PolicySource::kDefault);
  ASSERT_FALSE(errors_.empty());
  EXPECT_NE(errors_[0].text.find("web1.cfg"), std::string::npos) << errors_[0].text;
}

TEST_F(PolicyFiles, AGuestsNameNeverLeavesTheDirectory) {
  file(root_ / "etc" / "evil.conf", "tmem=1\n");
  EXPECT_EQ(find("../evil").source, PolicySource::kDefault);
  EXPECT_EQ(find("web1", "../../etc/evil").source, PolicySource::kDefault);
}

TEST(Policy, EachBadValueIsAnErrorThatNamesKeyAndFile) {
  for (const char* text : {"weight = -1", "weight = 65536", "cap = many", "tmem = 2", "compress = maybe", "shared = not-a-uuid", "min = 2\ncap = 1", "cap", "cap=1\ncap=2"}) {
    std::vector<PolicyError> errors;
    EXPECT_FALSE(policy_from_text(text, "f.conf", errors)) << text;
    ASSERT_FALSE(errors.empty()) << text;
    EXPECT_EQ(errors[0].text.rfind("f.conf", 0), 0u) << errors[0].text;
  }
}

TEST(XlCommandLine, TheImageThatIsRestoredIsNoConfiguration) {
  const auto restored = parse_xl_command({"/usr/sbin/xl", "restore", "-p", "/var/lib/xen/g1.save"}, "/root");
  ASSERT_TRUE(restored);
  EXPECT_TRUE(restored->files.empty());
  const auto with_file = parse_xl_command({"xl", "restore", "g1.cfg", "g1.save"}, "/root");
  ASSERT_TRUE(with_file);
  EXPECT_EQ(with_file->files, std::vector<fs::path>{"/root/g1.cfg"});
}

TEST(Policy, TextAndBackIsTheSame) {
  const GuestPolicy policy{true, 12, 34, 5, false, {kUuid}};
  std::vector<PolicyError> errors;
  EXPECT_EQ(policy_from_text(policy_to_text(policy), "x", errors), policy);
  EXPECT_EQ(policy_to_node(policy), std::string("weight=12 cap-pages=8704 min-pages=1280 compress=0 shared=") + kUuid);
}

}  // namespace
}  // namespace tmem::agent
