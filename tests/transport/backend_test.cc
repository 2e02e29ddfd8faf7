// SPDX-License-Identifier: MIT
// The backend alone: every request reaches the engine as it was meant or not at all, and every answer reaches the front.
#include "transport/backend.h"

#include <gtest/gtest.h>

#include <set>

#include "fake_engine.h"
#include "test_front.h"

namespace tmem {
namespace {

constexpr uint64_t kAllOnes = ~uint64_t{0};

class BackendTest : public testing::TestWithParam<uint32_t> {
 protected:
  BackendTest()
      : memory_(SimulatedChannel::memory(GetParam())), channel_(ClientId(9), memory_, GetParam()),
        front_(memory_->data(), GetParam()), backend_(std::make_unique<Backend>(channel_, *fake_.engine, 4, RingState::kNew)) {
    channel_.notifications = 0;
  }

  tmemif_response ask(const tmemif_request& request) {
    front_.submit(request);
    EXPECT_EQ(backend_->drain(kDrainRequestsMax), Backend::Progress::kWorked);
    const auto responses = front_.responses();
    EXPECT_EQ(responses.size(), 1u);
    EXPECT_EQ(responses.at(0).id, request.id);
    return responses.at(0);
  }
  bool in_queue(const std::byte* p) const {
    const auto* base = reinterpret_cast<const std::byte*>(memory_->data());
    return p >= base && p < base + memory_->size() * sizeof(QueuePage);
  }

  FakeEngine fake_;
  std::shared_ptr<SimulatedChannel::Memory> memory_;
  SimulatedChannel channel_;
  TestFront front_;
  std::unique_ptr<Backend> backend_;
};

tmemif_request valid(uint8_t op) {
  tmemif_request r = request_of(op, 77);
  if (op == TMEMIF_OP_QUERY || op == TMEMIF_OP_PUT || op == TMEMIF_OP_GET) r.slot = 0;
  return r;
}

TEST_P(BackendTest, EachOpReachesTheEngineWithItsArguments) {
  tmemif_request r = page_request(TMEMIF_OP_PUT, 2, 3, 5, 7);
  r.object[1] = 6, r.object[2] = 8;
  const auto page_op = [&](uint8_t op, uint16_t slot) { r.op = op, r.slot = slot, ask(r); };
  page_op(TMEMIF_OP_PUT, 2);
  page_op(TMEMIF_OP_GET, 3);
  page_op(TMEMIF_OP_FLUSH_PAGE, TMEMIF_NO_SLOT);
  r.index = 0;
  page_op(TMEMIF_OP_FLUSH_OBJECT, TMEMIF_NO_SLOT);

  tmemif_request pool = request_of(TMEMIF_OP_NEW_POOL);
  pool.pool = 11;
  pool.pool_flags = TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT);
  ask(pool);
  pool.op = TMEMIF_OP_JOIN_POOL;
  pool.pool_flags = TMEMIF_POOL_FLAGS(TMEMIF_POOL_SHARED);
  for (int i = 0; i < 16; ++i) reinterpret_cast<uint8_t*>(pool.value)[i] = static_cast<uint8_t>(i + 1);
  ask(pool);
  pool = request_of(TMEMIF_OP_LEAVE_POOL);
  pool.pool = 11;
  ask(pool);
  pool.op = TMEMIF_OP_DESTROY_POOL;
  ask(pool);

  const std::vector<std::string> expected = {
      "put 9 3 {5,6,8} 7 ", "get 9 3 {5,6,8} 7 ", "flush_page 9 3 {5,6,8} 7 ", "flush_object 9 3 {5,6,8}",
      "new_pool 9 11 16777217", "join_pool 9 11 16777218 1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.",
      "leave_pool 9 11", "destroy_pool 9 11"};
  EXPECT_EQ(fake_.calls, expected);
}

TEST_P(BackendTest, PagesGoOutAndComeBackByteForByte) {
  front_.fill_slot(1, 42);
  EXPECT_EQ(ask(page_request(TMEMIF_OP_PUT, 1, 0, 1, 2)).status, TMEMIF_OK);
  const std::vector<std::byte> sent(front_.slot(1), front_.slot(1) + kPageBytes);
  const tmemif_response r = ask(page_request(TMEMIF_OP_GET, 4, 0, 1, 2));
  EXPECT_EQ(r.status, TMEMIF_OK);
  EXPECT_EQ(r.flags, 0);
  EXPECT_TRUE(std::equal(sent.begin(), sent.end(), front_.slot(4)));
}

TEST_P(BackendTest, SameFilledPagesTravelAsAWordInBothDirections) {
  tmemif_request put = page_request(TMEMIF_OP_PUT, TMEMIF_NO_SLOT, 0, 1, 2);
  put.flags = TMEMIF_REQUEST_SAME_FILLED;
  put.value[0] = 0x1122334455667788;
  EXPECT_EQ(ask(put).status, TMEMIF_OK);
  front_.fill_slot(0, 1);
  const std::vector<std::byte> before(front_.slot(0), front_.slot(0) + kPageBytes);
  const tmemif_response r = ask(page_request(TMEMIF_OP_GET, 0, 0, 1, 2));
  EXPECT_EQ(r.flags, TMEMIF_RESPONSE_SAME_FILLED);
  EXPECT_EQ(r.value, 0x1122334455667788u);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), front_.slot(0))) << "the slot was written";
}

