// SPDX-License-Identifier: MIT
// What happens when the other end is missing, silent, cut off, or no control socket at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "tools/tmemctl_run.h"

namespace tmem::test {
namespace {

using testing::HasSubstr;

std::string good_reply(const control::Request& request) {
  control::Reply reply;
  reply.set_id(request.id());
  reply.mutable_list_clients()->add_clients()->set_name("web1");
  return reply.SerializeAsString();
}

TEST(ControlClient, NoSocketIsUnreachableAndSaysHowToStart) {
  Ran ran = run_tool({"--socket", "/nonexistent/control.sock", "list"});
  EXPECT_EQ(ran.status, 4);
  EXPECT_THAT(ran.err, HasSubstr("/nonexistent/control.sock: there is no such socket; start the service"));
}

TEST(ControlClient, ADeadSocketIsUnreachable) {
  char directory[] = "/tmp/tmem-dead-XXXXXX";
  ASSERT_TRUE(mkdtemp(directory));
  std::string path = std::string(directory) + "/s";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(fd);
  Ran ran = run_tool({"--socket", path, "list"});
  EXPECT_EQ(ran.status, 4);
  EXPECT_THAT(ran.err, HasSubstr("nobody listens there"));
  unlink(path.c_str());
  rmdir(directory);
}

TEST(ControlClient, TheSocketOfClientsIsToldFromTheControlSocket) {
  char directory[] = "/tmp/tmem-other-XXXXXX";
  ASSERT_TRUE(mkdtemp(directory));
  std::string path = std::string(directory) + "/memfd.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  Ran ran = run_tool({"--socket", path, "list"});
  EXPECT_EQ(ran.status, 4);
  EXPECT_THAT(ran.err, HasSubstr("that is the socket of clients"));
  close(fd);
  unlink(path.c_str());
  rmdir(directory);
}

TEST(ControlClient, AnImpossibleSocketPathIsAUsageError) {
  EXPECT_EQ(run_tool({"--socket", std::string(200, 'x'), "list"}).status, 2);
}

TEST(ControlClient, TheEnvironmentNamesTheSocket) {
  FakeService service;
  setenv("XEN_TMEM_CONTROL", service.socket_path().c_str(), 1);
  EXPECT_EQ(run_tool({"list"}).status, 0);
  EXPECT_EQ(run_tool({"list", "--socket", "/nonexistent"}).status, 4);
  unsetenv("XEN_TMEM_CONTROL");
}

TEST(ControlClient, ASilentServiceIsGivenUp) {
  FakeService service;
  service.silent = true;
  Ran ran = run_tool(service, {"--timeout", "0.05", "list"});
  EXPECT_EQ(ran.status, 4);
  EXPECT_THAT(ran.err, HasSubstr("did not answer within 50 ms"));
}

TEST(ControlClient, AnAnswerThatIsCutAnywhereIsNeverTakenForWhole) {
  FakeService service;
  control::Request probe;
  probe.set_id(1);
  size_t whole = FakeService::frame(good_reply(probe)).size();
  for (size_t cut = 0; cut < whole; cut++) {
    service.raw_answer = [cut](const control::Request& request) { return FakeService::frame(good_reply(request)).substr(0, cut); };
    Ran ran = run_tool(service, {"list"});
    EXPECT_EQ(ran.status, 4) << cut;
    EXPECT_EQ(ran.out, "") << cut;
    EXPECT_THAT(ran.err, HasSubstr("ended: it was closed"));
  }
}

TEST(ControlClient, AnImpossibleLengthIsAProtocolError) {
  FakeService service;
  for (std::string head : {std::string(4, '\0'), std::string("\x01\x00\x00\x04", 4), std::string("HTTP")}) {
    service.raw_answer = [head](const control::Request&) { return head + std::string(100, 'x'); };
    Ran ran = run_tool(service, {"list"});
    EXPECT_EQ(ran.status, 6);
    EXPECT_THAT(ran.err, HasSubstr("impossible length"));
  }
}

TEST(ControlClient, BytesThatAreNoMessageAreAProtocolError) {
  FakeService service;
  service.raw_answer = [](const control::Request&) { return FakeService::frame("\xff\xff\xff\xff\xff"); };
  EXPECT_EQ(run_tool(service, {"list"}).status, 6);
}

TEST(ControlClient, FieldsThatAreNotKnownAreIgnored) {
  FakeService service;
  service.raw_answer = [](const control::Request& request) {
    std::string unknown = {static_cast<char>(0xf8), 0x3f, 0x2a};  // field 1023: 42
    return FakeService::frame(good_reply(request) + unknown);
  };
  Ran ran = run_tool(service, {"list"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("web1"));
}

TEST(ControlClient, AnswersToOthersAreSkipped) {
  FakeService service;
  service.raw_answer = [](const control::Request& request) {
    control::Reply other;
    other.set_id(request.id() + 17);
    other.set_error("not for you");
    control::Reply event;
    event.mutable_event()->set_text("noise");
    return FakeService::frame(other.SerializeAsString()) + FakeService::frame(event.SerializeAsString()) + FakeService::frame(good_reply(request));
  };
  EXPECT_EQ(run_tool(service, {"list"}).status, 0);
}

TEST(ControlClient, EachErrorOfTheServiceHasItsExitStatus) {
  const std::vector<std::pair<control::ErrorCode, int>> expected = {
      {control::ERROR_BAD_REQUEST, 2}, {control::ERROR_NO_CLIENT, 3}, {control::ERROR_NO_POOL, 3}, {control::ERROR_NOT_POSSIBLE, 5}, {control::ERROR_INTERNAL, 1}};
  FakeService service;
  for (auto [code, status] : expected) {
    service.raw_answer = [code = code](const control::Request&) {
      control::Reply reply;  // id 0: the service could not even read the id
      reply.set_code(code);
      reply.set_error("why\n\033it failed");
      return FakeService::frame(reply.SerializeAsString());
    };
    Ran ran = run_tool(service, {"list"});
    EXPECT_EQ(ran.status, status);
    EXPECT_EQ(ran.err, "xen-tmemctl: why??it failed\n");
  }
}

TEST(Cli, HelpIsCompleteAndNoCommandIsAUsageError) {
  Ran help = run_tool({"--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_THAT(help.out, HasSubstr("Exit status"));
  EXPECT_THAT(help.out, HasSubstr("tmem-list"));
  EXPECT_EQ(run_tool({}).status, 2);
  EXPECT_EQ(run_tool({"lsit"}).status, 2);
  EXPECT_EQ(run_tool({"list", "--frobnicate"}).status, 2);
  EXPECT_EQ(run_tool({"list", "a", "b"}).status, 2);
  EXPECT_EQ(run_tool({}).err, "xen-tmemctl: no command was given; see xen-tmemctl --help\n");
  EXPECT_EQ(run_tool({"config"}).err, "xen-tmemctl: no command was given; see xen-tmemctl config --help\n");
  EXPECT_THAT(run_tool({"--version"}).out, HasSubstr("xen-tmemctl "));
  EXPECT_THAT(run_tool({"set", "--help"}).out, HasSubstr("weight=N"));
}

TEST(Cli, AWrongWordIsNamedWithTheNearestRightOne) {
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{"lsit"}, "unknown command 'lsit'; did you mean 'list'?"},
      {{"--timeout", "1", "frezee", "web1"}, "unknown command 'frezee'; did you mean 'freeze'?"},
      {{"config", "chekc"}, "unknown command 'chekc'; did you mean 'check'?"},
      {{"destroy"}, "unknown command 'destroy'; did you mean 'destroy-pool'?"},
      {{"xyzzy"}, "unknown command 'xyzzy'; see xen-tmemctl --help"},
      {{"list", "--jsno"}, "unknown option '--jsno'; did you mean '--json'?"},
      {{"--json", "list"}, "option '--json' stands behind its command: xen-tmemctl list --json"},
      {{"--socekt", "/x", "list"}, "unknown option '--socekt'; did you mean '--socket'?"},
      {{"li\033st\n"}, "unknown command 'li?st?'; did you mean 'list'?"},
  };
  for (const auto& [arguments, said] : cases) {
    const Ran ran = run_tool(arguments);
    EXPECT_EQ(ran.status, 2);
    EXPECT_EQ(ran.err, "xen-tmemctl: " + said + "\n");
  }
}

}  // namespace
}  // namespace tmem::test
