// SPDX-License-Identifier: MIT
// What is decided about a client, on real shards: what happens when a shard does not take it, and what room is kept for a client
// that comes and goes.
#include "daemon/guests/client_life.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "daemon/base/notify.h"
#include "transport/memfd/memfd_handshake.h"
#include "transport/test_front.h"

namespace tmem {
namespace {

class Lives : public testing::Test {
 protected:
  explicit Lives(uint32_t shards = 1) : shards_(io_, [](ClientId) {}), life_(registry_, shards_) {
    config_.shards = shards;
    config_.memory_bytes = config_.memory_bytes_max = uint64_t{8} << 20;
    std::map<std::string, FileDescriptor> nothing;
    EXPECT_EQ(shards_.open(config_, nothing, notifier_), "");
    ClientHello hello;
    hello.uuid.byte[0] = 1;
    hello.queues = shards;
    client_ = registry_.admit(hello).id;
  }
  ~Lives() override { shards_.stop(); }

  void run_until(const std::function<bool()>& seen) {
    while (!seen()) io_.run_one();
  }
  bool set_policy(const ClientPolicy& policy) {
    std::optional<bool> written;
    life_.set_policy(client_, policy, "self", [&](bool ok) { written = ok; });
    EXPECT_EQ(registry_.find(client_)->policy, policy) << "the next change starts from it";
    run_until([&] { return written.has_value(); });
    return *written;
  }

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> waiting_ = boost::asio::make_work_guard(io_);
  Config config_;
  Notifier notifier_;
  ClientRegistry registry_{{}, ClientPolicy(), 1};
  ShardSet shards_;
  ClientLife life_;
  ClientId client_;
};

class TwoShards : public Lives {
 protected:
  TwoShards() : Lives(2) {}
};

TEST_F(TwoShards, APolicyThatAShardDoesNotTakeIsWhatItWas) {
  const ClientPolicy before = registry_.find(client_)->policy;
  shards_.each([&](Shard& shard) { ASSERT_EQ(shard.engine().attach(client_, registry_.find(client_)->identity(), before, true), Status::kOk); });
  shards_.start();
  ClientPolicy wrong;
  wrong.frozen = true;
  wrong.weight = kWeightMax + 1;
  EXPECT_FALSE(set_policy(wrong));
  EXPECT_EQ(registry_.find(client_)->policy, before);
  EXPECT_EQ(registry_.find(client_)->dedup_group, "");
  ClientPolicy frozen;
  frozen.frozen = true;
  EXPECT_TRUE(set_policy(frozen));
  EXPECT_EQ(registry_.find(client_)->policy, frozen);
  shards_.stop();
  shards_.each([&](Shard& shard) { EXPECT_EQ(shard.engine().client_info(client_).value().policy, frozen) << shard.shard(); });
}

// A client with one queue that connects again and again, each time with a new ring.
class Reconnecting : public Lives {
 protected:
  static constexpr uint32_t kOrder = TMEMIF_RING_ORDER_DEFAULT;

  void SetUp() override {
    shards_.start();
    std::optional<bool> attached;
    life_.attach(client_, [&](bool ok) { attached = ok; });
    run_until([&] { return attached.has_value(); });
    ASSERT_TRUE(*attached);
  }

  void connect() {
    std::optional<MemfdConnection> made = make_connection(1, kOrder);
    ASSERT_TRUE(made);
    bell_ = FileDescriptor(::dup(made->doorbells[0].requests.get()));
    region_ = made->region;
    front_ = std::make_unique<TestFront>(region_->queue(0), kOrder);
    std::vector<std::unique_ptr<Channel>> channels;
    channels.push_back(std::make_unique<MemfdChannel>(client_, region_, 0, std::move(made->doorbells[0])));
    std::optional<bool> opened;
    life_.open_channels(std::move(channels), [&](bool ok) { opened = ok; });
    run_until([&] { return opened.has_value(); });
    ASSERT_TRUE(*opened);
    tmemif_request pool = request_of(TMEMIF_OP_NEW_POOL);
    pool.pool_flags = TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT);
    const tmemif_response made_pool = ask(pool);
    ASSERT_TRUE(made_pool.status == TMEMIF_OK || made_pool.status == TMEMIF_FROZEN);
  }
  void disconnect() {
    bool closed = false;
    life_.close_channels(client_, [&] { closed = true; });
    run_until([&] { return closed; });
  }