TEST_P(BackendTest, QueryTellsWhatTheServiceHas) {
  front_.fill_slot(5, 1);
  EXPECT_EQ(ask(page_request(TMEMIF_OP_QUERY, 5, 0, 0, 0)).status, TMEMIF_OK);
  tmemif_capabilities c;
  std::memcpy(&c, front_.slot(5), sizeof(c));
  EXPECT_EQ(c.version, TMEMIF_VERSION);
  EXPECT_EQ(c.features, 31u);
  EXPECT_EQ(c.shards, 4u);
  EXPECT_EQ(c.pools_max, kPoolsPerClientMax);
  EXPECT_EQ(c.credits_max, kCreditsPerQueueMax);
  EXPECT_TRUE(std::all_of(front_.slot(5) + sizeof(c), front_.slot(5) + kPageBytes, [](std::byte b) { return b == std::byte{}; }));
}

TEST_P(BackendTest, EveryStatusOfTheEngineHasItsOwnAnswer) {
  std::set<uint16_t> seen;
  for (unsigned s = 0; s <= static_cast<unsigned>(Status::kNoCredit); ++s) {
    fake_.answer = static_cast<Status>(s);
    const uint16_t status = ask(page_request(TMEMIF_OP_PUT, 0, 1, 1, 1)).status;
    EXPECT_TRUE(seen.insert(status).second) << "status " << s << " shares an answer";
    fake_.answer = static_cast<Status>(s);
    EXPECT_EQ(ask(page_request(TMEMIF_OP_GET, 0, 1, 99, s)).status, s == 0 ? uint16_t{TMEMIF_MISS} : status);
  }
}

TEST_P(BackendTest, FieldsThatAnOpDoesNotUseMustBeZero) {
  struct Field {
    const char* name;
    std::set<int> used_by;
    void (*set)(tmemif_request&);
  };
  const std::set<int> page_ops = {TMEMIF_OP_PUT, TMEMIF_OP_GET, TMEMIF_OP_FLUSH_PAGE};
  std::set<int> object_ops = page_ops, pool_ops = page_ops;
  object_ops.insert(TMEMIF_OP_FLUSH_OBJECT);
  for (int op = TMEMIF_OP_NEW_POOL; op <= int{TMEMIF_OP_MAX}; ++op) pool_ops.insert(op);
  const std::set<int> makes_pool = {TMEMIF_OP_NEW_POOL, TMEMIF_OP_JOIN_POOL};
  const Field fields[] = {
      {"pool", pool_ops, [](tmemif_request& r) { r.pool = 1; }},
      {"index", page_ops, [](tmemif_request& r) { r.index = 1; }},
      {"object[0]", object_ops, [](tmemif_request& r) { r.object[0] = 1; }},
      {"object[1]", object_ops, [](tmemif_request& r) { r.object[1] = kAllOnes; }},
      {"object[2]", object_ops, [](tmemif_request& r) { r.object[2] = 1; }},
      {"pool_flags", makes_pool, [](tmemif_request& r) { r.pool_flags = 1; }},
      {"reserved", {}, [](tmemif_request& r) { r.reserved = 0x80000000; }},
      {"value[0]", {TMEMIF_OP_JOIN_POOL}, [](tmemif_request& r) { r.value[0] = 1; }},
      {"value[1]", {TMEMIF_OP_JOIN_POOL}, [](tmemif_request& r) { r.value[1] = 1; }},
      {"credit", {TMEMIF_OP_PUT}, [](tmemif_request& r) { r.flags = TMEMIF_REQUEST_CREDIT; }},
      {"unknown flag", {}, [](tmemif_request& r) { r.flags = 0x04; }},
      {"high flag", {}, [](tmemif_request& r) { r.flags = 0x80; }},
  };
  for (int op = 1; op <= int{TMEMIF_OP_MAX}; ++op) {
    EXPECT_TRUE(well_formed(valid(static_cast<uint8_t>(op)), front_.entries())) << "op " << op;
    for (const Field& field : fields) {
      tmemif_request r = valid(static_cast<uint8_t>(op));
      field.set(r);
      fake_.calls.clear();
      const uint64_t malformed = backend_->stats().requests_malformed;
      const bool refused = ask(r).status == TMEMIF_BAD_REQUEST;
      EXPECT_EQ(refused, field.used_by.count(op) == 0) << "op " << op << ", " << field.name;
      EXPECT_EQ(backend_->stats().requests_malformed, malformed + refused);
      EXPECT_EQ(fake_.calls.empty(), refused || op == TMEMIF_OP_QUERY);
    }
  }
}

