// SPDX-License-Identifier: MIT
// Guests as the service sees them: what it does with events and nodes, on real shards and Xen's libraries in memory (fake_xen.h).
#include "daemon/guests/xen_server.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

#include <array>
#include <future>

#include "daemon/base/notify.h"
#include "daemon/fake_xen.h"

namespace tmem {
namespace {

constexpr uint32_t kDomid = 7;
constexpr uint32_t kOther = 8;
constexpr const char* kUuid = "01234567-89ab-cdef-0123-456789abcdef";

struct alignas(TMEMIF_PAGE_BYTES) Page {
  std::byte bytes[TMEMIF_PAGE_BYTES];
};

std::string back(uint32_t domid, const std::string& node) { return "backend/tmem/" + std::to_string(domid) + "/0/" + node; }
std::string front(uint32_t domid, const std::string& node) { return "/local/domain/" + std::to_string(domid) + "/device/tmem/0/" + node; }

// epoll does not take it, as where no descriptors are left.
class DeafChannel final : public Channel {
 public:
  DeafChannel(ClientId client, void* memory) : Channel(client, memory, TMEMIF_RING_ORDER_MIN) {}
  void notify() override {}
  int wait_fd() const override { return -1; }
  void acknowledge() override {}
};

class XenGuests : public testing::Test {
 protected:
  // One life of the service. The shards outlive it, as the arenas do.
  struct Life {
    Life(XenGuests& t) : test(t), registry({}, {}, 1), life(registry, t.shards_), server(t.io_, registry, life, t.shards_, t.config_, observer()) {
      std::string why;
      EXPECT_TRUE(server.open(why)) << why;
    }
    XenServer::Observer observer() {
      return {[this](const ClientEntry&, uint32_t, bool) { ++attached; }, [](const ClientEntry&, bool) {}, [this](uint32_t, const std::string& why) { refused = why; }, [this] { ++lost; }};
    }
    void serve() {
      test.shards_.start();
      server.listen();
    }
    // As after a restart.
    void adopt() {
      test.shards_.each([&](Shard& shard) {
        for (const ClientId id : shard.engine().clients()) registry.recovered(shard.engine().client_info(id).value());
      });
      EXPECT_TRUE(registry.recovery_done(0).empty());
      server.adopt();
    }
    void die() {
      test.settle();
      test.shards_.stop();
      server.close();
      test.xen_.watches.clear();
      test.xen_.events.clear();
      test.shards_.each([](Shard& shard) {
        for (const ClientId id : shard.engine().clients()) shard.worker().remove_channel(id);
      });
    }
    ClientPolicy policy(uint32_t domid) { return registry.find(ClientId(domid))->policy; }

    XenGuests& test;
    ClientRegistry registry;
    ClientLife life;
    XenServer server;
    int attached = 0;
    int lost = 0;
    std::string refused;
  };

  XenGuests() : shards_(io_, [](ClientId) {}) {
    config_.shards = 1;
    config_.ring_order_max = TMEMIF_RING_ORDER_MIN;
    config_.memory_bytes = config_.memory_bytes_max = uint64_t{8} << 20;
    xen_.granted = pages_.data();
    xen_.granted_pages = TMEMIF_QUEUE_PAGES(TMEMIF_RING_ORDER_MIN);
    std::map<std::string, FileDescriptor> nothing;
    EXPECT_EQ(shards_.open(config_, nothing, notifier_), "");
  }
  ~XenGuests() override { shards_.stop(); }

