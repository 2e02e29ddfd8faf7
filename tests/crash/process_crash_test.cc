// SPDX-License-Identifier: MIT
// The service under its supervisor, killed by -9 under load: at random, and at each named place of the put path. Afterwards
// every persistent page is there with its last bytes, and every flushed page is gone.
// TMEM_CRASH_ROUNDS: how often in all (20). TMEM_SEED: the seed that a failure printed.
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include <gtest/gtest.h>

#include "control/frame.h"
#include "crash/raw_client.h"
#include "tmem/control.pb.h"
#include "tmem/limits.h"

namespace tmem::test {
namespace {

uint64_t number_from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

class Supervised {
 public:
  Supervised(bool keep_connections, const std::string& failpoint, const std::string& size = "memory = 64M\nmemory-max = 128M\nshards = 2") {
    std::string pattern = (std::filesystem::temp_directory_path() / "tmem-crash-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    std::ofstream(folder_ + "/tmem.conf") << size << "\nlog-level = error\nmemfd-socket = " << memfd_socket()
                                          << "\ncontrol-socket = " << control_socket()
                                          << "\nkeep-connections = " << (keep_connections ? "on" : "off") << "\n";
    pid_ = fork();
    if (pid_ == 0) {
      unsetenv("NOTIFY_SOCKET");
      if (!failpoint.empty()) setenv("TMEM_FAILPOINT", failpoint.c_str(), 1);
      // What it says about being killed is expected.
      if (std::freopen((folder_ + "/log").c_str(), "w", stderr) == nullptr) _exit(1);
      execl(TMEM_DAEMON_PATH, TMEM_DAEMON_PATH, "--config", (folder_ + "/tmem.conf").c_str(), nullptr);
      _exit(127);
    }
  }
  ~Supervised() {
    stop();
    std::filesystem::remove_all(folder_);
  }

  std::string memfd_socket() const { return folder_ + "/memfd.sock"; }
  std::string control_socket() const { return folder_ + "/control.sock"; }

  // Asks until it is answered: the service may be on its way back.
  control::Info::Reply info() const {
    for (int i = 0; i < 60'000; ++i) {
      control::Reply reply;
      if (ask(reply)) return reply.info();
      usleep(1000);
    }
    throw std::runtime_error("the control socket does not answer");
  }
  int stop() {
    if (pid_ <= 0) return 0;
    int status = 0;
    kill(pid_, SIGTERM);
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

 private:
  bool ask(control::Reply& reply) const {
    const FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    control_socket().copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return false;
    control::Request request;
    request.mutable_info();
    const std::string frame = encode_frame(request.SerializeAsString());
    if (send(fd.get(), frame.data(), frame.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(frame.size())) return false;
    FrameDecoder decoder(kControlReplyBytesMax);
    for (;;) {
      if (const auto got = decoder.next()) return reply.ParseFromString(*got) && reply.has_info();
      std::array<char, 4096> bytes;
      const ssize_t length = recv(fd.get(), bytes.data(), bytes.size(), 0);
      if (length <= 0) return false;
      decoder.add({bytes.data(), static_cast<size_t>(length)});
    }
  }

  std::string folder_;
  pid_t pid_ = -1;
};

class CrashTest : public testing::Test {
 protected:
  void SetUp() override {
    seed_ = number_from_environment("TMEM_SEED", std::random_device{}());
    random_.seed(seed_);
    RecordProperty("seed", std::to_string(seed_));
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed_));
  }

  void expect_all_is_well(const RawClient& client, const std::string& when) {
    ASSERT_EQ(client.trouble(), "") << when << ", seed " << seed_;
    ASSERT_EQ(client.lost(), 0u) << when << ", seed " << seed_;
    ASSERT_EQ(client.wrong(), 0u) << when << ", seed " << seed_;
  }

  void kill_at_random(bool keep_connections, uint64_t rounds) {
    Supervised service(keep_connections, "");
    RawClient client(service.memfd_socket(), seed_);
    client.connect();
    client.make_pools();
    for (uint64_t round = 0; round < rounds; ++round) {
      const auto pid = static_cast<pid_t>(service.info().pid());
      const uint64_t operations = client.operations() + 100 + random_() % 6000;
      while (client.operations() < operations) client.work();
      ASSERT_EQ(kill(pid, SIGKILL), 0);
      for (int i = 0; i < 200; ++i) client.work();
      client.verify_all();
      expect_all_is_well(client, "round " + std::to_string(round));
      if (HasFatalFailure()) return;
    }
    EXPECT_EQ(service.info().restarts(), rounds);
    EXPECT_EQ(client.reconnects() == 0, keep_connections);
    EXPECT_GT(client.credited_puts(), 0u);
    EXPECT_EQ(client.refused(), 0u);
    EXPECT_EQ(service.stop(), 0);
  }

  uint64_t seed_ = 0;
  std::mt19937_64 random_;
};

uint64_t rounds_each_way() { return std::max<uint64_t>(1, number_from_environment("TMEM_CRASH_ROUNDS", 20) / 2); }

TEST_F(CrashTest, KilledAtRandomTheServiceTakesUpTheRingsAndNoPageIsLostOrWrong) { kill_at_random(true, rounds_each_way()); }

TEST_F(CrashTest, KilledAtRandomClientsConnectAgainAndReplayAndNoPageIsLostOrWrong) { kill_at_random(false, rounds_each_way()); }

// What kills every service that takes it up is not taken up for ever: empty is better than never.
TEST_F(CrashTest, AnArenaThatEveryServiceDiesOfIsGivenUp) {
  Supervised service(false, "arena-found:1");
  const control::Info::Reply before = service.info();
  ASSERT_EQ(kill(static_cast<pid_t>(before.pid()), SIGKILL), 0);
  control::Info::Reply after = service.info();
  while (after.pid() == before.pid()) after = service.info();
  EXPECT_EQ(after.restarts(), 6u) << "one kill, five that failed to start";
  EXPECT_NE(after.generation(), before.generation());
  RawClient client(service.memfd_socket(), seed_);
  client.connect();
  client.make_pools();
  for (int i = 0; i < 1000; ++i) client.work();
  client.verify_all();
  expect_all_is_well(client, "after the arenas were given up");
  EXPECT_EQ(service.stop(), 0);
}

// Between the death of the old page and the new one: only a store that is full comes there.
TEST_F(CrashTest, KilledWhereADupPutHasGivenUpTheOldPageItIsGoneAndNothingElse) {
  Supervised service(true, "put-old-given-up:5", "memory = 8M\nshards = 1");
  RawClient client(service.memfd_socket(), seed_);
  client.connect();
  client.make_pools();
  while (service.info().restarts() < 3) {
    for (int i = 0; i < 2000; ++i) client.work();
    ASSERT_LT(client.operations(), 1'000'000u) << "never reached";
  }
  client.verify_all();
  expect_all_is_well(client, "full");
  EXPECT_GT(client.refused(), 0u);
}

class NamedPlace : public CrashTest, public testing::WithParamInterface<std::tuple<const char*, bool>> {};

// Each new service dies at the same place again, so that recovery of what a recovery left is tested too.
TEST_P(NamedPlace, KilledThereAgainAndAgainNoPageIsLostOrWrong) {
  const auto [name, keep_connections] = GetParam();
  Supervised service(keep_connections, std::string(name) + ":" + std::to_string(500 + random_() % 1500));
  RawClient client(service.memfd_socket(), seed_);
  client.connect();
  client.make_pools();
  const uint32_t restarts_wanted = 3;
  while (service.info().restarts() < restarts_wanted) {
    for (int i = 0; i < 2000; ++i) client.work();
    ASSERT_LT(client.operations(), 1'000'000u) << name << " is never reached";
  }
  client.verify_all();
  expect_all_is_well(client, name);
}

INSTANTIATE_TEST_SUITE_P(Places, NamedPlace,
                         testing::Combine(testing::Values("record-written", "put-sealed", "put-old-killed", "page-dies", "request-handled",
                                                          "response-written", "responses-published"),
                                          testing::Bool()),
                         [](const auto& case_info) {
                           std::string name = std::get<0>(case_info.param);
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name + (std::get<1>(case_info.param) ? "_kept" : "_reconnecting");
                         });

}  // namespace
}  // namespace tmem::test
