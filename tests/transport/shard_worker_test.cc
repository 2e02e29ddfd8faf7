// SPDX-License-Identifier: MIT
// The loop of a shard: what other threads may ask of it, what it does when a front lies, and that it sleeps when idle.
// Nothing here depends on a time: threads wait for what they want to see.
#include "transport/shard_worker.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <thread>

#include "fake_engine.h"
#include "memfd_pair.h"
#include "test_front.h"

namespace tmem {
namespace {

class Latch {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

class ShardWorkerTest : public testing::Test {
 protected:
  ShardWorkerTest() : worker_(*fake_.engine, config(), [this](ClientId client) { broken_.push_back(client); }) {}
  ~ShardWorkerTest() override {
    if (thread_.joinable()) finish();
  }

  static ShardWorkerConfig config() {
    ShardWorkerConfig c;
    c.poll_window = std::chrono::microseconds(10);
    return c;
  }
  void start() {
    thread_ = std::thread([this] { worker_.run(); });
  }
  void finish() {
    worker_.stop();
    thread_.join();
  }
  void call(std::function<void()> closure) {
    Latch done;
    worker_.post([&] {
      closure();
      done.open();
    });
    done.wait();
  }
  void wait_until_asleep() {
    const uint64_t seen = sleeps();
    while (sleeps() == seen) std::this_thread::yield();  // asking wakes it, so that it has to fall asleep again
  }
  uint64_t sleeps() {
    uint64_t n = 0;
    call([&] { n = worker_.stats().sleeps; });
    return n;
  }
  static std::unique_ptr<MemfdPair> pair(uint32_t client) { return std::make_unique<MemfdPair>(ClientId(client), 3); }

