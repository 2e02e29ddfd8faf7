// SPDX-License-Identifier: MIT
// The parts of the daemon that need no engine: log lines and their limits, arena files, sockets, what a supervisor keeps, events.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/base/arena_file.h"
#include "daemon/base/log.h"
#include "daemon/base/supervisor.h"
#include "daemon/monitor.h"
#include "daemon/sockets.h"
#include "tmem/limits.h"

namespace tmem {
namespace {

TEST(Log, ALineCannotBeForgedByAName) {
  EXPECT_EQ(log_line(LogLevel::kWarning, true, "client attached", {{"name", std::string_view("x\n<0>evil \"q\"")}, {"id", 7}}),
            "<4>client attached name=\"x?<0>evil \\\"q\\\"\" id=7\n");
  EXPECT_EQ(log_line(LogLevel::kInfo, false, "e", {{"path", std::string_view("/a/b.c")}, {"empty", std::string_view()}}), "e path=/a/b.c empty=\"\"\n");
}

// Standard error is this pipe while it lives.
class PipeAsLog {
 public:
  PipeAsLog() : before_(dup(STDERR_FILENO)) {
    EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0);
    dup2(ends_[1], STDERR_FILENO);
  }
  ~PipeAsLog() {
    dup2(before_, STDERR_FILENO);
    for (const int fd : {before_, ends_[0], ends_[1]}) close(fd);
  }
  PipeAsLog(const PipeAsLog&) = delete;
  PipeAsLog& operator=(const PipeAsLog&) = delete;

  void fill() {
    fcntl(ends_[1], F_SETFL, O_NONBLOCK);
    while (write(ends_[1], "x", 1) == 1) {}
    fcntl(ends_[1], F_SETFL, 0);
  }
  std::string drain() {
    std::string out(1 << 20, 0);
    fcntl(ends_[0], F_SETFL, O_NONBLOCK);
    out.resize(static_cast<size_t>(std::max<ssize_t>(0, read(ends_[0], out.data(), out.size()))));
    return out;
  }