TEST_P(BackendTest, UnknownOpsAreAnsweredAndCounted) {
  for (int op : {0, static_cast<int>(TMEMIF_OP_MAX) + 1, 100, 255}) {
    EXPECT_EQ(ask(request_of(static_cast<uint8_t>(op))).status, TMEMIF_BAD_REQUEST) << op;
  }
  EXPECT_EQ(backend_->stats().requests_malformed, 4u);
  EXPECT_TRUE(fake_.calls.empty());
}

TEST_P(BackendTest, SlotsOutOfRangeAreRefused) {
  for (uint8_t op : {TMEMIF_OP_QUERY, TMEMIF_OP_PUT, TMEMIF_OP_GET}) {
    for (uint32_t slot : {front_.entries(), front_.entries() + 1, 0x7fffu, 0xfffeu, uint32_t{TMEMIF_NO_SLOT}}) {
      tmemif_request r = valid(op);
      r.slot = static_cast<uint16_t>(slot);
      EXPECT_EQ(ask(r).status, TMEMIF_BAD_REQUEST) << "op " << +op << " slot " << slot;
    }
  }
  for (uint8_t op : {TMEMIF_OP_FLUSH_PAGE, TMEMIF_OP_NEW_POOL, TMEMIF_OP_FLUSH_OBJECT}) {
    tmemif_request r = valid(op);
    r.slot = 0;
    EXPECT_EQ(ask(r).status, TMEMIF_BAD_REQUEST) << "op " << +op << " names a slot that it does not use";
  }
  tmemif_request r = valid(TMEMIF_OP_PUT);
  r.flags = TMEMIF_REQUEST_SAME_FILLED;
  EXPECT_EQ(ask(r).status, TMEMIF_BAD_REQUEST) << "a word and a slot";
  EXPECT_TRUE(fake_.calls.empty());
}

TEST_P(BackendTest, TheLastSlotIsASlot) {
  const auto last = static_cast<uint16_t>(front_.entries() - 1);
  front_.fill_slot(last, 3);
  EXPECT_EQ(ask(page_request(TMEMIF_OP_PUT, last, 0, 1, 1)).status, TMEMIF_OK);
}

TEST_P(BackendTest, ARequestThatChangesWhileItIsServedIsServedAsItWasRead) {
  front_.submit(page_request(TMEMIF_OP_PUT, 0, 1, 1, 1, 5));
  front_.submit(page_request(TMEMIF_OP_FLUSH_PAGE, TMEMIF_NO_SLOT, 1, 1, 1, 6));
  fake_.during = [&] {
    for (uint32_t i = 0; i < front_.entries(); ++i) std::memset(&front_.ring.shared.requests[i], 0xff, sizeof(tmemif_request));
    std::memset(front_.slot(0), 0xee, kPageBytes);
  };
  ASSERT_EQ(backend_->drain(kDrainRequestsMax), Backend::Progress::kWorked);
  const std::vector<std::string> expected = {"put 9 1 {1,0,0} 1 ", "flush_page 9 1 {1,0,0} 1 "};
  EXPECT_EQ(fake_.calls, expected) << "and the page did not change under the engine";
  EXPECT_FALSE(in_queue(fake_.last_page)) << "the engine compresses from private memory";
  EXPECT_EQ(front_.responses().at(1).id, 6u);
}

TEST_P(BackendTest, ABrokenProducerIsGivenUpAndTheEngineIsNotCalled) {
  for (uint32_t lie : {front_.entries() + 1, 0x80000000u, 0xffffffffu}) {
    front_.ring.shared.control->request_prod = lie;
    EXPECT_EQ(backend_->drain(kDrainRequestsMax), Backend::Progress::kBroken) << lie;
  }
  EXPECT_TRUE(fake_.calls.empty());
  EXPECT_EQ(backend_->stats().requests, 0u);
}

