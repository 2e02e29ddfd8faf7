// SPDX-License-Identifier: MIT
// The memfd transport: the suite of all transports, its handshake, and what a hostile client does with shared descriptors.
#include "memfd_pair.h"

#include <unistd.h>

#include <string>

#include "channel_suite.h"

namespace tmem {
namespace {

std::unique_ptr<ChannelPair> memfd_pair(ClientId client, uint32_t order) { return std::make_unique<MemfdPair>(client, order); }

INSTANTIATE_TEST_SUITE_P(Memfd, ChannelSuite,
                         testing::Combine(testing::Values(&memfd_pair),
                                          testing::Values(TMEMIF_RING_ORDER_MIN, TMEMIF_RING_ORDER_DEFAULT)));

constexpr uint32_t kOrder = TMEMIF_RING_ORDER_MIN;
constexpr uint32_t kShards = 4;

TEST(MemfdHostile, AClientThatMakesItsDoorbellsBlockingCannotMakeTheServiceWait) {
  MemfdPair pair(ClientId(1), kOrder);
  const std::unique_ptr<Channel> channel = pair.channel();
  for (const FileDescriptor& fd : pair.welcome.fds) ::fcntl(fd.get(), F_SETFL, 0);  // O_NONBLOCK off, for whoever shares it
  channel->acknowledge();
  for (int i = 0; i < 100000; ++i) channel->notify();
  const uint64_t most = ~uint64_t{0} - 1;
  ASSERT_EQ(::write(pair.welcome.fds[1].get(), &most, sizeof(most)), 8);  // the counter is full
  channel->acknowledge();
  channel->notify();
}

TEST(MemfdHostile, AClientThatIsGoneCannotKillTheService) {
  MemfdPair pair(ClientId(1), kOrder);
  const std::unique_ptr<Channel> channel = pair.channel();
  pair.welcome.fds.clear();
  channel->notify();  // no SIGPIPE
  channel->acknowledge();
}

TEST(MemfdHostile, TheRegionCanNeitherShrinkNorGrowNorBeUnsealed) {
  MemfdPair pair(ClientId(1), kOrder);
  const int region = pair.welcome.fds[0].get();
  EXPECT_NE(::ftruncate(region, 0), 0);
  EXPECT_NE(::ftruncate(region, 1 << 30), 0);
  EXPECT_NE(::fcntl(region, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
}

TEST(MemfdHostile, APunchedHoleReadsAsZeroesAndIsNoRequest) {
  MemfdPair pair(ClientId(1), kOrder);
  FakeEngine fake;
  const std::unique_ptr<Channel> channel = pair.channel();
  TestFront front(pair.front_memory(), kOrder);
  Backend backend(*channel, *fake.engine, 1, RingState::kNew);
  front.submit(page_request(TMEMIF_OP_PUT, 0, 1, 1, 1));
  ASSERT_EQ(::fallocate(pair.welcome.fds[0].get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, TMEMIF_PAGE_BYTES,
                        TMEMIF_PAGE_BYTES), 0);
  EXPECT_EQ(backend.drain(64), Backend::Progress::kWorked);
  EXPECT_EQ(backend.stats().requests_malformed, 1u);
}

TEST(MemfdRegionTest, OldDefect_9_2_10_ARegionThatCannotBeMappedIsRefused) {
  const auto region = MemfdRegion::create(1, kOrder);
  ASSERT_TRUE(region);
  const std::string path = "/proc/self/fd/" + std::to_string(region->fd());
  FileDescriptor read_only(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(read_only.valid());
  EXPECT_FALSE(MemfdRegion::adopt(std::move(read_only), 1, kOrder));
  EXPECT_FALSE(MemfdRegion::adopt(FileDescriptor(), 1, kOrder));
  EXPECT_TRUE(MemfdRegion::adopt(duplicate(region->fd()), 1, kOrder)) << "the same, with all that it takes";
}

TEST(MemfdRegionTest, IsAdoptedOnlyIfItIsOneOfOurs) {
  const auto region = MemfdRegion::create(2, kOrder);
  ASSERT_TRUE(region);
  std::memset(region->queue(1), 7, 1);
  const auto again = MemfdRegion::adopt(duplicate(region->fd()), 2, kOrder);
  ASSERT_TRUE(again);
  EXPECT_EQ(*static_cast<char*>(again->queue(1)), 7);
  EXPECT_FALSE(MemfdRegion::adopt(duplicate(region->fd()), 1, kOrder)) << "another size";
  FileDescriptor unsealed(::memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(unsealed.get(), static_cast<off_t>(MemfdRegion::bytes(2, kOrder))), 0);
  EXPECT_FALSE(MemfdRegion::adopt(std::move(unsealed), 2, kOrder));
  for (uint32_t queues : {0u, TMEMIF_QUEUES_MAX + 1}) EXPECT_FALSE(MemfdRegion::create(queues, kOrder));
  for (uint32_t order : {0u, TMEMIF_RING_ORDER_MIN - 1, TMEMIF_RING_ORDER_MAX + 1, 32u}) EXPECT_FALSE(MemfdRegion::create(1, order));
}

TEST(MemfdHello, EachFieldIsChecked) {
  const auto check = [](auto change, size_t bytes = sizeof(tmem_memfd_hello)) {
    tmem_memfd_hello hello = hello_of(2, kOrder);
    change(hello);
    return check_hello(&hello, bytes, kShards);
  };
  const auto nothing = [](tmem_memfd_hello&) {};
  EXPECT_EQ(check(nothing), TMEM_MEMFD_WELCOME);
  EXPECT_EQ(check([](auto& h) { h.queues = 0; }), TMEM_MEMFD_WELCOME);
  EXPECT_EQ(check([](auto& h) { h.queues = kShards; }), TMEM_MEMFD_WELCOME);
  EXPECT_EQ(check([](auto& h) { std::memset(h.name, 0, sizeof(h.name)); }), TMEM_MEMFD_WELCOME);
  for (size_t bytes = 0; bytes < sizeof(tmem_memfd_hello); ++bytes) EXPECT_EQ(check(nothing, bytes), TMEM_MEMFD_BAD_HELLO) << bytes;
  EXPECT_EQ(check([](auto& h) { h.magic ^= 1; }), TMEM_MEMFD_BAD_HELLO);
  EXPECT_EQ(check([](auto& h) { h.version = 0; }), TMEM_MEMFD_BAD_VERSION);
  EXPECT_EQ(check([](auto& h) { h.version = 2; }, 12), TMEM_MEMFD_BAD_VERSION) << "the prologue is enough to say so";
  EXPECT_EQ(check([](auto& h) { h.flags = 1; }), TMEM_MEMFD_BAD_HELLO);
  EXPECT_EQ(check([](auto& h) { h.queues = kShards + 1; }), TMEM_MEMFD_BAD_HELLO);
  EXPECT_EQ(check([](auto& h) { h.ring_order = TMEMIF_RING_ORDER_MIN - 1; }), TMEM_MEMFD_BAD_HELLO);
  EXPECT_EQ(check([](auto& h) { h.ring_order = TMEMIF_RING_ORDER_MAX + 1; }), TMEM_MEMFD_BAD_HELLO);
  EXPECT_EQ(check([](auto& h) { h.uuid[0] = 0; }), TMEM_MEMFD_BAD_HELLO) << "the nil uuid is nobody";
  EXPECT_EQ(check([](auto& h) { std::memset(h.name, 'x', sizeof(h.name)); }), TMEM_MEMFD_BAD_HELLO) << "no end";
  EXPECT_EQ(check([](auto& h) { h.name[1] = '\n'; }), TMEM_MEMFD_BAD_HELLO);
  EXPECT_EQ(check([](auto& h) { h.name[63] = 'x', h.name[62] = 0; }), TMEM_MEMFD_BAD_HELLO) << "bytes behind the end";
}

TEST(MemfdHello, IsReadWithoutWaitingAndTheKernelSaysWhoItIs) {
  auto [server, client] = socket_pair();
  MemfdPeer peer;
  tmem_memfd_result why = TMEM_MEMFD_WELCOME;
  EXPECT_EQ(receive_hello(server.get(), kShards, peer, why), HelloProgress::kAgain);
  tmem_memfd_hello hello = hello_of(0, kOrder);
  ASSERT_EQ(::send(client.get(), &hello, sizeof(hello), 0), static_cast<ssize_t>(sizeof(hello)));
  EXPECT_EQ(receive_hello(server.get(), kShards, peer, why), HelloProgress::kReady);
  EXPECT_EQ(peer.hello.queues, kShards);
  EXPECT_EQ(peer.uid, ::getuid());
  EXPECT_EQ(peer.pid, ::getpid());
  EXPECT_EQ(peer.uuid().byte[0], 1);

  std::array<char, sizeof(hello) + 1> longer{};
  std::memcpy(longer.data(), &hello, sizeof(hello));
  ASSERT_EQ(::send(client.get(), longer.data(), longer.size(), 0), static_cast<ssize_t>(longer.size()));
  EXPECT_EQ(receive_hello(server.get(), kShards, peer, why), HelloProgress::kRefused);
  EXPECT_EQ(why, TMEM_MEMFD_BAD_HELLO);
}

TEST(MemfdHello, AClientThatLeavesIsNoticed) {
  auto ends = socket_pair();
  { const FileDescriptor gone = std::move(ends[1]); }
  MemfdPeer peer;
  tmem_memfd_result why;
  EXPECT_EQ(receive_hello(ends[0].get(), kShards, peer, why), HelloProgress::kClosed);
  EXPECT_FALSE(send_refusal(ends[0].get(), TMEM_MEMFD_FULL)) << "and no SIGPIPE";
}

TEST(MemfdWelcome, CarriesOneRegionAndTwoDoorbellsForEachQueue) {
  for (uint32_t queues : {1u, 3u, TMEMIF_QUEUES_MAX}) {
    auto [server, client] = socket_pair();
    auto connection = make_connection(queues, kOrder);
    ASSERT_TRUE(connection);
    tmem_memfd_welcome welcome{};
    welcome.client = 5;
    welcome.epoch = 6;
    ASSERT_TRUE(send_welcome(server.get(), welcome, *connection));
    const Welcome w = receive_welcome(client.get());
    EXPECT_EQ(w.bytes, static_cast<ssize_t>(sizeof(tmem_memfd_welcome)));
    EXPECT_EQ(w.fds.size(), 1 + 2 * queues);
    EXPECT_EQ(w.message.magic, TMEM_MEMFD_MAGIC);
    EXPECT_EQ(w.message.result, uint32_t{TMEM_MEMFD_WELCOME});
    EXPECT_EQ(w.message.queues, queues);
    EXPECT_EQ(w.message.ring_order, kOrder);
    EXPECT_EQ(w.message.client, 5u);
    EXPECT_EQ(w.message.epoch, 6u);
    EXPECT_TRUE(connection->client_responses.empty()) << "the client's ends are the client's alone";
  }
}

TEST(MemfdWelcome, ARefusalCarriesNothingButTheReason) {
  auto [server, client] = socket_pair();
  ASSERT_TRUE(send_refusal(server.get(), TMEM_MEMFD_BAD_VERSION));
  const Welcome w = receive_welcome(client.get());
  EXPECT_EQ(w.message.result, uint32_t{TMEM_MEMFD_BAD_VERSION});
  EXPECT_EQ(w.message.version, TMEMIF_VERSION);
  EXPECT_TRUE(w.fds.empty());
}

}  // namespace
}  // namespace tmem
