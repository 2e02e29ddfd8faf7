// SPDX-License-Identifier: MIT
// The daemon over a guest's files and a xenstore in memory: tuning, refusals, reports, and when it keeps its hands off.
#include "selfballoon/daemon.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "agent/fake_store.h"
#include "selfballoon/guest_files.h"
#include "tmem/tmem_xs.h"

namespace tmem::selfballoon {
namespace {

constexpr int kTries = 30000;  // a millisecond apart

const std::string kKeys = TMEM_SELFBALLOON_KEYS "/", kReport = TMEM_SELFBALLOON_REPORT "/";

// A store that takes nothing more.
class Full final : public agent::Store {
 public:
  explicit Full(agent::Store& of) : of_(of) {}
  std::optional<std::string> read(const std::string& path) override { return of_.read(path); }
  std::vector<std::string> list(const std::string& path) override { return of_.list(path); }
  void write(const std::string&, std::string_view, const agent::Permissions&) override { throw agent::StoreError("no space"); }
  void remove(const std::string&) override {}
  void transaction(const std::function<void(agent::StoreView&)>& body) override { body(*this); }
  void watch(const std::string&, const std::string&) override {}
  void unwatch(const std::string&, const std::string&) override {}
  void allow_release_watch(agent::Domid) override {}

 private:
  agent::Store& of_;
};

class DaemonTest : public GuestFiles {
 protected:
  DaemonTest() : system_(root_) {
    put("sys/hypervisor/guest_type", "PV\n");
    put("proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
    node("domid", "7");
    node("memory/target", "524288");
  }
  void node(const std::string& path, const std::string& value) { store_.nodes[path] = {value, {}}; }
  std::string told(const std::string& name) { return store_.read(kReport + name).value_or("(none)"); }
  Daemon make(bool dry_run = false, const Params& own = {}) {
    return Daemon(system_, store_, own, root_ / "note", dry_run, [this](int, const std::string& text) { said_ += text + "\n"; });
  }
  // Ends of intervals, five seconds apart.
  void intervals(Daemon& daemon, int count) {
    for (int i = 0; i < count; ++i) daemon.step(now_ms_ += 5000, false);
  }

  System system_;
  agent::FakeStore store_;
  std::string said_;
  uint64_t now_ms_ = 0;
};

TEST_F(DaemonTest, TakesWhatIsNotNeededAndSaysSo) {
  Daemon daemon = make();
  put(kBalloon + "info/current_kb", "524288\n");
  intervals(daemon, 4);
  daemon.go_on_taking(now_ms_ += 3000);
  EXPECT_FALSE(daemon.taking());
  EXPECT_LT(system_.target_kib(), 524288u);
  EXPECT_NE(told("decision").find("reason=takes what was not needed"), std::string::npos) << told("decision");
  EXPECT_NE(told("log").find(" 524288 " + std::to_string(system_.target_kib()) + " takes"), std::string::npos) << told("log");
  EXPECT_NE(told("state").find("state=running psi=1 selfballoon_policy=pressure"), std::string::npos) << told("state");
  EXPECT_EQ(store_.nodes[kReport + "log"].permissions.owner, 7u);
}

TEST_F(DaemonTest, ATakeIsSpreadOverAWhileAndEndsWhereAnythingElseMovesTheBalloon) {
  Daemon daemon = make();
  put(kBalloon + "info/current_kb", "524288\n");
  intervals(daemon, 4);
  ASSERT_TRUE(daemon.taking());
  const auto after = [&](uint64_t ms) {
    daemon.go_on_taking(now_ms_ += ms);
    return static_cast<double>(524288 - system_.target_kib());
  };
  const double slice = after(24);
  EXPECT_GT(slice, 0);
  EXPECT_LE(slice, 1024) << "of some 60 MiB";
  for (int i = 0; i < 9; ++i) after(24);
  EXPECT_NEAR(after(0), slice * 10, 64);
  EXPECT_NEAR(after(240), slice * 20, 64) << "who was late takes what is due";

  node(kKeys + "selfballooning", "0");
  daemon.refresh();
  daemon.step(now_ms_ += 300, true);
  EXPECT_FALSE(daemon.taking());
  EXPECT_EQ(system_.target_kib(), 524288u);
}

TEST_F(DaemonTest, ATakeEndsWhereTheKernelMovesTheBalloonByDomZerosWord) {
  Daemon daemon = make();
  put(kBalloon + "info/current_kb", "524288\n");
  intervals(daemon, 4);
  daemon.go_on_taking(now_ms_ += 100);
  ASSERT_TRUE(daemon.taking());
  ASSERT_LT(system_.target_kib(), 524288u);
  system_.set_target(600000);
  daemon.go_on_taking(now_ms_ += 3000);
  EXPECT_FALSE(daemon.taking());
  EXPECT_EQ(system_.target_kib(), 600000u);
}

TEST_F(DaemonTest, AGuestThatGetsATurnOnlyAtTheEndsOfIntervalsGivesToo) {
  Daemon daemon = make();
  put(kBalloon + "info/current_kb", "524288\n");
  intervals(daemon, 5);
  EXPECT_LT(system_.target_kib(), 524288u);
}

TEST_F(DaemonTest, TheKernelAsksXenForMemoryEachSecondWithoutEnd) {
  const auto delay = [&] { return std::ifstream(root_ / kBalloon / "max_schedule_delay").get(); };
  const auto retries = [&] { return std::ifstream(root_ / kBalloon / "max_retry_count").get(); };
  make(true);
  EXPECT_EQ(delay(), '3') << "a dry run moves nothing";
  EXPECT_EQ(retries(), '4');
  make();
  EXPECT_EQ(delay(), '1');
  EXPECT_EQ(retries(), '0');
  std::filesystem::remove(root_ / kBalloon / "max_schedule_delay");
  make();
  EXPECT_NE(said_.find("half a minute"), std::string::npos) << said_;
}

TEST_F(DaemonTest, WherePressureStallInformationIsOffItSaysSoAndServes) {
  make();
  EXPECT_EQ(said_.find("pressure stall"), std::string::npos) << said_;
  std::filesystem::remove(root_ / "proc/pressure/memory");
  Daemon daemon = make();
  EXPECT_NE(said_.find("no pressure stall information (boot with psi=1); refaults and swap-ins are used instead"), std::string::npos) << said_;
  EXPECT_NE(told("state").find("state=running psi=0 "), std::string::npos) << told("state");
  put(kBalloon + "info/current_kb", "524288\n");
  intervals(daemon, 5);
  EXPECT_LT(system_.target_kib(), 524288u);
}

TEST_F(DaemonTest, ALookBetweenIntervalsIsNoDecision) {
  Daemon daemon = make();
  put(kBalloon + "info/current_kb", "524288\n");
  intervals(daemon, 1);
  const std::string before = told("decision");
  EXPECT_NE(before.find("reason=quiet, but not for long enough"), std::string::npos) << before;
  daemon.step(now_ms_ += 1000, true);
  EXPECT_EQ(told("decision"), before);
  node(kKeys + "selfballooning", "0");
  daemon.refresh();
  daemon.step(now_ms_ += 1000, true);
  EXPECT_NE(told("decision").find("reason=off"), std::string::npos) << told("decision");
}

TEST_F(DaemonTest, ARestoredDomainIsToldEverythingAgain) {
  Daemon daemon = make();
  put(kBalloon + "info/current_kb", "524288\n");
  intervals(daemon, 4);
  const std::vector<std::string> names{"state", "refused", "decision", "log"};
  std::vector<std::string> before, after;
  for (const std::string& name : names) before.push_back(told(name));
  store_.remove(TMEM_SELFBALLOON_REPORT);
  node("domid", "8");
  daemon.refresh();  // xenstore's watches fire once in the new domain
  for (const std::string& name : names) after.push_back(told(name));
  EXPECT_EQ(after, before);
  EXPECT_EQ(store_.nodes[kReport + "log"].permissions.owner, 8u);
}

TEST_F(DaemonTest, TuningActsAndIsReported) {
  Daemon daemon = make();
  node(kKeys + "selfballoon_interval", "2");
  node(kKeys + "selfballoon_policy", "committed");
  daemon.refresh();
  EXPECT_EQ(daemon.params().selfballoon_interval, 2u);
  EXPECT_EQ(daemon.params().policy, Policy::kCommitted);
  EXPECT_NE(told("state").find("selfballoon_policy=committed"), std::string::npos);
  store_.remove(kKeys + "selfballoon_interval");
  daemon.refresh();
  EXPECT_EQ(daemon.params().selfballoon_interval, 5u) << "a key that is gone means the default";
}

TEST_F(DaemonTest, ABadValueIsRefusedWithItsReasonAndTheOldOneStays) {
  Params own;
  own.frontswap_inertia = 9;
  Daemon daemon = make(false, own);
  node(kKeys + "frontswap_inertia", "4");
  daemon.refresh();
  EXPECT_EQ(told("refused"), "");
  node(kKeys + "frontswap_inertia", "many");
  node(kKeys + "nonsense", "1");
  daemon.refresh();
  EXPECT_EQ(daemon.params().frontswap_inertia, 4u);
  EXPECT_EQ(told("refused"), "frontswap_inertia: 'many' is not a number from 1 to 65536\nnonsense: there is no such key");
  store_.remove(kKeys + "frontswap_inertia");
  store_.remove(kKeys + "nonsense");
  daemon.refresh();
  EXPECT_EQ(daemon.params().frontswap_inertia, 9u) << "the guest's own value";
  EXPECT_EQ(told("refused"), "");
}

TEST_F(DaemonTest, AnotherManagersGuestIsLeftAlone) {
  node("memory/dynamic-min", "100000");
  Daemon daemon = make();
  intervals(daemon, 10);
  daemon.release();
  EXPECT_EQ(system_.target_kib(), 524288u);
  EXPECT_NE(told("state").find("state=left-alone"), std::string::npos);
  EXPECT_NE(said_.find("memory/dynamic-min is there"), std::string::npos);
}

TEST_F(DaemonTest, TheToolstacksTargetIsTheLimit) {
  Daemon daemon = make();
  node("memory/target", "350000");
  daemon.step(now_ms_ += 1000, true);
  EXPECT_EQ(system_.target_kib(), 350000u);
  EXPECT_NE(told("decision").find("limit-kib=350000 "), std::string::npos);
}

TEST_F(DaemonTest, SwitchedOffItGivesBackOnceAndThenKeepsItsHandsOff) {
  system_.set_target(300000);
  Daemon daemon = make();
  node(kKeys + "selfballooning", "0");
  daemon.refresh();
  intervals(daemon, 1);
  EXPECT_EQ(system_.target_kib(), 524288u);
  system_.set_target(400000);  // somebody in the guest
  intervals(daemon, 3);
  EXPECT_EQ(system_.target_kib(), 400000u);
}

TEST_F(DaemonTest, WhatAPvhGuestNeverSeesIsLearntOnceForTheBoot) {
  put("sys/hypervisor/guest_type", "PVH\n");
  node("memory/target", "525312");
  {
    Daemon daemon = make();
    daemon.step(now_ms_ += 1000, true);
    system_.set_target(400000);
  }
  Daemon again = make();  // its target is its own by now, and no measure
  again.release();
  EXPECT_EQ(system_.target_kib(), 524288u);
}

TEST_F(DaemonTest, ADryRunReportsAndMovesNothing) {
  Daemon daemon = make(true);
  put(kBalloon + "info/current_kb", "524288\n");
  intervals(daemon, 5);
  EXPECT_EQ(system_.target_kib(), 524288u);
  EXPECT_NE(told("decision").find("takes"), std::string::npos);
}

TEST_F(DaemonTest, PagesInFrontswapComeBackByTheKernelsHandAndAreNoPressure) {
  put("sys/kernel/tmem/frontswap_pages", "4000\n");
  put("sys/kernel/tmem/frontswap_loaded", "0\n");
  put("sys/kernel/tmem/pages_target", "");
  put(kBalloon + "info/current_kb", "524288\n");
  Daemon daemon = make();
  intervals(daemon, 5);
  daemon.go_on_taking(now_ms_ += 3000);
  std::string target;
  for (int tries = 0; target.empty() && tries < kTries; ++tries, usleep(1000)) {  // a child writes it
    std::getline(std::ifstream(root_ / "sys/kernel/tmem/pages_target"), target);
  }
  EXPECT_EQ(target, "3800") << "a twentieth";
  put("sys/kernel/tmem/frontswap_loaded", "50000\n");
  daemon.step(now_ms_ += 1000, true);
  EXPECT_EQ(said_.find("read back"), std::string::npos) << said_;
  ASSERT_LT(system_.target_kib(), 524288u) << "there is something to give";
  for (int i = 0; i < kTries && said_.find("read back") == std::string::npos; ++i, usleep(1000)) {
    put("sys/kernel/tmem/frontswap_loaded", std::to_string(100000 + 50000 * i));
    daemon.step(now_ms_ += 1000, true);
  }
  EXPECT_NE(said_.find("read back"), std::string::npos) << "what comes after the child's end";
}

// A child with a page that the files say is swapped out.
TEST_F(DaemonTest, DomZerosRequestBringsPagesOfASwapDiskBackWithoutWaiting) {
  void* const at = reinterpret_cast<void*>(uintptr_t{0x20000000});
  void* const page = mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(page, at);
  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  const std::string proc = "proc/" + std::to_string(child) + "/";
  put(proc + "maps", "20000000-20001000 rw-p 00000000 00:00 0\n");
  const uint64_t swapped = uint64_t{1} << 62;
  put(proc + "pagemap", std::string(0x20000 * 8, '\0') + std::string(reinterpret_cast<const char*>(&swapped), 8));
  const bool may = Unswap().touch(child, {0x20000000}) == 1;
  Daemon daemon = make();
  node(TMEM_XS_PAGES_TARGET, "10");
  daemon.step(now_ms_ += 1000, true);
  EXPECT_EQ(said_.find("pages back"), std::string::npos) << "ten are there, and ten may stay";
  node(TMEM_XS_PAGES_TARGET, "9");
  daemon.step(now_ms_ += 1000, true);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  munmap(page, 4096);
  if (!may) GTEST_SKIP() << "this machine does not let us reach another process";
  EXPECT_NE(said_.find("brought 1 pages back"), std::string::npos) << said_;
}

TEST_F(DaemonTest, AMissingFileIsSaidOnceAndTriedAgain) {
  Daemon daemon = make();
  std::filesystem::remove(root_ / "proc/zoneinfo");
  intervals(daemon, 5);
  const size_t first = said_.find("proc/zoneinfo");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(said_.find("proc/zoneinfo", first + 1), std::string::npos);
}

TEST_F(DaemonTest, AReportThatCannotBeWrittenKeepsNoMemoryFromTheGuest) {
  system_.set_target(100000);
  Full full(store_);
  Daemon daemon(system_, full, {}, root_ / "note", false, [this](int, const std::string& text) { said_ += text + "\n"; });
  EXPECT_NE(said_.find("no space"), std::string::npos) << said_;
  node(kKeys + "pressure_window", "20");
  daemon.refresh();
  EXPECT_EQ(daemon.params().pressure_window, 20u);
  daemon.release();
  EXPECT_EQ(system_.target_kib(), 524288u);
}

TEST_F(DaemonTest, TheLogKeepsTheLatestMoves) {
  Daemon daemon = make();
  for (int i = 0; i < 30; ++i) {
    node("memory/target", std::to_string(500000 - i * 1000));
    daemon.step(now_ms_ += 1000, true);
  }
  const std::string log = told("log");
  EXPECT_EQ(static_cast<unsigned>(std::count(log.begin(), log.end(), '\n')) + 1, TMEM_SELFBALLOON_LOG_LINES_MAX);
  EXPECT_NE(log.find("471000"), std::string::npos);
  EXPECT_LE(log.size(), 2048u) << "a node holds no more";
}

}  // namespace
}  // namespace tmem::selfballoon