TEST_P(BackendTest, OneDrainOneDoorbellAndOnlyForASleeper) {
  for (int i = 0; i < 5; ++i) front_.write(valid(TMEMIF_OP_FLUSH_PAGE));
  front_.publish();
  EXPECT_EQ(tmem_ring_front_arm(&front_.ring), 0);
  backend_->drain(kDrainRequestsMax);
  EXPECT_EQ(channel_.notifications, 1u);
  EXPECT_EQ(front_.responses().size(), 5u);
  ask(valid(TMEMIF_OP_FLUSH_PAGE));
  EXPECT_EQ(channel_.notifications, 1u) << "nobody asked";
  EXPECT_EQ(backend_->stats().doorbells_sent, 1u);
  EXPECT_EQ(backend_->stats().doorbells_saved, 1u);
}

TEST_P(BackendTest, ADrainStopsAtItsBound) {
  for (uint32_t i = 0; i < front_.entries(); ++i) front_.submit(valid(TMEMIF_OP_FLUSH_PAGE));
  EXPECT_EQ(backend_->drain(3), Backend::Progress::kWorked);
  EXPECT_EQ(front_.responses().size(), 3u);
  EXPECT_FALSE(backend_->arm()) << "there is more";
  while (backend_->drain(kDrainRequestsMax) == Backend::Progress::kWorked) {}
  EXPECT_EQ(front_.responses().size(), front_.entries() - 3);
  EXPECT_TRUE(backend_->arm());
}

TEST_P(BackendTest, ADrainStopsAfterSoMuchWorkAndGoesOnThere) {
  fake_.work_per_call = kDrainWorkMax / 2;
  const uint32_t count = std::min(front_.entries() - 1, kDrainRequestsMax);
  for (uint32_t i = 0; i < count; ++i) {
    tmemif_request request = valid(TMEMIF_OP_FLUSH_PAGE);
    request.index = i;
    front_.submit(request);
  }
  EXPECT_EQ(backend_->drain(kDrainRequestsMax), Backend::Progress::kWorked);
  EXPECT_EQ(front_.responses().size(), 2u);
  EXPECT_FALSE(backend_->arm()) << "there is more";
  while (backend_->drain(kDrainRequestsMax) == Backend::Progress::kWorked) {}
  EXPECT_EQ(front_.responses().size(), count - 2);
  ASSERT_EQ(fake_.calls.size(), count) << "each once";
  for (uint32_t i = 0; i < count; ++i) EXPECT_EQ(fake_.calls[i], "flush_page 9 0 {0,0,0} " + std::to_string(i) + " ");
}

TEST_P(BackendTest, AFrontThatNeverConsumesHarmsOnlyItself) {
  for (uint32_t round = 0; round < 10; ++round) {
    front_.ring.shared.control->request_prod += front_.entries();  // says so, whatever lies there
    while (backend_->drain(kDrainRequestsMax) == Backend::Progress::kWorked) {}
  }
  EXPECT_EQ(backend_->stats().requests, 10u * front_.entries());
  EXPECT_EQ(backend_->stats().requests_malformed, 10u * front_.entries()) << "zeroed memory is no request";
}

TEST_P(BackendTest, WhoPutsIsGivenCreditsAndWhoDoesNotKeepsNoSpace) {
  EXPECT_EQ(ask(valid(TMEMIF_OP_GET)).credits_unspent, 0u);
  EXPECT_EQ(fake_.credits, 0u);
  EXPECT_EQ(ask(valid(TMEMIF_OP_PUT)).credits_unspent, kCreditsPerQueueMax);
  EXPECT_EQ(fake_.credits, kCreditsPerQueueMax);
}

TEST_P(BackendTest, TheLevelOfCreditsFollowsTheEngine) {
  fake_.credits_available = 2;
  tmemif_request put = valid(TMEMIF_OP_PUT);
  EXPECT_EQ(ask(put).credits_unspent, 2u);
  put.flags = TMEMIF_REQUEST_CREDIT;
  fake_.credits_available = 0;  // no more space: the level falls with each put
  EXPECT_EQ(ask(put).credits_unspent, 1u);
  EXPECT_EQ(ask(put).credits_unspent, 0u);
  EXPECT_EQ(ask(put).status, TMEMIF_OK) << "there is room without one";
  fake_.answer = Status::kNoSpace;
  EXPECT_EQ(ask(put).status, TMEMIF_NO_CREDIT);
}