  FakeEngine fake_;
  std::vector<ClientId> broken_;
  ShardWorker worker_;
  std::thread thread_;
};

TEST_F(ShardWorkerTest, RunsClosuresInOrderAlsoWhileItSleeps) {
  start();
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    worker_.post([&order, i] { order.push_back(i); });
    if (i % 10 == 0) wait_until_asleep();
  }
  finish();
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(ShardWorkerTest, RunsWhatWasPostedBeforeItStarted) {
  bool ran = false;
  worker_.post([&] { ran = true; });
  worker_.stop();
  worker_.run();
  EXPECT_TRUE(ran);
}

TEST_F(ShardWorkerTest, OldDefect_9_2_12_AClosureMayPostAnother) {
  start();
  Latch inner;
  worker_.post([&] { worker_.post([&] { inner.open(); }); });
  inner.wait();
}

TEST_F(ShardWorkerTest, MayRunAgainAfterItWasStopped) {
  for (int i = 0; i < 3; ++i) {
    start();
    call([] {});
    finish();
  }
}

TEST_F(ShardWorkerTest, ServesEachClientOnceAndLetsItGo) {
  auto a = pair(1), b = pair(2);
  EXPECT_TRUE(worker_.add_channel(a->channel()));
  EXPECT_FALSE(worker_.add_channel(MemfdPair(ClientId(1), 3).channel())) << "client 1 has a channel here";
  EXPECT_TRUE(worker_.add_channel(b->channel()));
  EXPECT_TRUE(worker_.remove_channel(ClientId(1)));
  EXPECT_FALSE(worker_.remove_channel(ClientId(1)));
  EXPECT_TRUE(worker_.remove_channel(ClientId(2)));
}

TEST_F(ShardWorkerTest, ALetterWaitsForOneClientNotForARoundOfAll) {
  std::vector<std::unique_ptr<MemfdPair>> pairs;
  for (uint32_t id = 1; id <= 4; ++id) {
    pairs.push_back(pair(id));
    ASSERT_TRUE(worker_.add_channel(pairs.back()->channel()));
    TestFront(pairs.back()->front_memory(), 3).submit(page_request(TMEMIF_OP_GET, 0, 1, 1, 1));
  }
  std::vector<size_t> served;
  fake_.during = [&] {
    worker_.post([&] { served.push_back(fake_.calls.size()); });
    if (fake_.calls.size() == 4) worker_.stop();
  };
  worker_.run();
  EXPECT_EQ(served, (std::vector<size_t>{1, 2, 3, 4}));
  EXPECT_NE(fake_.calls[0], fake_.calls[1]) << "each has its turn";
}

TEST_F(ShardWorkerTest, AChannelThatWasRemovedIsNotHeardAgain) {
  auto a = pair(1);
  ASSERT_TRUE(worker_.add_channel(a->channel()));
  TestFront front(a->front_memory(), 3);
  start();
  call([&] { worker_.remove_channel(ClientId(1)); });
  front.submit(page_request(TMEMIF_OP_GET, 0, 1, 1, 1));
  a->front_rings();  // the client holds the open file still
  wait_until_asleep();
  finish();
  EXPECT_TRUE(fake_.calls.empty());
  EXPECT_EQ(worker_.stats().wakeups_doorbell, 0u);
}

TEST_F(ShardWorkerTest, ABrokenRingCostsItsOwnClientOnly) {
  auto liar = pair(1), honest = pair(2);
  TestFront lies(liar->front_memory(), 3), front(honest->front_memory(), 3);
  ASSERT_TRUE(worker_.add_channel(liar->channel()));
  ASSERT_TRUE(worker_.add_channel(honest->channel()));
  start();
  wait_until_asleep();
  while (honest->front_hears(0)) {}
  tmem_store_release(&lies.ring.shared.control->request_prod, 1000);
  liar->front_rings();
  if (front.submit(page_request(TMEMIF_OP_GET, 0, 1, 1, 1, 55))) honest->front_rings();
  while (tmem_ring_front_pending(&front.ring) == 0) std::this_thread::yield();
  EXPECT_EQ(front.responses().at(0).id, 55u);
  call([] {});
  uint64_t gone = 0;
  while (gone == 0) call([&] { gone = worker_.stats().channels_broken; });
  finish();
  EXPECT_EQ(broken_, std::vector<ClientId>{ClientId(1)});
  EXPECT_FALSE(worker_.remove_channel(ClientId(1))) << "gone already";
  EXPECT_TRUE(worker_.remove_channel(ClientId(2)));
  EXPECT_EQ(worker_.stats().backends.requests, 1u) << "counted over channels that are gone";
}

TEST_F(ShardWorkerTest, WhatWasRefusedIsCountedBeyondItsClient) {
  auto a = pair(1);
  ASSERT_TRUE(worker_.add_channel(a->channel()));
  TestFront(a->front_memory(), 3).submit(page_request(TMEMIF_OP_GET, 0, 1, 1, 1));
  fake_.answer = Status::kNoPool;
  fake_.during = [&] { worker_.stop(); };
  worker_.run();
  EXPECT_EQ(worker_.stats().backends.refused.no_pool, 1u);
  EXPECT_TRUE(worker_.remove_channel(ClientId(1)));
  EXPECT_EQ(worker_.stats().backends.refused.no_pool, 1u);
}

TEST_F(ShardWorkerTest, OneBusyClientDoesNotStarveAnother) {
  auto busy = pair(1), other = pair(2);
  TestFront flood(busy->front_memory(), 3), front(other->front_memory(), 3);
  ASSERT_TRUE(worker_.add_channel(busy->channel()));
  ASSERT_TRUE(worker_.add_channel(other->channel()));
  // Each served request is followed by another at once, as if the flood never ended.
  uint64_t floods = 0;
  fake_.during = [&] {
    if (++floods < 100000 && tmem_ring_front_pending(&front.ring) == 0)
      tmem_store_release(&flood.ring.shared.control->request_prod, flood.ring.shared.control->request_prod + 1);
  };
  for (uint32_t i = 0; i < 8; ++i) flood.ring.shared.requests[i] = request_of(TMEMIF_OP_FLUSH_PAGE);
  tmem_store_release(&flood.ring.shared.control->request_prod, 8);
  front.submit(request_of(TMEMIF_OP_FLUSH_PAGE, 5));
  start();
  while (tmem_ring_front_pending(&front.ring) == 0) std::this_thread::yield();
  finish();
  EXPECT_LT(floods, 1000u) << "the other had to wait for the end of the flood";
}

TEST_F(ShardWorkerTest, DoesTheEnginesBackgroundWorkBeforeItSleeps) {
  fake_.steps_wanted = 1000;
  start();
  wait_until_asleep();
  finish();
  EXPECT_EQ(fake_.steps_wanted, 0u);
}

TEST_F(ShardWorkerTest, DoesBackgroundWorkWhileItIsBusyToo) {
  auto a = pair(1);
  TestFront front(a->front_memory(), 3);
  ASSERT_TRUE(worker_.add_channel(a->channel()));
  uint32_t left = 4096;
  uint32_t steps_while_busy = 0;
  fake_.steps_wanted = ~uint32_t{0} / 2;
  fake_.during = [&] {
    steps_while_busy = fake_.steps;
    if (left-- > 8) tmem_store_release(&front.ring.shared.control->request_prod, front.ring.shared.control->request_prod + 1);
  };
  for (uint32_t i = 0; i < 8; ++i) front.ring.shared.requests[i] = request_of(TMEMIF_OP_FLUSH_PAGE);
  tmem_store_release(&front.ring.shared.control->request_prod, 8);
  start();
  while (tmem_load_acquire(&front.ring.shared.control->response_prod) < 4096) std::this_thread::yield();
  finish();
  EXPECT_GE(steps_while_busy, 4096u / 256 - 1);
}

}  // namespace
}  // namespace tmem
