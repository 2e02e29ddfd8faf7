// SPDX-License-Identifier: MIT
// The control socket itself: who is cut off when too many are connected. A real socket, and the loop run by hand.
#include "control/server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "fake_host.h"
#include "transport/file_descriptor.h"

namespace tmem::test {
namespace {

class Server : public testing::Test {
 protected:
  Server() : service_(host_) {
    // The family alone: the kernel picks a free abstract name.
    const int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address_.sun_family = AF_UNIX;
    EXPECT_EQ(bind(listening, reinterpret_cast<sockaddr*>(&address_), sizeof(sa_family_t)), 0);
    EXPECT_EQ(getsockname(listening, reinterpret_cast<sockaddr*>(&address_), &length_), 0);
    EXPECT_EQ(listen(listening, 256), 0);
    server_ = std::make_unique<ControlServer>(io_, listening, service_);
  }
  FileDescriptor connected() {
    FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address_), length_), 0);
    settle();
    return fd;
  }
  void settle() {
    io_.restart();
    while (io_.poll() != 0) {
    }
  }
  void ask(const FileDescriptor& fd) {
    control::Request request;
    request.mutable_list_clients();
    const std::string frame = encode_frame(request.SerializeAsString());
    EXPECT_EQ(write(fd.get(), frame.data(), frame.size()), static_cast<ssize_t>(frame.size()));
    settle();
  }
  // What has come for us: > 0 bytes, 0: cut off, < 0: nothing.
  static ssize_t received(const FileDescriptor& fd) {
    std::array<char, 65536> buffer;
    return recv(fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  }

  FakeHost host_;
  ControlService service_;
  boost::asio::io_context io_;
  sockaddr_un address_{};
  socklen_t length_ = sizeof(address_);
  std::unique_ptr<ControlServer> server_;
};

TEST_F(Server, WhoHoldsEveryConnectionIdleLocksNobodyOut) {
  std::vector<FileDescriptor> idle;
  for (size_t i = 0; i < kControlConnectionsMax; ++i) idle.push_back(connected());
  EXPECT_EQ(server_->connections(), kControlConnectionsMax);
  EXPECT_EQ(server_->counters().connections_cut, 0u);
  const FileDescriptor operator_fd = connected();
  ask(operator_fd);
  EXPECT_GT(received(operator_fd), 0);
  EXPECT_EQ(received(idle[0]), 0) << "silent for longest";
  EXPECT_EQ(server_->connections(), kControlConnectionsMax);
  EXPECT_EQ(server_->counters().connections_cut, 1u);
}

TEST_F(Server, WhoSpokeLastIsCutOffLast) {
  std::vector<FileDescriptor> all;
  for (size_t i = 0; i < kControlConnectionsMax; ++i) all.push_back(connected());
  ask(all[0]);
  EXPECT_GT(received(all[0]), 0);
  std::vector<FileDescriptor> more;
  for (size_t i = 1; i < kControlConnectionsMax; ++i) more.push_back(connected());
  EXPECT_LT(received(all[0]), 0) << "still there";
  for (size_t i = 1; i < kControlConnectionsMax; ++i) EXPECT_EQ(received(all[i]), 0) << i;
}

}  // namespace
}  // namespace tmem::test
