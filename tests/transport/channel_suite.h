// SPDX-License-Identifier: MIT
// What every transport must do, whatever it is made of: memfd runs these tests here, Xen runs the same ones in the lab. A
// program includes this once and instantiates ChannelSuite with functions that make a connected pair.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <memory>
#include <random>
#include <thread>

#include "channel_pair.h"
#include "fake_engine.h"
#include "test_front.h"
#include "transport/shard_worker.h"

namespace tmem {

class ChannelSuite : public testing::TestWithParam<std::tuple<PairFactory, uint32_t>> {
 protected:
  static constexpr ClientId kClient{17};
  static constexpr int kLongMs = 20000;  // ends a test that would hang; no test waits so long when all is well

  ChannelSuite() : pair_(std::get<0>(GetParam())(kClient, std::get<1>(GetParam()))), channel_(pair_->channel()) {}

  static bool readable(int fd, int timeout_ms) {
    pollfd p{fd, POLLIN, 0};
    return ::poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLIN) != 0;
  }

  std::unique_ptr<ChannelPair> pair_;
  std::unique_ptr<Channel> channel_;
};

TEST_P(ChannelSuite, KnowsItsClientAndTheOrderOfItsRing) {
  EXPECT_EQ(channel_->client(), kClient);
  EXPECT_EQ(channel_->ring_order(), std::get<1>(GetParam()));
}

TEST_P(ChannelSuite, BothSidesSeeEveryByteOfTheQueue) {
  const size_t bytes = size_t{TMEMIF_QUEUE_PAGES(pair_->ring_order())} * TMEMIF_PAGE_BYTES;
  auto* front = static_cast<uint32_t*>(pair_->front_memory());
  auto* back = static_cast<uint32_t*>(channel_->queue_memory());
  for (uint32_t i = 0; i < bytes / 4; ++i) front[i] = i * 2654435761u;
  for (uint32_t i = 0; i < bytes / 4; ++i) ASSERT_EQ(back[i], i * 2654435761u) << "byte " << i * 4;
  for (uint32_t i = 0; i < bytes / 4; ++i) back[i] = ~i;
  for (uint32_t i = 0; i < bytes / 4; ++i) ASSERT_EQ(front[i], ~i) << "byte " << i * 4;
}

TEST_P(ChannelSuite, IsQuietUntilTheFrontRings) {
  channel_->acknowledge();  // a new channel may wake for nothing, once: Xen does so, lest an earlier ring be lost
  EXPECT_FALSE(readable(channel_->wait_fd(), 0));
  pair_->front_rings();
  EXPECT_TRUE(readable(channel_->wait_fd(), kLongMs));
}

TEST_P(ChannelSuite, ManyRingsAreQuietAgainAfterAtMostAsManyAcknowledgements) {
  channel_->acknowledge();
  for (int i = 0; i < 5; ++i) pair_->front_rings();
  EXPECT_TRUE(readable(channel_->wait_fd(), kLongMs));
  for (int i = 0; i < 5; ++i) channel_->acknowledge();
  EXPECT_FALSE(readable(channel_->wait_fd(), 0));
  pair_->front_rings();
  EXPECT_TRUE(readable(channel_->wait_fd(), kLongMs)) << "and it rings again";
}

TEST_P(ChannelSuite, AcknowledgingNothingDoesNotWait) {
  channel_->acknowledge();
  channel_->acknowledge();
  EXPECT_FALSE(readable(channel_->wait_fd(), 0));
}

TEST_P(ChannelSuite, TheFrontHearsANotification) {
  EXPECT_FALSE(pair_->front_hears(0));
  channel_->notify();
  EXPECT_TRUE(pair_->front_hears(kLongMs));
}

TEST_P(ChannelSuite, NotifyingADeafFrontDoesNotWait) {
  for (int i = 0; i < 100000; ++i) channel_->notify();
  EXPECT_TRUE(pair_->front_hears(kLongMs));
}

TEST_P(ChannelSuite, AnotherChannelOverTheSameHandlesGoesOn) {
  FakeEngine fake;
  TestFront front(pair_->front_memory(), pair_->ring_order());
  front.fill_slot(0, 9);
  front.submit(page_request(TMEMIF_OP_PUT, 0, 1, 1, 1, 100));
  { EXPECT_EQ(Backend(*channel_, *fake.engine, 1, RingState::kNew).drain(64), Backend::Progress::kWorked); }
  front.submit(page_request(TMEMIF_OP_GET, 2, 1, 1, 1, 101));
  channel_.reset();

  channel_ = pair_->channel_again();
  while (pair_->front_hears(0)) {}
  Backend backend(*channel_, *fake.engine, 1, RingState::kLiving);
  EXPECT_TRUE(pair_->front_hears(kLongMs)) << "a front that slept over the change is woken";
  EXPECT_EQ(backend.drain(64), Backend::Progress::kWorked);
  const auto responses = front.responses();
  ASSERT_EQ(responses.size(), 2u);
  EXPECT_EQ(responses[1].id, 101u);
  EXPECT_EQ(responses[1].status, TMEMIF_OK);
  EXPECT_EQ(std::memcmp(front.slot(0), front.slot(2), kPageBytes), 0);
  pair_->front_rings();
  EXPECT_TRUE(readable(channel_->wait_fd(), kLongMs));
}

// Two threads that sleep whenever they may. Ends only if no doorbell is lost; every page is compared.
TEST_P(ChannelSuite, AWorkerAndASleepingFrontNeverWaitForEachOther) {
  FakeEngine fake;
  ShardWorkerConfig config;
  config.poll_window = std::chrono::nanoseconds(0);
  ShardWorker worker(*fake.engine, config, [](ClientId) { FAIL() << "broken"; });
  TestFront front(pair_->front_memory(), pair_->ring_order());
  ASSERT_TRUE(worker.add_channel(std::move(channel_)));
  std::thread shard([&] { worker.run(); });

  const unsigned seed = std::random_device{}();
  printf("seed %u\n", seed);
  std::mt19937 random(seed);
  uint32_t sent = 0, received = 0;
  bool right = true;
  while (received < 3000) {
    const uint32_t batch = 1 + random() % front.entries();
    for (uint32_t i = 0; i < batch && tmem_ring_front_room(&front.ring) > 0; ++i, ++sent) {
      const auto slot = static_cast<uint16_t>(sent % front.entries());
      if (sent % 2 == 0) front.fill_slot(slot, static_cast<uint8_t>(sent));
      else std::memset(front.slot(slot), 0, kPageBytes);
      front.write(page_request(sent % 2 == 0 ? TMEMIF_OP_PUT : TMEMIF_OP_GET, slot, 1, sent / 2, 0, sent));
    }
    if (front.publish()) pair_->front_rings();
    const uint32_t wanted = received + 1 + random() % (sent - received);
    while (received < wanted) {
      for (const tmemif_response& r : front.responses()) {
        right &= r.id == received && r.status == TMEMIF_OK;
        if (r.id % 2 == 1) {
          for (uint32_t i = 0; i < kPageBytes; i += 97)
            right &= front.slot(r.id % front.entries())[i] == static_cast<std::byte>(static_cast<uint8_t>(r.id - 1) + i * 7 + i / 256);
        }
        ++received;
      }
      if (received < wanted && !tmem_ring_front_arm_after(&front.ring, wanted - received)) {
        if (!pair_->front_hears(kLongMs)) ADD_FAILURE() << "a wake-up was lost after " << received;
      }
      if (HasFailure()) break;
    }
    if (HasFailure()) break;
  }
  worker.stop();
  shard.join();
  EXPECT_TRUE(right);
}

}  // namespace tmem
