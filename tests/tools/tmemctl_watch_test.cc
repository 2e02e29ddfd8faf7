// SPDX-License-Identifier: MIT
// events, top and doctor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/tmemctl/doctor/checks.h"
#include "tools/tmemctl/top/model.h"
#include "tools/tmemctl_run.h"

namespace tmem::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using tool::TopSort;

TEST(TmemctlEvents, PrintsEachAndEndsWhenTheServiceDoes) {
  FakeService service;
  control::Event& event = service.events.emplace_back();
  event.set_kind(control::Event::CLIENT_MISBEHAVED);
  event.set_time_ms(1700000000123);
  event.set_client(7);
  event.set_client_name("we\033b");
  event.set_text("ring index beyond the ring");
  Ran ran = run_tool(service, {"events"});
  EXPECT_EQ(ran.status, 4);
  EXPECT_EQ(ran.out, "2023-11-14T22:13:20.123Z client-misbehaved 'we?b' (7): ring index beyond the ring\n");
  EXPECT_EQ(run_tool(service, {"events", "-i", "1"}).status, 0);
  auto json = run_tool(service, {"events", "-i", "1", "--json"}).json();
  EXPECT_EQ(json["schema"], "xen-tmem/event/1");
  EXPECT_EQ(json["kind"], "client-misbehaved");
}

control::ListClients::Reply two_clients(uint64_t puts, uint64_t hits, uint64_t misses) {
  control::ListClients::Reply reply;
  for (uint32_t id : {1u, 2u}) {
    control::Client& client = *reply.add_clients();
    client.set_id(id);
    client.set_name(id == 1 ? "beta" : "alpha");
    client.mutable_policy()->set_weight(id * 100);
    client.mutable_ops()->set_put_stored(puts * id);
    client.mutable_ops()->set_get_hit(hits);
    client.mutable_ops()->set_get_miss(misses);
    client.add_pools()->set_id(5);
  }
  return reply;
}

TEST(TopModel, RatesAreDifferencesOfTwoSamples) {
  tool::TopModel model;
  model.sample({}, two_clients(1000, 10, 0), 0);
  EXPECT_EQ(model.rows({})[0].puts_per_second, 0);
  model.sample({}, two_clients(1200, 13, 1), 2);
  auto rows = model.rows({});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].name, "alpha");
  EXPECT_DOUBLE_EQ(rows[0].puts_per_second, 200);
  EXPECT_DOUBLE_EQ(rows[1].puts_per_second, 100);
  EXPECT_DOUBLE_EQ(rows[0].gets_per_second, 2);
  EXPECT_DOUBLE_EQ(rows[0].hit_percent.value(), 75);
}

TEST(TopModel, NobodyAskingHasNoHitRate) {
  tool::TopModel model;
  model.sample({}, two_clients(1, 5, 5), 0);
  model.sample({}, two_clients(2, 5, 5), 1);
  EXPECT_FALSE(model.rows({})[0].hit_percent.has_value());
}

TEST(TopModel, CountersThatWentBackCountFromZero) {
  tool::TopModel model;
  model.sample({}, two_clients(1000000, 10, 10), 0);
  model.sample({}, two_clients(30, 1, 0), 1);
  EXPECT_DOUBLE_EQ(model.rows({})[1].puts_per_second, 30);
}

TEST(TopModel, SortsEachColumnAndReverses) {
  tool::TopModel model;
  model.sample({}, two_clients(0, 0, 0), 0);
  model.sample({}, two_clients(10, 0, 0), 1);
  EXPECT_EQ(model.rows({.sort = TopSort::kName})[0].name, "alpha");
  EXPECT_EQ(model.rows({.sort = TopSort::kName, .reverse = true})[0].name, "beta");
  EXPECT_EQ(model.rows({.sort = TopSort::kPuts})[0].name, "alpha");
  EXPECT_EQ(model.rows({.sort = TopSort::kWeight, .reverse = true})[0].name, "beta");
  for (TopSort sort : tool::kTopSorts) EXPECT_EQ(model.rows({.sort = sort, .pools = true}).size(), 4u);
}

