// SPDX-License-Identifier: MIT
// The front and its connection against the real backend and engine, over the real handshake, with connections that end at
// random points. Each thread owns a pool and compares it with a model of its own.
#include "connection.h"

#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "sim/test_service.h"
#include "support/page_source.h"

namespace tmem::test {
namespace {

using sim::Connection;
using sim::ConnectionOptions;
using Page = std::array<uint64_t, kPageBytes / 8>;

// Compressible, and different in each version; every eighth is one word repeated.
Page page_of(uint64_t version) {
  Page page;
  for (size_t i = 0; i < page.size(); ++i) page[i] = version * 0x9e3779b97f4a7c15u + (version % 8 == 0 ? 0 : i / 16);
  return page;
}

std::unique_ptr<Connection> connect(const TestService& service, ConnectionOptions options = {}) {
  options.socket = service.path();
  std::string error;
  auto connection = Connection::open(options, error);
  EXPECT_TRUE(connection) << error;
  return connection;
}

struct Geometry {
  uint32_t shards, order;
};
class ConnectionTest : public testing::TestWithParam<Geometry> {
 protected:
  ConnectionOptions options() const {
    ConnectionOptions options;
    options.ring_order = GetParam().order;
    return options;
  }
  TestService service_{GetParam().shards};
};
INSTANTIATE_TEST_SUITE_P(Geometries, ConnectionTest, testing::Values(Geometry{2, 6}, Geometry{1, TMEMIF_RING_ORDER_MIN}),
                         [](const auto& geometry) { return geometry.param.shards == 1 ? "Cramped" : "Normal"; });

// One thread's life: puts, gets and flushes of its own pool, each answer compared. Counts what is wrong.
uint64_t live(tmem_front* front, uint32_t pool, uint64_t seed, uint32_t operations) {
  Random random(seed);
  std::map<uint32_t, uint64_t> model;
  uint64_t wrong = tmem_front_new_pool(front, pool, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT), nullptr) != TMEMIF_OK;
  Page page;
  for (uint32_t i = 0; i < operations; ++i) {
    const auto index = static_cast<uint32_t>(random() % 200);
    const tmem_front_handle handle{pool, index, {index / 50, 0, 0}};
    const auto known = model.find(index);
    switch (random() % 8) {
      case 0: case 1: case 2:
        page = page_of(seed + i);
        wrong += tmem_front_put(front, &handle, page.data()) != TMEMIF_OK;
        model[index] = seed + i;
        break;
      case 3: {
        const uint32_t status = tmem_front_flush_page(front, &handle);  // replayed, it may find nothing
        wrong += status != TMEMIF_OK && status != TMEMIF_MISS;
        if (known != model.end()) model.erase(known);
        break;
      }
      case 4:
        if (i % 16 != 0) break;
        wrong += tmem_front_flush_object(front, &handle) > TMEMIF_MISS;
        std::erase_if(model, [&](const auto& entry) { return entry.first / 50 == index / 50; });
        break;
      default:
        const uint32_t status = tmem_front_get(front, &handle, page.data());
        wrong += known == model.end() ? status != TMEMIF_MISS : status != TMEMIF_OK || page != page_of(known->second);
    }
  }
  for (const auto& [index, version] : model) {
    const tmem_front_handle handle{pool, index, {index / 50, 0, 0}};
    wrong += tmem_front_get(front, &handle, page.data()) != TMEMIF_OK || page != page_of(version);
  }
  return wrong;
}

TEST_P(ConnectionTest, ManyThreadsSeeTheirOwnPagesWhileConnectionsAreLost) {
  const uint64_t seed = seed_or(20260102);
  SCOPED_TRACE(testing::Message() << "TMEM_SEED=" << seed);
  auto connection = connect(service_, options());
  ASSERT_TRUE(connection);
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint32_t> running{4};
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      wrong += live(connection->front(), t, seed + t * 1000000, static_cast<uint32_t>(rounds_or("TMEM_ROUNDS", 3000)));
      --running;
    });
  Random random(seed);
  uint32_t crashes = 0;
  for (; running > 0; ++crashes) {
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 40000));  // a random point; nothing depends on which
    service_.crash();
    service_.start();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(crashes, 0u);
  tmem_front_stats stats;
  tmem_front_read_stats(connection->front(), &stats);
  EXPECT_EQ(stats.put_lost, 0u);
  EXPECT_EQ(stats.get_failed, 0u);
  const tmem_front_state state = tmem_front_read_state(connection->front());
  EXPECT_TRUE(state == TMEM_FRONT_STATE_CONNECTED || state == TMEM_FRONT_STATE_RECONNECTING) << state;
  connection.reset();
  service_.crash();
  EXPECT_EQ(service_.check_invariants(), "");
}

TEST_P(ConnectionTest, AServiceThatComesBackEmptyIsToldApart) {
  std::atomic<int> forgotten{0};
  ConnectionOptions wanted = options();
  wanted.on_forgotten = [&] { ++forgotten; };
  auto connection = connect(service_, wanted);
  ASSERT_TRUE(connection);
  tmem_front* const front = connection->front();
  ASSERT_EQ(tmem_front_new_pool(front, 1, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT), nullptr), TMEMIF_OK);
  ASSERT_EQ(tmem_front_new_pool(front, 2, TMEMIF_POOL_FLAGS(0u), nullptr), TMEMIF_OK);
  Page page = page_of(1);
  const tmem_front_handle persistent{1, 5, {1, 2, 3}}, ephemeral{2, 5, {1, 2, 3}};
  ASSERT_EQ(tmem_front_put(front, &persistent, page.data()), TMEMIF_OK);
  ASSERT_EQ(tmem_front_put(front, &ephemeral, page.data()), TMEMIF_OK);
  service_.crash(true);
  service_.start();
  EXPECT_NE(tmem_front_errno(tmem_front_get(front, &persistent, page.data())), 0);
  // The first answer may have come before the connection's end was noticed only if it was in flight; now it is certain.
  EXPECT_EQ(tmem_front_get(front, &persistent, page.data()), TMEMIF_NO_POOL);
  // Its put may have been in flight, and then it was replayed into the pool that was made again.
  const uint32_t status = tmem_front_get(front, &ephemeral, page.data());
  EXPECT_TRUE(status == TMEMIF_MISS || (status == TMEMIF_OK && page == page_of(1))) << status;
  EXPECT_EQ(forgotten, 1);
  while (connection->reconnects() == 0) std::this_thread::yield();  // counted a moment after the first answer
  EXPECT_EQ(connection->reconnects(), 1u);
}

TEST_P(ConnectionTest, NobodyAtTheSocketIsOneClearError) {
  service_.crash();
  ConnectionOptions wanted = options();
  wanted.socket = service_.path();
  std::string error;
  EXPECT_FALSE(Connection::open(wanted, error));
  EXPECT_NE(error.find(service_.path()), std::string::npos) << error;
  EXPECT_NE(error.find("xen-tmemd"), std::string::npos) << error;
  service_.start();
}

TEST_P(ConnectionTest, WhenTheServiceStaysAwayCallersGetAnError) {
  ConnectionOptions wanted = options();
  wanted.give_up_after = std::chrono::milliseconds(1);
  auto connection = connect(service_, wanted);
  ASSERT_TRUE(connection);
  service_.crash();
  Page page{};
  EXPECT_EQ(tmem_front_query(connection->front(), page.data()), TMEM_FRONT_CLOSED);
  EXPECT_EQ(tmem_front_read_state(connection->front()), TMEM_FRONT_STATE_CLOSED);
}

}  // namespace
}  // namespace tmem::test