 private:
  int before_;
  int ends_[2];
};

TEST(Log, NobodyWaitsForItsReaderAndWhatIsLostIsCounted) {
  PipeAsLog pipe;
  set_log_prefix(true);
  pipe.fill();
  log(LogLevel::kError, "first");
  log(LogLevel::kError, "second");
  EXPECT_EQ(pipe.drain().find_first_not_of('x'), std::string::npos);
  log(LogLevel::kError, "third");
  log(LogLevel::kError, "fourth");
  EXPECT_EQ(pipe.drain(), "<4>lines lost, nobody read the log lines=2\n<3>third\n<3>fourth\n");
}

TEST(LimitedLog, SourcesThatAreQuietAreForgottenSoThatNewOnesHaveTheirOwn) {
  PipeAsLog pipe;
  LimitedLog log;
  for (size_t i = 0; i < kLogSourcesMax; ++i) log.write("guest-" + std::to_string(i), 0, LogLevel::kDebug, "e", {});
  EXPECT_EQ(log.sources(), kLogSourcesMax);
  log.report(LogLimit::kRefillSeconds - 1);
  EXPECT_EQ(log.sources(), kLogSourcesMax);
  for (uint32_t i = 0; i <= LogLimit::kBurst; ++i) log.write("guest-7", LogLimit::kRefillSeconds, LogLevel::kInfo, "e", {});
  log.report(LogLimit::kRefillSeconds);
  EXPECT_EQ(log.sources(), 1u) << "only the one that has something to pay";
  EXPECT_NE(pipe.drain().find("lines withheld source=guest-7 lines=1\n"), std::string::npos);
}

TEST(LogLimit, OldDefect_9_2_7_ABurstThenOneForEachRefillAndTheRestIsCounted) {
  LogLimit limit;
  for (uint32_t i = 0; i < LogLimit::kBurst; ++i) EXPECT_TRUE(limit.allow(0));
  EXPECT_FALSE(limit.allow(0));
  EXPECT_FALSE(limit.allow(LogLimit::kRefillSeconds - 1));
  EXPECT_EQ(limit.take_suppressed(), 2u);
  EXPECT_EQ(limit.take_suppressed(), 0u);
  EXPECT_TRUE(limit.allow(LogLimit::kRefillSeconds));
  EXPECT_FALSE(limit.allow(LogLimit::kRefillSeconds));
}

uint64_t blocks_of(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 ? static_cast<uint64_t>(info.st_blocks) * 512 : 0;
}

TEST(ArenaFile, MemoryIsTakenBySegmentAndGivenBack) {
  auto arena = std::move(ArenaFile::create("test", 8, true).value());
  const uint64_t empty = blocks_of(arena->fd());
  ASSERT_TRUE(arena->commit(3));
  EXPECT_EQ(blocks_of(arena->fd()), empty + kSegmentBytes);
  std::memset(arena->base() + 4 * kSegmentBytes, 7, kSegmentBytes);
  ASSERT_TRUE(arena->commit(3));
  EXPECT_EQ(arena->base()[4 * kSegmentBytes], std::byte{7}) << "committing again keeps the bytes";
  arena->decommit(3);
  EXPECT_EQ(blocks_of(arena->fd()), empty);
}

TEST(ArenaFile, BytesAreThereForWhoeverAdoptsTheDescriptor) {
  auto arena = std::move(ArenaFile::create("test", 8, false).value());
  arena->base()[100] = std::byte{42};
  FileDescriptor kept(dup(arena->fd()));
  arena.reset();
  auto adopted = ArenaFile::adopt(std::move(kept), false);
  ASSERT_TRUE(adopted.ok());
  EXPECT_EQ(adopted.value()->segments_max(), 8u);
  EXPECT_EQ(adopted.value()->base()[100], std::byte{42});
}

TEST(ArenaFile, NobodyCanShrinkItUnderUs) {
  auto arena = std::move(ArenaFile::create("test", 8, false).value());
  EXPECT_NE(ftruncate(arena->fd(), 0), 0);
}

TEST(ArenaFile, WhatIsNoArenaFileIsRefused) {
  EXPECT_EQ(ArenaFile::adopt(FileDescriptor(open("/dev/null", O_RDWR)), false).status(), Status::kBadArena);
  FileDescriptor unsealed(memfd_create("x", MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(unsealed.get(), 4 * kSegmentBytes), 0);
  EXPECT_EQ(ArenaFile::adopt(std::move(unsealed), false).status(), Status::kBadArena);
  EXPECT_EQ(ArenaFile::create("x", 0, false).status(), Status::kBadArgument);
  EXPECT_EQ(ArenaFile::create("x", kSegmentsMax + 1, false).status(), Status::kBadArgument);
}

class Sockets : public testing::Test {
 protected:
  Sockets() {
    folder_ = (std::filesystem::temp_directory_path() / "tmem-socket-XXXXXX").string();
    mkdtemp(folder_.data());
    path_ = folder_ + "/new/s.sock";
  }
  ~Sockets() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
  std::string path_;
};

TEST_F(Sockets, TheFileIsTheOwnersOnly) {
  const ListeningSocket made = listen_on(path_, SOCK_STREAM);
  ASSERT_TRUE(made.fd.valid()) << made.error;
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(Sockets, NothingIsLeftBesideTheSocket) {
  const ListeningSocket made = listen_on(path_, SOCK_STREAM);
  const ListeningSocket refused = listen_on(path_, SOCK_STREAM);
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(path_).parent_path())) EXPECT_EQ(entry.path(), path_);
}

TEST_F(Sockets, ASecondListenerIsRefusedAlsoOfAnotherKind) {
  const ListeningSocket first = listen_on(path_, SOCK_STREAM);
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    const ListeningSocket second = listen_on(path_, type);
    EXPECT_FALSE(second.fd.valid());
    EXPECT_TRUE(second.in_use);
    EXPECT_THAT(second.error, testing::HasSubstr("another process listens on " + path_));
  }
}