  tmemif_response ask(const tmemif_request& request) {
    const uint64_t one = 1;
    front_->submit(request);
    EXPECT_EQ(::write(bell_.get(), &one, sizeof(one)), ssize_t{sizeof(one)});
    std::vector<tmemif_response> responses;
    for (; responses.empty(); responses = front_->responses()) std::this_thread::yield();
    return responses.at(0);
  }
  uint16_t put(uint32_t index, bool credit = true) {
    tmemif_request put = page_request(TMEMIF_OP_PUT, 0, 0, 1, index);
    put.flags = credit ? TMEMIF_REQUEST_CREDIT : 0;
    front_->fill_slot(0, static_cast<uint8_t>(index));
    return ask(put).status;
  }

  ClientInfo info() {
    std::optional<ClientInfo> found;
    bool answered = false;
    shards_.on_shards([&](Shard& shard) { found = shard.engine().client_info(client_).value(); }, [&] { answered = true; });
    run_until([&] { return answered; });
    return *found;
  }
  uint64_t pages() { return info().space.pages_persistent; }

  std::shared_ptr<MemfdRegion> region_;
  FileDescriptor bell_;
  std::unique_ptr<TestFront> front_;
};

TEST_F(Reconnecting, AClientDoesNotGetPastItsCapByComingAgainAndAgain) {
  ClientPolicy capped;
  capped.cap_pages = 40;
  ASSERT_TRUE(set_policy(capped));
  for (uint32_t round = 0; round < 5; ++round) {
    ASSERT_NO_FATAL_FAILURE(connect());
    for (uint32_t i = 0; i < 60; ++i) put(round * 100 + i);
    disconnect();
    const ClientInfo now = info();
    ASSERT_LE(now.space.pages_persistent + now.credits, 40u) << round;
  }
  EXPECT_EQ(pages(), 40u);
}

TEST_F(Reconnecting, AFrozenClientStoresWhatWasOutAndNoMoreHoweverOftenItComes) {
  ASSERT_NO_FATAL_FAILURE(connect());
  for (uint32_t i = 0; i < 5; ++i) ASSERT_EQ(put(i, false), TMEMIF_OK);
  ASSERT_EQ(info().credits, kCreditsPerQueueMax);
  ClientPolicy frozen;
  frozen.frozen = true;
  ASSERT_TRUE(set_policy(frozen));
  for (uint32_t i = 0; i < 10; ++i) ASSERT_EQ(put(100 + i), TMEMIF_OK);
  for (uint32_t round = 0; round < 3; ++round) {
    disconnect();
    ASSERT_NO_FATAL_FAILURE(connect());
    for (uint32_t i = 0; i < 60; ++i) put(1000 * (round + 1) + i);
  }
  EXPECT_EQ(pages(), 5 + kCreditsPerQueueMax);
}

TEST_F(Reconnecting, PutsThatComeAgainLeaveTheCreditsToThoseThatWereNotServed) {
  ASSERT_NO_FATAL_FAILURE(connect());
  ASSERT_EQ(put(0, false), TMEMIF_OK);
  ClientPolicy frozen;
  frozen.frozen = true;
  ASSERT_TRUE(set_policy(frozen));
  // All of its credits are spent as far as the front knows; the service has seen twenty, and the front none of the answers.
  for (uint32_t i = 0; i < 20; ++i) ASSERT_EQ(put(100 + i), TMEMIF_OK);
  disconnect();
  ASSERT_NO_FATAL_FAILURE(connect());
  for (uint32_t i = 0; i < kCreditsPerQueueMax; ++i) EXPECT_EQ(put(100 + i), TMEMIF_OK) << i;
  EXPECT_EQ(put(500), TMEMIF_FROZEN);
  EXPECT_EQ(pages(), 1 + kCreditsPerQueueMax);
}

TEST_F(Reconnecting, RoomIsKeptForAsManyPutsAsCanBeOutIfNothingForbidsIt) {
  ASSERT_NO_FATAL_FAILURE(connect());
  disconnect();
  EXPECT_EQ(info().credits, kCreditsPerQueueMax);
}

}  // namespace
}  // namespace tmem
