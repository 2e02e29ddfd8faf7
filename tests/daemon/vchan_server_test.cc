// SPDX-License-Identifier: MIT
// Control over offered streams: each carries one session and is offered again; a peer that stalls or dies costs its own only.
#include <fcntl.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "control/fake_host.h"
#include "daemon/vchan_server.h"
#include "tmem/limits.h"
#include "transport/file_descriptor.h"

namespace tmem::test {
namespace {

using control::Reply;
using control::Request;

// A stream over a socket pair; the peer has gone when its end is closed.
class SocketStream final : public XenVchan {
 public:
  explicit SocketStream(int fd) : fd_(fd) {}
  int fd() const override { return fd_.get(); }
  void acknowledge() override {}
  Peer peer() const override {
    char byte;
    return recv(fd_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0 ? Peer::kGone : Peer::kHere;
  }
  size_t read(std::span<char> into) override { return moved(recv(fd_.get(), into.data(), into.size(), MSG_DONTWAIT)); }
  size_t write(std::string_view bytes) override { return moved(send(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL)); }

 private:
  static size_t moved(ssize_t bytes) { return bytes > 0 ? static_cast<size_t>(bytes) : 0; }
  FileDescriptor fd_;
};

class VchanControl : public testing::Test {
 protected:
  static constexpr uint32_t kStreams = 2;

  std::unique_ptr<XenVchan> offer(uint32_t n) {
    ++offers_[n];
    int ends[2];
    if (refuse_ || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return nullptr;
    peers_[n] = FileDescriptor(ends[1]);
    return std::make_unique<SocketStream>(ends[0]);
  }
  bool open() {
    return server_.open([this](uint32_t n) { return offer(n); }, kStreams);
  }
  void run() {
    io_.restart();
    while (io_.poll() != 0) {
    }
  }
  void ask(uint32_t n, const std::string& bytes) {
    EXPECT_EQ(send(peers_[n].get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    run();
  }
  std::optional<Reply> answer(uint32_t n) {
    std::array<char, 65536> bytes;
    const ssize_t got = recv(peers_[n].get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    FrameDecoder decoder(kControlReplyBytesMax);
    if (got > 0) decoder.add({bytes.data(), static_cast<size_t>(got)});
    const auto frame = decoder.next();
    Reply reply;
    if (!frame || !reply.ParseFromString(*frame)) return std::nullopt;
    return reply;
  }
  static std::string info(uint64_t id) {
    Request request;
    request.set_id(id);
    request.mutable_info();
    return encode_frame(request.SerializeAsString());
  }

  boost::asio::io_context io_;
  FakeHost host_;
  ControlService service_{host_};
  std::array<FileDescriptor, kStreams> peers_;
  std::array<int, kStreams> offers_{};
  bool refuse_ = false;
  VchanServer server_{io_, service_};
};

TEST_F(VchanControl, EachStreamAnswersItsOwnPeer) {
  ASSERT_TRUE(open());
  ask(0, info(5));
  ask(1, info(6));
  ASSERT_TRUE(answer(1).has_value());
  EXPECT_EQ(answer(0)->id(), 5u);
}

TEST_F(VchanControl, APeerThatGoesHasItsStreamOfferedAnewAndTheOtherStays) {
  ASSERT_TRUE(open());
  const std::string half = info(5).substr(0, 6);
  ask(0, half);
  peers_[0] = FileDescriptor();
  run();
  EXPECT_EQ(offers_[0], 2);
  EXPECT_EQ(offers_[1], 1);
  ask(0, info(7));
  ASSERT_TRUE(answer(0).has_value()) << "the new session knows nothing of the old one's half frame";
}

TEST_F(VchanControl, NonsenseIsAnsweredAndTheStreamOfferedAnew) {
  ASSERT_TRUE(open());
  FileDescriptor old;
  const std::string nonsense(16, '\xff');
  // The offer replaces peers_[0]: its own end must be kept to read the answer.
  const int kept = dup(peers_[0].get());
  ask(0, nonsense);
  EXPECT_EQ(offers_[0], 2);
  EXPECT_EQ(server_.counters().frames_malformed, 1u);
  peers_[1] = FileDescriptor(kept);
  EXPECT_EQ(answer(1)->code(), control::ERROR_BAD_REQUEST);
}

TEST_F(VchanControl, APeerThatAsksWithoutReadingIsCutOffAndOthersAreServed) {
  ASSERT_TRUE(open());
  for (uint32_t id = 1; id <= 500; ++id) host_.add(id, "a client with a name of some length");
  Request list;
  list.set_id(1);
  list.mutable_list_clients()->set_pools(true);
  const std::string frame = encode_frame(list.SerializeAsString());
  const int kept = dup(peers_[0].get());
  fcntl(kept, F_SETFL, O_NONBLOCK);
  for (int i = 0; i < 100000 && offers_[0] == 1; ++i) {
    if (send(kept, frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) break;
    run();
  }
  EXPECT_EQ(offers_[0], 2) << "its stream is somebody else's now";
  EXPECT_EQ(server_.counters().connections_cut, 1u);
  close(kept);
  ask(1, info(9));
  EXPECT_TRUE(answer(1).has_value());
}

TEST_F(VchanControl, EventsGoToThoseWhoAskedForThem) {
  ASSERT_TRUE(open());
  Request subscribe;
  subscribe.set_id(1);
  subscribe.mutable_subscribe();
  ask(0, encode_frame(subscribe.SerializeAsString()));
  ASSERT_TRUE(answer(0).has_value());
  control::Event event;
  event.set_text("hello");
  server_.publish(event);
  run();
  EXPECT_EQ(answer(0)->event().text(), "hello");
  EXPECT_FALSE(answer(1).has_value());
}

TEST_F(VchanControl, WhereNoPageCanBeSharedItSaysSoAndOffersNothing) {
  refuse_ = true;
  EXPECT_FALSE(open());
  run();
  EXPECT_EQ(offers_[0], 1);
  EXPECT_EQ(offers_[1], 0);
}

}  // namespace
}  // namespace tmem::test
