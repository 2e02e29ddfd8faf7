// SPDX-License-Identifier: MIT
// One connection and what it may cost: malformed frames, requests without end, answers that nobody reads, events.
#include "control/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/fake_host.h"

namespace tmem::test {
namespace {

using namespace std::string_literals;
using control::Reply;
using control::Request;

class Session : public testing::Test {
 protected:
  Session() {
    session_ = std::make_shared<ControlSession>(service_, counters_,
                                                ControlSession::Carrier{[this](std::string frame) { decoder_.add(frame); }, [this] { ++closed_; },
                                                                        [this] { return backlog_; }});
  }
  static std::string info_frame(uint64_t id = 1) {
    Request request;
    request.set_id(id);
    request.mutable_info();
    return encode_frame(request.SerializeAsString());
  }
  std::optional<Reply> reply() {
    const auto frame = decoder_.next();
    Reply out;
    if (!frame || !out.ParseFromString(*frame)) return std::nullopt;
    return out;
  }

  FakeHost host_;
  ControlService service_{host_};
  ControlCounters counters_;
  FrameDecoder decoder_{kControlReplyBytesMax};
  size_t backlog_ = 0;
  int closed_ = 0;
  std::shared_ptr<ControlSession> session_;
};

TEST_F(Session, RequestsAreAnsweredWithTheirIds) {
  session_->receive(info_frame(5) + info_frame(6));
  EXPECT_EQ(reply()->id(), 5u);
  EXPECT_EQ(reply()->id(), 6u);
  EXPECT_EQ(counters_.requests, 2u);
  EXPECT_EQ(closed_, 0);
}

TEST_F(Session, AMalformedFrameIsAnsweredCountedAndEndsTheConnection) {
  for (const std::string& bytes : {"\0\0\0\0"s, "\x04\0\0\0\xff\xff\xff\xff"s, "\xff\xff\xff\x7f"s}) {
    const auto session = std::make_shared<ControlSession>(service_, counters_,
                                                          ControlSession::Carrier{[this](std::string frame) { decoder_.add(frame); }, [this] { ++closed_; },
                                                                                  [] { return size_t{0}; }});
    session->receive(bytes + info_frame());
    EXPECT_EQ(reply()->code(), control::ERROR_BAD_REQUEST);
    EXPECT_FALSE(reply()) << "nothing behind it is taken";
  }
  EXPECT_EQ(closed_, 3);
  EXPECT_EQ(counters_.frames_malformed, 3u);
}

TEST_F(Session, WhoAsksOnWithoutWaitingIsCutOff) {
  host_.hold = true;
  for (size_t i = 0; i <= kControlPendingMax; ++i) session_->receive(info_frame(i));
  EXPECT_EQ(closed_, 1);
  EXPECT_EQ(counters_.connections_cut, 1u);
}

TEST_F(Session, WhoDoesNotReadIsCutOff) {
  backlog_ = kControlBacklogBytesMax;
  session_->receive(info_frame());
  EXPECT_EQ(closed_, 1);
  EXPECT_FALSE(reply());
}

TEST_F(Session, AnAnswerThatComesAfterTheEndIsDropped) {
  host_.hold = true;
  session_->receive(info_frame());
  session_.reset();
  ASSERT_EQ(host_.held.size(), 1u);
  host_.held[0]();
  EXPECT_FALSE(reply());
}

TEST_F(Session, EventsComeToSubscribersOnly) {
  control::Event event;
  event.set_kind(control::Event::MEMORY_LOW);
  session_->publish(event);
  EXPECT_FALSE(reply());
  Request request;
  request.set_id(9);
  request.mutable_subscribe();
  session_->receive(encode_frame(request.SerializeAsString()));
  EXPECT_TRUE(reply()->has_subscribe());
  session_->publish(event);
  EXPECT_EQ(reply()->event().kind(), control::Event::MEMORY_LOW);
}

}  // namespace
}  // namespace tmem::test