TEST_P(BackendTest, ALaterBackendReservesWhatTheFrontWasToldAndRingsOnce) {
  fake_.credits_available = 20;
  ask(valid(TMEMIF_OP_PUT));
  front_.submit(valid(TMEMIF_OP_GET));  // not served before the service dies
  backend_.reset();
  EXPECT_EQ(fake_.credits, 0u);
  const uint32_t notifications = channel_.notifications;
  backend_ = std::make_unique<Backend>(channel_, *fake_.engine, 4, RingState::kLiving);
  EXPECT_EQ(fake_.credits, 20u);
  EXPECT_EQ(channel_.notifications, notifications + 1);
  EXPECT_EQ(backend_->stats().credits_not_kept, 0u);
  backend_->drain(kDrainRequestsMax);
  const auto responses = front_.responses();
  ASSERT_EQ(responses.size(), 1u);
  EXPECT_EQ(responses[0].status, TMEMIF_OK);
  EXPECT_EQ(responses[0].credits_unspent, 20u);
}

TEST_P(BackendTest, RoomThatWasKeptForAClientThatWasAwayIsThereOnItsNewRing) {
  backend_.reset();
  fake_.credits = 12;  // the service kept it while nobody was connected
  auto memory = SimulatedChannel::memory(GetParam());
  SimulatedChannel channel(ClientId(9), memory, GetParam());
  TestFront front(memory->data(), GetParam());
  Backend backend(channel, *fake_.engine, 4, RingState::kNew);
  EXPECT_EQ(fake_.credits, 12u);
  tmemif_request put = valid(TMEMIF_OP_PUT);
  put.flags = TMEMIF_REQUEST_CREDIT;  // replayed
  front.submit(put);
  backend.drain(kDrainRequestsMax);
  EXPECT_EQ(front.responses().at(0).status, TMEMIF_OK);
}

TEST_P(BackendTest, ABatchNeverWritesOverTheLastPublishedResponse) {
  const uint8_t told = ask(valid(TMEMIF_OP_PUT)).credits_unspent;
  for (uint32_t i = 0; i < front_.entries(); ++i) front_.submit(valid(TMEMIF_OP_FLUSH_PAGE));
  const uint32_t published = front_.ring.shared.control->response_prod;
  const tmemif_response& last = front_.ring.shared.responses[(published - 1) & (front_.entries() - 1)];
  const uint32_t last_id = last.id;
  fake_.during = [&] {
    EXPECT_EQ(front_.ring.shared.control->response_prod, published);
    EXPECT_EQ(last.credits_unspent, told);
    EXPECT_EQ(last.id, last_id);
  };
  EXPECT_EQ(backend_->drain(kDrainRequestsMax), Backend::Progress::kWorked);
  EXPECT_EQ(front_.responses().size(), std::min(front_.entries() - 1, kDrainRequestsMax));
}

TEST_P(BackendTest, ALieAboutCreditsIsBoundedAndSpaceThatIsMissingIsCounted) {
  backend_.reset();
  front_.ring.shared.responses[front_.entries() - 1].credits_unspent = 255;
  fake_.credits_available = 5;
  backend_ = std::make_unique<Backend>(channel_, *fake_.engine, 4, RingState::kLiving);
  EXPECT_EQ(fake_.credits_wanted, kCreditsPerQueueMax);
  EXPECT_EQ(backend_->stats().credits_not_kept, kCreditsPerQueueMax - 5);
}

TEST_P(BackendTest, ANewRingHoldsNoCreditsWhateverItsMemorySays) {
  backend_.reset();
  front_.ring.shared.responses[front_.entries() - 1].credits_unspent = 255;
  backend_ = std::make_unique<Backend>(channel_, *fake_.engine, 4, RingState::kNew);
  EXPECT_EQ(fake_.credits, 0u);
  EXPECT_EQ(ask(valid(TMEMIF_OP_GET)).credits_unspent, 0u);
  EXPECT_EQ(backend_->stats().credits_not_kept, 0u);
}

TEST_P(BackendTest, EachRequestButTheFirstIsFetchedBeforeItIsServed) {
  for (uint16_t i = 0; i < 4; ++i) front_.submit(page_request(TMEMIF_OP_PUT, i, 0, 1, i));
  front_.submit(page_request(TMEMIF_OP_GET, static_cast<uint16_t>(0xfff0), 0, 1, 0));  // a slot that is none is not touched
  backend_->drain(kDrainRequestsMax);
  EXPECT_EQ(fake_.prefetches, 4u);
}

INSTANTIATE_TEST_SUITE_P(Orders, BackendTest, testing::Values(TMEMIF_RING_ORDER_MIN, TMEMIF_RING_ORDER_MAX));

}  // namespace
}  // namespace tmem