TEST_F(Sockets, AStaleFileIsReplacedButNothingThatIsNoSocket) {
  listen_on(path_, SOCK_STREAM).fd.valid();
  EXPECT_TRUE(listen_on(path_, SOCK_STREAM).fd.valid());
  std::ofstream(folder_ + "/file") << "precious";
  const ListeningSocket refused = listen_on(folder_ + "/file", SOCK_STREAM);
  EXPECT_FALSE(refused.fd.valid());
  EXPECT_FALSE(refused.in_use);
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/file"));
}

std::vector<FileDescriptor> one_fd() {
  std::vector<FileDescriptor> fds;
  fds.emplace_back(memfd_create("kept", 0));
  return fds;
}

TEST(Supervisor, KeepsDescriptorsByNameUntilToldOtherwise) {
  Supervisor supervisor({"/nonexistent"});
  supervisor.take_message("FDSTORE=1\nFDNAME=arena-0", one_fd());
  supervisor.take_message("FDNAME=arena-1\nFDSTORE=1", one_fd());
  EXPECT_EQ(supervisor.kept().size(), 2u);
  supervisor.take_message("FDSTOREREMOVE=1\nFDNAME=arena-0", {});
  EXPECT_EQ(supervisor.kept().size(), 1u);
  EXPECT_TRUE(supervisor.kept().contains("arena-1"));
}

TEST(Supervisor, MessagesThatMeanNothingChangeNothing) {
  Supervisor supervisor({"/nonexistent"});
  supervisor.take_message("FDSTORE=1\nFDNAME=arena-0", {});
  supervisor.take_message("FDSTORE=1\nFDNAME=a:b", one_fd());
  supervisor.take_message("FDSTORE=1", one_fd());
  supervisor.take_message("FDNAME=x", one_fd());
  supervisor.take_message(std::string_view("\0\n\n=\nREADY", 10), one_fd());
  EXPECT_TRUE(supervisor.kept().empty());
}

TEST(Monitor, MemoryIsLowBeforeItIsFullAndIsToldOnce) {
  Monitor monitor;
  const auto kinds = [&](uint64_t held, uint64_t freeable) {
    std::vector<MonitorEvent::Kind> out;
    for (const MonitorEvent& event : monitor.look({{held, 100, freeable, {}}})) out.push_back(event.kind);
    return out;
  };
  using Kind = MonitorEvent::Kind;
  EXPECT_THAT(kinds(95, 50), testing::IsEmpty()) << "half of it can be freed";
  EXPECT_THAT(kinds(95, 5), testing::ElementsAre(Kind::kMemoryLow));
  EXPECT_THAT(kinds(95, 5), testing::IsEmpty());
  EXPECT_THAT(kinds(88, 0), testing::IsEmpty()) << "not yet: it would flap";
  EXPECT_THAT(kinds(85, 0), testing::ElementsAre(Kind::kMemoryOk));
}

TEST(Monitor, RefusedPutsAndCorruptPagesAreToldWithTheirNumberAndClient) {
  Monitor monitor;
  const ClientId id(5);
  ShardSample shard{0, 100, 0, {{id, 2, 0, 0, 0}}};
  EXPECT_EQ(monitor.look({shard, shard}).at(0).figure, 4u);
  EXPECT_TRUE(monitor.look({shard, shard}).empty());
  shard.clients[0].get_corrupt = 1;
  const auto events = monitor.look({shard, shard});
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, MonitorEvent::Kind::kPageCorrupt);
  EXPECT_EQ(events[0].client, id);
  EXPECT_EQ(events[0].figure, 2u);
}

}  // namespace
}  // namespace tmem