TEST(TmemctlTop, BatchPrintsThatManySamples) {
  FakeService service;
  FakeService::add_pool(service.add_client(7, "web1"), 3, false);
  Ran ran = run_tool(service, {"top", "-b", "-i", "2", "-d", "0.1", "-N"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  size_t first = ran.out.find("NAME"), second = ran.out.find("NAME", first + 1);
  EXPECT_NE(second, std::string::npos);
  EXPECT_EQ(ran.out.find("NAME", second + 1), std::string::npos);
  EXPECT_THAT(ran.out, HasSubstr("web1/3"));
  auto json = run_tool(service, {"top", "-b", "-i", "1", "--json"}).json();
  EXPECT_EQ(json["schema"], "xen-tmem/top/1");
  EXPECT_EQ(json["rows"][0]["name"], "web1");
  EXPECT_EQ(json["rows"][1]["pool"], 3);
}

TEST(TmemctlTop, WrongInputIsAUsageError) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"-s", "colour"}, {"--json"}, {"-d", "0"}, {"-b", "-i", "x"}}) {
    std::vector<std::string> all = {"--socket", "/nonexistent", "top"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    EXPECT_EQ(run_tool(all).status, 2) << testing::PrintToString(arguments);
  }
}

// Reads what the terminal shows until the text is there; false when the program ends first.
bool wait_for(int terminal, const std::string& text, std::string& seen) {
  char buffer[4096];
  for (;;) {
    if (seen.find(text) != std::string::npos) return true;
    ssize_t n = read(terminal, buffer, sizeof buffer);
    if (n <= 0) return false;
    seen.append(buffer, static_cast<size_t>(n));
  }
}