  void run_until(const std::function<bool()>& seen) {
    const auto waiting = boost::asio::make_work_guard(io_);
    io_.restart();  // it stops where nothing is awaited any more, xenstored neither
    while (!seen()) io_.run_one();
  }
  // Until there is nothing more to do.
  void settle() {
    for (int round = 0; round < 3; ++round) {
      bool answered = false;
      shards_.on_shards([](Shard&) {}, [&] { answered = true; });
      run_until([&] { return answered; });
      while (io_.poll_one() != 0) {}
    }
  }
  // What dom0's agent makes.
  void attach(uint32_t domid, const std::string& uuid = kUuid) {
    xen_.write(back(domid, "state"), "1");
    xen_.write(back(domid, "online"), "1");
    xen_.write(back(domid, "guest"), "uuid=" + uuid + " name=web1");
    xen_.write(back(domid, "policy"), "weight=100 cap-pages=512 min-pages=0 compress=1");
    xen_.write(front(domid, "state"), "1");
  }
  void identify(uint32_t domid, uint64_t epoch, bool suspended) {
    const std::string known = "nonce=000102030405060708090a0b0c0d0e0f epoch=" + std::to_string(epoch);
    xen_.write(front(domid, "identity"), known + " suspended=" + (suspended ? "1" : "0"));
  }
  void claim(uint32_t domid, uint64_t epoch) {
    run_until([&] { return xen_.read(back(domid, "state")) == "2"; });
    xen_.write(front(domid, "connect"), "version=1 queues=1 ring-order=" + std::to_string(TMEMIF_RING_ORDER_MIN));
    xen_.write(front(domid, "queues"), "0:1");
    identify(domid, epoch, false);
    xen_.write(front(domid, "state"), "3");
  }
  void connect(Life& service, uint32_t domid, uint64_t epoch = 0) {
    claim(domid, epoch);
    run_until([&] { return xen_.read(back(domid, "state")) == "4" || !service.refused.empty(); });
    ASSERT_EQ(service.refused, "");
    xen_.write(front(domid, "state"), "4");
    settle();
  }
  void suspend(uint32_t domid) {
    identify(domid, epoch_of(domid), true);
    xen_.write(front(domid, "state"), "6");
    run_until([&] { return xen_.read(back(domid, "state")) == "6"; });
    xen_.write(front(domid, "state"), "1");
  }
  // As the guest reads it.
  uint64_t epoch_of(uint32_t domid) {
    const std::string service = xen_.read(back(domid, "service"));
    const size_t at = service.find("epoch=");
    return at == std::string::npos ? 0 : std::stoull(service.substr(at + 6));
  }
  // A service with one connected guest; its epoch.
  uint64_t serve_guest(Life& life) {
    life.serve();
    attach(kDomid);
    connect(life, kDomid);
    return epoch_of(kDomid);
  }
  // The shard stands still there until the gate opens.
  std::shared_ptr<std::promise<void>> gate() {
    const auto opens = std::make_shared<std::promise<void>>();
    shards_.on_shards([opens](Shard&) { opens->get_future().wait(); }, [] {});
    return opens;
  }
  // What a crash would leave.
  uint64_t stored(uint32_t domid) {
    uint64_t epoch = 0;
    bool answered = false;
    shards_.on_shards([&](Shard& shard) { epoch = shard.engine().client_info(ClientId(domid)).value().epoch; }, [&] { answered = true; });
    run_until([&] { return answered; });
    return epoch;
  }
  boost::asio::io_context io_;
  FakeXen xen_;
  Config config_;
  Notifier notifier_;
  ShardSet shards_;
  std::array<Page, TMEMIF_QUEUE_PAGES(TMEMIF_RING_ORDER_MIN) + 1> pages_{};
};

TEST_F(XenGuests, AGuestConnectsAndHasDom0sPolicy) {
  Life service(*this);
  service.serve();
  attach(kDomid);
  connect(service, kDomid);
  EXPECT_EQ(service.attached, 1);
  EXPECT_EQ(service.policy(kDomid).cap_pages, 512u);
}

TEST_F(XenGuests, AGuestHasDom0sPolicyBeforeItsRingIsServed) {
  Life service(*this);
  service.serve();
  attach(kDomid);
  const auto opens = gate();  // so nothing is served yet
  claim(kDomid, 0);
  run_until([&] { return service.registry.find(ClientId(kDomid)) != nullptr; });
  uint64_t cap_pages = 0;
  bool answered = false;
  shards_.on_shards([&](Shard& shard) { cap_pages = shard.engine().client_info(ClientId(kDomid)).value().policy.cap_pages; }, [&] { answered = true; });
  opens->set_value();
  run_until([&] { return answered; });
  EXPECT_EQ(cap_pages, 512u);
  settle();
}

TEST_F(XenGuests, APolicyThatAShardDidNotTakeIsAppliedWhenTheGuestIsLookedAtAgain) {
  Life service(*this);
  service.serve();
  attach(kDomid);
  connect(service, kDomid);
  ClientPolicy& known = service.registry.find(ClientId(kDomid))->policy;
  const uint32_t weight = std::exchange(known.weight, kWeightMax + 1);  // no shard takes that, as where it has no room
  xen_.write(back(kDomid, "policy"), "cap-pages=9");
  settle();
  ASSERT_EQ(known.cap_pages, 512u);
  known.weight = weight;
  xen_.fire(back(kDomid, "policy"));
  settle();
  EXPECT_EQ(known.cap_pages, 9u);
}

TEST_F(XenGuests, WhatAnOperatorSaidOutlivesTheServiceAndANewWordOfDom0Counts) {
  Life first(*this);
  first.serve();
  attach(kDomid);
  connect(first, kDomid);
  ClientPolicy said = first.policy(kDomid);
  said.weight = 300;
  said.cap_pages = 0;
  first.life.set_policy(ClientId(kDomid), said, "", [](bool written) { EXPECT_TRUE(written); });
  first.die();

  Life second(*this);
  second.adopt();
  shards_.each([&](Shard& shard) { EXPECT_TRUE(shard.adopt(second.server.adopted()).empty()); });
  second.serve();
  settle();
  EXPECT_EQ(xen_.read(back(kDomid, "state")), "4") << "unseen by the guest";
  EXPECT_EQ(second.policy(kDomid), said);
  xen_.write(back(kDomid, "policy"), "weight=50 cap-pages=9 min-pages=0 compress=1");
  settle();
  EXPECT_EQ(second.policy(kDomid).weight, 50u);
  EXPECT_EQ(second.policy(kDomid).cap_pages, 9u);
}

TEST_F(XenGuests, AGuestThatAShardCannotServeAfterARestartIsToldToReconnectAndItsPoolsWait) {
  Life first(*this);
  first.serve();
  attach(kDomid);
  connect(first, kDomid);
  first.die();

  Life second(*this);
  second.adopt();
  ASSERT_EQ(second.server.adopted().size(), 1u);
  second.server.adopted().begin()->second[0] = std::make_unique<DeafChannel>(ClientId(kDomid), pages_.data());
  shards_.each([&](Shard& shard) { EXPECT_EQ(shard.adopt(second.server.adopted()), std::vector<ClientId>{ClientId(kDomid)}); });
  second.server.give_up(ClientId(kDomid));
  EXPECT_EQ(second.registry.find(ClientId(kDomid))->state, ClientState::kRecovered);
  second.serve();
  settle();
  EXPECT_EQ(xen_.read(back(kDomid, "state")), "2");
}

TEST_F(XenGuests, ASuspendedGuestThatCannotBeMappedIsStillSuspendedAndResumesLater) {
  Life service(*this);
  service.serve();
  attach(kDomid);
  connect(service, kDomid);
  const uint64_t epoch = epoch_of(kDomid);
  suspend(kDomid);
  xen_.maps = false;
  for (int failed = 0; failed < 2; ++failed) {
    service.refused.clear();
    claim(kDomid, epoch);
    run_until([&] { return !service.refused.empty() && xen_.read(back(kDomid, "state")) == "6"; });
    EXPECT_EQ(service.registry.find(ClientId(kDomid))->state, ClientState::kSuspended) << failed;
    EXPECT_EQ(stored(kDomid), stored_epoch(epoch + 1, false, true)) << failed;
    xen_.write(front(kDomid, "state"), "1");
  }
  xen_.maps = true;
  service.refused.clear();
  connect(service, kDomid, epoch);
  EXPECT_NE(xen_.read(back(kDomid, "service")).find("resumed=1"), std::string::npos);
  EXPECT_EQ(stored(kDomid), stored_epoch(epoch + 1, true));
}

TEST_F(XenGuests, AGuestThatSaysItWillBeBackKeepsItsPoolsIfTheServiceDiesThen) {
  Life first(*this);
  const uint64_t epoch = serve_guest(first);
  identify(kDomid, epoch, true);
  settle();
  EXPECT_EQ(stored(kDomid), stored_epoch(epoch, true, true));
  identify(kDomid, epoch, false);
  settle();
  EXPECT_EQ(stored(kDomid), stored_epoch(epoch, true)) << "it was called off";
  identify(kDomid, epoch, true);
  settle();
  first.die();

  Life second(*this);
  second.adopt();
  shards_.each([&](Shard& shard) { EXPECT_TRUE(shard.adopt(second.server.adopted()).empty()); });
  ASSERT_EQ(second.server.adopted().size(), 1u) << "its rings are served until its processors stop";
  EXPECT_EQ(second.registry.find(ClientId(kDomid))->state, ClientState::kConnected);
  second.serve();
  settle();
  EXPECT_EQ(xen_.read(back(kDomid, "state")), "4");
  EXPECT_EQ(stored(kDomid), stored_epoch(epoch, true, true));
  xen_.remove("backend/tmem/" + std::to_string(kDomid));
  xen_.remove("/local/domain/" + std::to_string(kDomid));
  settle();
  EXPECT_EQ(second.registry.find(ClientId(kDomid))->state, ClientState::kSuspended);
}

TEST_F(XenGuests, ASuspendedGuestWhoseDomainWentWithTheServiceWaitsAsItDid) {
  Life first(*this);
  const uint64_t epoch = serve_guest(first);
  identify(kDomid, epoch, true);
  settle();
  first.die();

  Life second(*this);
  xen_.maps = false;
  second.adopt();
  EXPECT_TRUE(second.server.adopted().empty());
  second.serve();
  settle();
  EXPECT_EQ(second.registry.find(ClientId(kDomid))->state, ClientState::kSuspended);
  EXPECT_EQ(stored(kDomid), stored_epoch(epoch, true, true));
}

TEST_F(XenGuests, AnAdoptedGuestWhoseLastWordWasThatItWillBeBackIsSuspendedWhenItGoes) {
  Life first(*this);
  const uint64_t epoch = serve_guest(first);
  first.die();
  identify(kDomid, epoch, true);  // while nobody listens

  Life second(*this);
  second.adopt();
  shards_.each([&](Shard& shard) { EXPECT_TRUE(shard.adopt(second.server.adopted()).empty()); });
  xen_.remove(back(kDomid, "state"));
  second.serve();
  settle();
  ASSERT_NE(second.registry.find(ClientId(kDomid)), nullptr);
  EXPECT_EQ(second.registry.find(ClientId(kDomid))->state, ClientState::kSuspended);
}

TEST_F(XenGuests, AnImageIsResumedWhileTheDomainThatItWasMadeOfIsStillThere) {
  Life service(*this);
  service.serve();
  attach(kDomid);
  connect(service, kDomid);
  const uint64_t epoch = epoch_of(kDomid);
  identify(kDomid, epoch, true);
  settle();
  attach(kOther);
  connect(service, kOther, epoch);
  EXPECT_NE(xen_.read(back(kOther, "service")).find("resumed=1"), std::string::npos);
  EXPECT_EQ(service.registry.entries().size(), 1u);
}

TEST_F(XenGuests, AUuidThatIsConnectedIsNotGivenToAnotherDomain) {
  Life service(*this);
  service.serve();
  attach(kDomid);
  connect(service, kDomid);
  attach(kOther);
  claim(kOther, epoch_of(kDomid));
  run_until([&] { return xen_.read(back(kOther, "state")) == "6"; });
  EXPECT_EQ(service.registry.find(ClientId(kDomid))->state, ClientState::kConnected);
}

TEST_F(XenGuests, AGuestThatIsLetGoWhileItIsAttachedIsLeftAloneUntilAllShardsHaveAnswered) {
  Life service(*this);
  service.serve();
  attach(kDomid);
  const auto before_attach = gate();
  claim(kDomid, 0);
  run_until([&] { return service.registry.find(ClientId(kDomid)) != nullptr; });
  bool passed = false;  // comes behind the answer about the attach
  shards_.on_shards([](Shard&) {}, [&] { passed = true; });
  const auto before_free = gate();
  service.server.drop(ClientId(kDomid));
  before_attach->set_value();
  run_until([&] { return passed; });
  xen_.write(front(kDomid, "state"), "3");
  while (!xen_.events.empty()) io_.poll_one();
  while (io_.poll_one() != 0) {}
  EXPECT_EQ(service.registry.entries().size(), 1u) << "admitted anew while it is being freed";
  before_free->set_value();
  run_until([&] { return xen_.read(back(kDomid, "state")) == "6"; });
  settle();
  EXPECT_EQ(service.registry.entries().size(), 0u);
  xen_.write(front(kDomid, "state"), "1");
  service.refused.clear();
  connect(service, kDomid);
}

// As it does when its memory is short, or when it is about to end.
class NoAnswer : public XenGuests, public testing::WithParamInterface<std::string> {};

TEST_P(NoAnswer, AGuestIsNotGoneBecauseXenstoredDoesNotSayThatItIsThere) {
  Life service(*this);
  service.serve();
  attach(kDomid);
  connect(service, kDomid);
  xen_.failures[GetParam()] = ENOMEM;
  xen_.fire("@releaseDomain");
  settle();
  EXPECT_EQ(service.lost, 1);
  ASSERT_NE(service.registry.find(ClientId(kDomid)), nullptr);
  EXPECT_EQ(service.registry.find(ClientId(kDomid))->state, ClientState::kConnected);
  EXPECT_EQ(xen_.read(back(kDomid, "state")), "4");
}

INSTANTIATE_TEST_SUITE_P(Of, NoAnswer, testing::Values("backend/tmem", back(kDomid, "state"), back(kDomid, "online"), front(kDomid, "state")));

TEST_F(XenGuests, AGuestWhoseNodesMayNotBeSeenAnyMoreIsGone) {
  Life service(*this);
  service.serve();
  attach(kDomid);
  connect(service, kDomid);
  xen_.failures[front(kDomid, "state")] = EACCES;
  xen_.fire(front(kDomid, "state"));
  settle();
  EXPECT_EQ(service.lost, 0);
  EXPECT_EQ(service.registry.find(ClientId(kDomid)), nullptr);
}

TEST_F(XenGuests, AGuestThatIsRenamedIsListedByItsNewName) {
  Life service(*this);
  service.serve();
  attach(kDomid);
  connect(service, kDomid);
  xen_.write(back(kDomid, "guest"), std::string("uuid=") + kUuid + " name=web2");
  settle();
  EXPECT_EQ(service.registry.find(ClientId(kDomid))->name, "web2");
  shards_.stop();
  shards_.each([](Shard& shard) { EXPECT_STREQ(shard.engine().client_info(ClientId(kDomid)).value().name.data(), "web2"); });
}

TEST_F(XenGuests, AGuestThatWritesInALoopIsLookedAtOnceForAll) {
  Life service(*this);
  service.serve();
  attach(kDomid);
  connect(service, kDomid);
  const unsigned before = xen_.reads[back(kDomid, "state")];
  for (int i = 0; i < 900; ++i) xen_.write(front(kDomid, "x"), "1");
  run_until([&] { return xen_.events.empty(); });
  EXPECT_LE(xen_.reads[back(kDomid, "state")], before + 2);
}

TEST_F(XenGuests, AGuestCostsOneWatchAndItsNodesNoLookAtOthers) {
  Life service(*this);
  service.serve();
  attach(kDomid);
  connect(service, kDomid);
  attach(kOther, "11234567-89ab-cdef-0123-456789abcdef");
  connect(service, kOther);
  const unsigned before = xen_.reads[back(kOther, "state")];
  xen_.write(back(kDomid, "policy"), "weight=100 cap-pages=9 min-pages=0 compress=1");
  settle();
  EXPECT_EQ(service.policy(kDomid).cap_pages, 9u);
  EXPECT_EQ(xen_.reads[back(kOther, "state")], before);
  EXPECT_EQ(xen_.watches.size(), 4u);  // nodes.md: two of the service's own
  xen_.remove("backend/tmem/" + std::to_string(kOther) + "/0");
  settle();
  EXPECT_EQ(service.registry.find(ClientId(kOther)), nullptr);
}

TEST_F(XenGuests, EventsWithoutEndLeaveTheMainLoopToOthers) {
  Life service(*this);
  service.serve();
  attach(kDomid);
  connect(service, kDomid);
  bool others = false;
  for (int i = 0; i < 100000; ++i) xen_.write(front(kDomid, "x"), "1");
  run_until([&] { return xen_.events.size() < 100000; });
  EXPECT_GT(xen_.events.size(), 90000u) << "one turn takes some of them";
  boost::asio::post(io_, [&] { others = true; });
  run_until([&] { return others; });
  EXPECT_GT(xen_.events.size(), 90000u);
  run_until([&] { return xen_.events.empty(); });
}

TEST_F(XenGuests, ManyGuestsAreServedInTurnsAndAllOfThem) {
  constexpr uint32_t kGuests = 60;
  Life service(*this);
  for (uint32_t domid = 1; domid <= kGuests; ++domid) attach(domid);
  const auto offered = [&] {
    uint32_t count = 0;
    for (uint32_t domid = 1; domid <= kGuests; ++domid) count += xen_.read(back(domid, "state")) == "2" ? 1 : 0;
    return count;
  };
  service.serve();
  bool others = false;
  boost::asio::post(io_, [&] { others = true; });
  run_until([&] { return others; });
  EXPECT_LT(offered(), kGuests);
  run_until([&] { return offered() == kGuests; });
}

}  // namespace
}  // namespace tmem