TEST(TmemctlTop, DrawsOnATerminalAndObeysItsKeys) {
  FakeService service;
  FakeService::add_pool(service.add_client(7, "web1"), 42, false);
  winsize size{24, 120, 0, 0};
  int terminal = -1;
  pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  ASSERT_GE(child, 0);
  if (child == 0) {
    setenv("TERM", "vt100", 1);
    execl(XEN_TMEMCTL, "xen-tmemctl", "--socket", service.socket_path().c_str(), "top", "-d", "0.1", nullptr);
    _exit(127);
  }
  std::string seen;
  EXPECT_TRUE(wait_for(terminal, "web1", seen)) << seen;
  EXPECT_THAT(seen, Not(HasSubstr("web1/42")));
  ASSERT_EQ(write(terminal, "n", 1), 1);
  EXPECT_TRUE(wait_for(terminal, "web1/42", seen)) << seen;
  ASSERT_EQ(write(terminal, "s", 1), 1);
  EXPECT_TRUE(wait_for(terminal, "EPH)", seen)) << seen;
  ASSERT_EQ(write(terminal, "q", 1), 1);
  while (wait_for(terminal, "\x01 never", seen)) {
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  close(terminal);
}

tool::DoctorFacts healthy() {
  tool::DoctorFacts facts;
  facts.socket = {true, true, 0600, 0};
  facts.info.emplace();
  facts.info->set_version(TMEM_VERSION);
  facts.info->set_abi_version(1);
  facts.info->set_huge_pages("transparent");
  control::Shard& shard = *facts.info->add_shards();
  shard.set_memory_bytes(50 << 20);
  shard.set_memory_bytes_target(100 << 20);
  facts.config.shards = 1;
  facts.config.memory_bytes = 100 << 20;
  facts.clients.emplace();
  return facts;
}

// The worst that any check says, and that check's name.
std::pair<tool::Level, std::string> worst(const tool::DoctorFacts& facts) {
  std::pair<tool::Level, std::string> found{tool::Level::kOk, ""};
  for (const tool::Check& check : tool::checks())
    for (const tool::Finding& finding : check.run(facts))
      if (finding.level != tool::Level::kSkipped && finding.level > found.first) found = {finding.level, check.name};
  return found;
}

TEST(Doctor, AHealthyServiceHasNothing) { EXPECT_EQ(worst(healthy()).first, tool::Level::kOk) << worst(healthy()).second; }

TEST(Doctor, EachFaultIsFoundByItsCheck) {
  using Facts = tool::DoctorFacts;
  using tool::Level;
  struct Case {
    const char* check;
    Level level;
    void (*spoil)(Facts&);
  };
  const Case cases[] = {
      {"socket", Level::kProblem, [](Facts& f) { f.socket.mode = 0666; }},
      {"socket", Level::kProblem, [](Facts& f) { f.socket.is_socket = false; }},
      {"version", Level::kProblem, [](Facts& f) { f.info->set_abi_version(2); }},
      {"version", Level::kWarning, [](Facts& f) { f.info->set_version("0.0.1"); }},
      {"memory", Level::kWarning, [](Facts& f) { f.info->mutable_shards(0)->set_memory_bytes(93 << 20); }},
      {"memory", Level::kProblem, [](Facts& f) { f.info->mutable_shards(0)->set_memory_bytes(100 << 20); }},
      {"memory", Level::kProblem, [](Facts& f) { f.info->clear_shards(), f.config.shards = 0; }},
      {"configuration", Level::kProblem, [](Facts& f) { f.config_errors.push_back({"tmem.conf", 3, "unknown key 'x'"}); }},
      {"configuration", Level::kWarning, [](Facts& f) { f.config.shards = 2; }},
      {"configuration", Level::kNote, [](Facts& f) { f.config.memory_bytes = 200 << 20; }},
      {"shards", Level::kWarning,
       [](Facts& f) {
         control::Shard& other = *f.info->add_shards();
         other.set_memory_bytes_target(300 << 20);
         f.info->mutable_shards(0)->set_memory_bytes(80 << 20);
         f.config.shards = 2;
         f.config.memory_bytes = 400 << 20;
       }},
      {"refused-puts", Level::kNote, [](Facts& f) { f.clients->add_clients()->mutable_ops()->set_put_no_space(1); }},
      {"corrupt-pages", Level::kProblem, [](Facts& f) { f.clients->add_clients()->mutable_ops()->set_get_corrupt(1); }},
      {"misbehaved-clients", Level::kWarning, [](Facts& f) { f.clients->add_clients()->set_requests_malformed(1); }},
      {"refused-clients", Level::kWarning, [](Facts& f) { f.info->set_clients_refused(1); }},
      {"waiting-clients", Level::kWarning, [](Facts& f) { f.clients->add_clients()->set_state(control::Client::RECOVERED); }},
      {"waiting-clients", Level::kNote, [](Facts& f) { f.clients->add_clients()->set_state(control::Client::SUSPENDED); }},
      {"frozen-clients", Level::kNote, [](Facts& f) { f.clients->add_clients()->mutable_policy()->set_frozen(true); }},
      {"huge-pages", Level::kNote, [](Facts& f) { f.info->set_huge_pages("none"); }},
      {"restarts", Level::kWarning, [](Facts& f) { f.info->set_restarts(1); }},
      {"misbehaved-clients", Level::kWarning, [](Facts& f) { f.info->mutable_shards(0)->set_channels_broken(1); }},
      {"recovery", Level::kWarning, [](Facts& f) { f.info->mutable_shards(0)->set_records_skipped_torn(1); }},
      {"recovery", Level::kWarning, [](Facts& f) { f.info->mutable_shards(0)->set_segments_damaged(1); }},
      {"recovery", Level::kProblem, [](Facts& f) { f.info->set_arenas_refused(1); }},
  };
  for (const Case& one : cases) {
    Facts facts = healthy();
    one.spoil(facts);
    EXPECT_EQ(worst(facts), std::pair(one.level, std::string(one.check)));
  }
}

TEST(Doctor, MemoryFullOfPagesThatCanBeDroppedIsWell) {
  tool::DoctorFacts facts = healthy();
  facts.info->mutable_shards(0)->set_memory_bytes(100 << 20);
  facts.freeable_bytes = 90 << 20;
  EXPECT_EQ(worst(facts).first, tool::Level::kOk);
}

TEST(Doctor, AnotherDomainsConfigurationIsNotComparedWithThisOnes) {
  tool::DoctorFacts facts = healthy();
  facts.config.shards = 31;
  EXPECT_EQ(worst(facts).first, tool::Level::kWarning);
  facts.elsewhere = true;
  EXPECT_NE(worst(facts).first, tool::Level::kWarning) << worst(facts).second;
}

TEST(Doctor, ADeadServiceIsAProblemAndTheRestIsSkipped) {
  Ran ran = run_tool({"--socket", "/nonexistent/s", "doctor", "--json"});
  EXPECT_EQ(ran.status, 1);
  auto json = ran.json();
  EXPECT_EQ(json["schema"], "xen-tmem/doctor/1");
  EXPECT_EQ(json["problems"], 1);  // the configuration of this machine, if it has one, is good
  EXPECT_EQ(json["findings"].size(), tool::checks().size());
  EXPECT_THAT(run_tool({"--socket", "/nonexistent/s", "doctor"}).out, HasSubstr("there is no such socket"));
}

TEST(Doctor, ALivingServiceIsExamined) {
  FakeService service;
  service.info.set_restarts(3);
  control::Shard& shard = *service.info.add_shards();
  shard.set_memory_bytes_target(1 << 20);
  Ran ran = run_tool(service, {"doctor"});
  EXPECT_THAT(ran.out, HasSubstr("started again 3 times"));
  EXPECT_THAT(ran.out, HasSubstr("-> see why: journalctl"));
}

}  // namespace
}  // namespace tmem::test
