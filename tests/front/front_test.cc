// SPDX-License-Identifier: MIT
// The front against a scripted service in the same thread: credits, full rings, and a service that lies.
#include <gtest/gtest.h>

#include "front/scripted_service.h"

namespace tmem::test {
namespace {

constexpr uint32_t kPersistent = TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT);
constexpr uint32_t kEphemeral = TMEMIF_POOL_FLAGS(0u);

struct Geometry {
  uint32_t queues, order;
};

class FrontTest : public testing::TestWithParam<Geometry> {
 protected:
  FrontTest() {
    const tmem_front_attachment attachment = service_.connect();
    EXPECT_EQ(tmem_front_attach(&front_.front, &attachment), 0);
    EXPECT_EQ(tmem_front_new_pool(&front_.front, 1, kPersistent, nullptr), TMEMIF_OK);
  }
  uint32_t queues() const { return GetParam().queues; }
  uint32_t entries() const { return 1u << GetParam().order; }
  uint32_t put(uint32_t index, uint64_t seed) {
    const tmem_front_handle handle = handle_of(1, 7, index);
    Page page = page_of(seed);
    return tmem_front_put(&front_.front, &handle, page.data());
  }
  uint32_t get(uint32_t index, Page& page) {
    const tmem_front_handle handle = handle_of(1, 7, index);
    return tmem_front_get(&front_.front, &handle, page.data());
  }
  // Lets each queue hear of as many credits.
  void grant(uint8_t credits) {
    service_.credits = credits;
    const tmem_front_handle handle = handle_of(1, 9999, 0);
    EXPECT_EQ(tmem_front_flush_object(&front_.front, &handle), TMEMIF_MISS);
  }

  ScriptedService service_{GetParam().queues, GetParam().order};
  Front front_{service_, GetParam().queues, GetParam().order};
};

INSTANTIATE_TEST_SUITE_P(Geometries, FrontTest, testing::Values(Geometry{3, 6}, Geometry{1, TMEMIF_RING_ORDER_MIN}),
                         [](const auto& geometry) { return geometry.param.queues == 1 ? "Cramped" : "Normal"; });

TEST_P(FrontTest, APageComesBackAsItWasPut) {
  Page page;
  for (uint32_t i = 0; i < 200; ++i) EXPECT_EQ(put(i, i), TMEMIF_OK);
  for (uint32_t i = 0; i < 200; ++i) {
    EXPECT_EQ(get(i, page), TMEMIF_OK);
    EXPECT_EQ(page, page_of(i));
  }
  EXPECT_EQ(get(200, page), TMEMIF_MISS);
}

TEST_P(FrontTest, ASameFilledPageGoesAsAWordAndTakesNoSlot) {
  const tmem_front_handle handle = handle_of(1, 7, 3);
  Page page, back;
  page.fill(0x1122334455667788u);
  EXPECT_EQ(tmem_front_put(&front_.front, &handle, page.data()), TMEMIF_OK);
  EXPECT_EQ(service_.log.back().slot, TMEMIF_NO_SLOT);
  EXPECT_EQ(service_.log.back().value[0], page[0]);
  EXPECT_EQ(tmem_front_get(&front_.front, &handle, back.data()), TMEMIF_OK);
  EXPECT_EQ(back, page);
  page[511] ^= 1;
  EXPECT_EQ(tmem_front_put(&front_.front, &handle, page.data()), TMEMIF_OK);
  EXPECT_NE(service_.log.back().slot, TMEMIF_NO_SLOT);
  page[511] ^= 1;
  page[100] ^= 1;
  EXPECT_EQ(tmem_front_put(&front_.front, &handle, page.data()), TMEMIF_OK);
  EXPECT_EQ(tmem_front_get(&front_.front, &handle, back.data()), TMEMIF_OK);
  EXPECT_EQ(back, page);
}

TEST_P(FrontTest, ACreditedPutIsDoneBeforeTheServiceHasSeenIt) {
  grant(2);
  const size_t executed = service_.log.size();
  EXPECT_EQ(put(0, 1), TMEMIF_OK);
  EXPECT_EQ(put(1, 2), TMEMIF_OK);
  EXPECT_EQ(service_.log.size(), executed);
  EXPECT_EQ(front_.stats().put_credited, 2u);
  EXPECT_EQ(put(2, 3), TMEMIF_OK) << "without credit: answered";
  EXPECT_EQ(service_.log.size(), executed + 3);
}

TEST_P(FrontTest, CreditsInFlightAreNotSpentTwice) {
  grant(3);
  EXPECT_EQ(put(0, 1), TMEMIF_OK);
  EXPECT_EQ(put(1, 2), TMEMIF_OK);
  const uint32_t queue = tmemif_queue_of(handle_of(1, 7, 0).object, 0, queues());
  service_.credits = 2;  // after the first put; the second is still on its way
  service_.execute(queue);
  tmem_front_poll(&front_.front, queue);
  EXPECT_EQ(front_.front.queue[queue].credits, 1u);
  service_.credits = 0;  // fewer than are in flight: a service may say so, and gets no credit for it
  EXPECT_EQ(put(2, 3), TMEMIF_OK);
  service_.execute(queue);
  tmem_front_poll(&front_.front, queue);
  EXPECT_EQ(front_.front.queue[queue].credits, 0u);
}

TEST_P(FrontTest, APutToASharedPoolIsAlwaysAnswered) {
  const std::array<uint8_t, 16> uuid{1};
  EXPECT_EQ(tmem_front_new_pool(&front_.front, 2, TMEMIF_POOL_FLAGS(TMEMIF_POOL_SHARED), uuid.data()), TMEMIF_OK);
  grant(8);
  const tmem_front_handle handle = handle_of(2, 1, 0);
  Page page = page_of(1);
  EXPECT_EQ(tmem_front_put(&front_.front, &handle, page.data()), TMEMIF_OK);
  EXPECT_EQ(front_.stats().put_credited, 0u);
}

TEST_P(FrontTest, AGetSeesTheCreditedPutBeforeIt) {
  grant(255);
  Page page;
  for (uint32_t i = 0; i < 5 * entries(); ++i) {
    EXPECT_EQ(put(i % 3, i), TMEMIF_OK);
    if (i % 7 == 0) {
      EXPECT_EQ(get(i % 3, page), TMEMIF_OK);
      EXPECT_EQ(page, page_of(i));
    }
  }
  EXPECT_GT(front_.stats().put_credited, entries());
}

TEST_P(FrontTest, MoreThanTheRingHoldsWaitsInOrder) {
  std::vector<CountedOp> ops(4 * entries());
  for (uint32_t i = 0; i < ops.size(); ++i) {
    ops[i].handle_op(i % 2 ? TMEMIF_OP_GET : TMEMIF_OP_PUT, handle_of(1, 7, i / 2 % 8));  // eight indexes: one queue
    if (i % 2 == 0) ops[i].page = page_of(i);
    tmem_front_submit(&front_.front, &ops[i]);
  }
  const uint32_t queue = tmemif_queue_of(handle_of(1, 7, 0).object, 0, queues());
  EXPECT_EQ(service_.pending(queue), entries());
  EXPECT_GT(front_.stats().requests_delayed, 0u);
  for (int round = 0; round < 8; ++round) {
    service_.serve_all();
    front_.poll_all();
  }
  for (uint32_t i = 0; i < ops.size(); ++i) {
    EXPECT_EQ(ops[i].completions, 1) << i;
    EXPECT_EQ(ops[i].status, TMEMIF_OK) << i;
    if (i % 2) {
      EXPECT_EQ(ops[i].page, page_of(i - 1)) << i;
    }
  }
}

TEST_P(FrontTest, AnOpThatWouldWaitIsNotTaken) {
  std::vector<tmem_front_op> ops(entries() * queues() + 1);
  uint32_t taken = 0, completed = 0;
  for (tmem_front_op& op : ops) {
    const tmem_front_handle handle = handle_of(1, 7, taken);
    Page page = page_of(taken);  // gone when the op is not yet answered
    tmem_front_op_page(&op, TMEMIF_OP_PUT, &handle, page.data());
    op.context = &completed;
    op.done = [](tmem_front_op* done) { ++*static_cast<uint32_t*>(done->context); };
    if (!tmem_front_try_submit(&front_.front, &op)) break;
    op.page = nullptr;
    ++taken;
  }
  EXPECT_GE(taken, entries());
  EXPECT_LT(taken, ops.size());
  tmem_front_lost(&front_.front);
  const tmem_front_handle other = handle_of(1, 8, 0);
  tmem_front_op late;
  tmem_front_op_page(&late, TMEMIF_OP_FLUSH_PAGE, &other, nullptr);
  EXPECT_FALSE(tmem_front_try_submit(&front_.front, &late));
  const tmem_front_attachment again = service_.connect();
  EXPECT_EQ(tmem_front_attach(&front_.front, &again), 0);
  Page page;
  for (uint32_t i = 0; i < taken; ++i) {
    EXPECT_EQ(get(i, page), TMEMIF_OK);
    EXPECT_EQ(page, page_of(i));
  }
  EXPECT_EQ(completed, taken);
}

TEST_P(FrontTest, ADoneThatSubmitsDoesNotNest) {
  struct Chain : CountedOp {
    tmem_front* front;
    int left, depth, deepest;
  } op{};
  op.handle_op(TMEMIF_OP_FLUSH_PAGE, handle_of(1, 7, 0));
  op.front = &front_.front;
  op.left = 1000;
  op.done = [](tmem_front_op* self) {
    Chain& chain = *static_cast<Chain*>(self);
    chain.deepest = std::max(chain.deepest, ++chain.depth);
    if (--chain.left > 0) tmem_front_submit(chain.front, self);
    --chain.depth;
  };
  tmem_front_submit(&front_.front, &op);
  while (op.left > 0) {
    service_.serve_all();
    front_.poll_all();
  }
  EXPECT_EQ(op.deepest, 1);
}

TEST_P(FrontTest, AFlushOfAnObjectReachesAllQueuesAndCompletesOnce) {
  Page page;
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(put(i * 8, i), TMEMIF_OK);
  CountedOp flush;
  flush.handle_op(TMEMIF_OP_FLUSH_OBJECT, handle_of(1, 7, 0));
  tmem_front_submit(&front_.front, &flush);
  for (uint32_t q = 0; q < queues(); ++q) {
    EXPECT_EQ(flush.completions, 0);
    service_.serve_all();
    front_.poll_all();
  }
  EXPECT_EQ(flush.completions, 1);
  EXPECT_EQ(flush.status, TMEMIF_OK);
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(get(i * 8, page), TMEMIF_MISS);
}

TEST_P(FrontTest, AQueryBringsThePageOfTheService) {
  Page page{};
  EXPECT_EQ(tmem_front_query(&front_.front, page.data()), TMEMIF_OK);
  EXPECT_EQ(page[0], 0x5a5a5a5a5a5a5a5au);
}

TEST_P(FrontTest, APoolIdBeyondTheTableIsNoPool) {
  EXPECT_EQ(tmem_front_new_pool(&front_.front, Front::kPools, kEphemeral, nullptr), TMEMIF_NO_POOL);
  const tmem_front_handle handle = handle_of(~0u, 1, 1);
  Page page = page_of(1);
  EXPECT_EQ(tmem_front_put(&front_.front, &handle, page.data()), TMEMIF_NO_POOL);
}

TEST_P(FrontTest, EverythingCompletesWithClosedWhenTheFrontIsClosed) {
  std::vector<CountedOp> ops(3 * entries());
  for (uint32_t i = 0; i < ops.size(); ++i) {
    ops[i].handle_op(TMEMIF_OP_GET, handle_of(1, 7, i));
    tmem_front_submit(&front_.front, &ops[i]);
  }
  tmem_front_close(&front_.front);
  for (const CountedOp& op : ops) {
    EXPECT_EQ(op.completions, 1);
    EXPECT_EQ(op.status, TMEM_FRONT_CLOSED);
  }
  EXPECT_EQ(put(0, 0), TMEM_FRONT_CLOSED);
  const tmem_front_attachment again = service_.connect(false);
  EXPECT_EQ(tmem_front_attach(&front_.front, &again), 0) << "a closed front can begin a new life";
  EXPECT_EQ(put(0, 0), TMEMIF_NO_POOL);
}

TEST_P(FrontTest, DoorbellsAreRungOnlyWhenTheServiceSleeps) {
  service_.serve_all();
  const int before = front_.notified;
  CountedOp a, b;
  a.handle_op(TMEMIF_OP_FLUSH_PAGE, handle_of(1, 7, 0));
  b.handle_op(TMEMIF_OP_FLUSH_PAGE, handle_of(1, 7, 0));
  tmem_front_submit(&front_.front, &a);
  EXPECT_EQ(front_.notified, before) << "nobody has asked for one";
  const uint32_t queue = tmemif_queue_of(handle_of(1, 7, 0).object, 0, queues());
  service_.control(queue)->request_event = service_.control(queue)->request_prod + 1;
  tmem_front_submit(&front_.front, &b);
  EXPECT_EQ(front_.notified, before + 1);
  service_.serve_all();
  front_.poll_all();
}

// One lie for each thing that a response can say.
TEST_P(FrontTest, ALyingServiceBreaksTheDeviceAndNothingElse) {
  const std::vector<std::pair<const char*, tmemif_response>> lies = {
      {"id of another", {77777, TMEMIF_OK, 0, 0, 0}},
      {"status that does not exist", {0, TMEMIF_STATUS_MAX + 1, 0, 0, 0}},
      {"status of another operation", {0, TMEMIF_NOT_AUTHORISED, 0, 0, 0}},
      {"put's status", {0, TMEMIF_PUT_FLUSHED, 0, 0, 0}},
      {"unknown flag", {0, TMEMIF_OK, 0x80, 0, 0}},
      {"value without the flag", {0, TMEMIF_OK, 0, 0, 5}},
      {"same-filled miss", {0, TMEMIF_MISS, TMEMIF_RESPONSE_SAME_FILLED, 0, 5}},
  };
  const uint32_t queue = tmemif_queue_of(handle_of(1, 7, 0).object, 0, queues());
  for (const auto& [what, lie] : lies) {
    SCOPED_TRACE(what);
    ScriptedService service(queues(), GetParam().order);
    Front front(service, queues(), GetParam().order);
    const tmem_front_attachment attachment = service.connect();
    ASSERT_EQ(tmem_front_attach(&front.front, &attachment), 0);
    std::array<CountedOp, 3> ops;
    for (CountedOp& op : ops) {
      op.handle_op(TMEMIF_OP_GET, handle_of(1, 7, 0));
      tmem_front_submit(&front.front, &op);
    }
    tmemif_response response = lie;
    if (response.id == 0) response.id = service.peek(queue).id;
    service.lie(queue, response);
    front.poll_all();
    EXPECT_EQ(front.broken, 1);
    EXPECT_EQ(tmem_front_read_state(&front.front), TMEM_FRONT_STATE_BROKEN);
    for (const CountedOp& op : ops) {
      EXPECT_EQ(op.completions, 1);
      EXPECT_EQ(op.status, TMEM_FRONT_CLOSED);
      EXPECT_EQ(op.page, Page{}) << "nothing of the lie reached the page";
    }
    const tmem_front_attachment again = service.connect();
    EXPECT_EQ(tmem_front_attach(&front.front, &again), -EIO);
  }
}

// The owner closes from another thread while the first queue's operations are told of the breaking.
TEST_P(FrontTest, AFrontThatIsClosedWhileItBreaksStaysClosedAndCanBeginAnew) {
  struct ClosingOp : CountedOp {
    tmem_front* front;
  };
  std::vector<ClosingOp> ops(2 * queues() * entries());
  for (uint32_t i = 0; i < ops.size(); ++i) {
    ops[i].front = &front_.front;
    ops[i].handle_op(TMEMIF_OP_GET, handle_of(1, 7, i));
    ops[i].done = [](tmem_front_op* op) {
      auto* self = static_cast<ClosingOp*>(op);
      ++self->completions;
      tmem_front_close(self->front);
    };
    tmem_front_submit(&front_.front, &ops[i]);
  }
  service_.control(0)->response_prod += entries() + 1;
  tmem_front_poll(&front_.front, 0);
  for (const ClosingOp& op : ops) EXPECT_EQ(op.completions, 1);
  EXPECT_EQ(tmem_front_read_state(&front_.front), TMEM_FRONT_STATE_CLOSED);
  const tmem_front_attachment again = service_.connect(false);
  ASSERT_EQ(tmem_front_attach(&front_.front, &again), 0);
  ASSERT_EQ(tmem_front_new_pool(&front_.front, 1, kPersistent, nullptr), TMEMIF_OK);
  for (uint32_t i = 0; i < ops.size(); ++i) ASSERT_EQ(put(i, i), TMEMIF_OK);
  for (uint32_t i = 0; i < queues(); ++i) EXPECT_EQ(front_.front.queue[i].state, uint32_t{TMEM_FRONT_STATE_CONNECTED});
}

TEST_P(FrontTest, AProducerBeyondTheRequestsBreaksTheDevice) {
  service_.control(0)->response_prod += 1;
  front_.poll_all();
  EXPECT_EQ(front_.broken, 1);
  EXPECT_EQ(put(0, 0), TMEM_FRONT_CLOSED);
}

TEST_P(FrontTest, AnOwnerDrivenByInterruptsIsRungOnceForABatch) {
  ScriptedService service(queues(), GetParam().order);
  Front front(service, queues(), GetParam().order, true);
  const tmem_front_attachment attachment = service.connect();
  ASSERT_EQ(tmem_front_attach(&front.front, &attachment), 0);
  std::array<CountedOp, 4> ops;
  for (CountedOp& op : ops) {
    op.handle_op(TMEMIF_OP_FLUSH_PAGE, handle_of(1, 7, 0));
    tmem_front_submit(&front.front, &op);
  }
  const uint32_t queue = tmemif_queue_of(handle_of(1, 7, 0).object, 0, queues());
  service.serve_all();
  EXPECT_EQ(service.doorbells, 1u);
  tmem_front_interrupt(&front.front, queue);
  for (const CountedOp& op : ops) EXPECT_EQ(op.completions, 1);
}

TEST_P(FrontTest, CreditedPutsRingNobodyInAnInterruptDrivenOwner) {
  ScriptedService service(queues(), GetParam().order);
  Front front(service, queues(), GetParam().order, true);
  const tmem_front_attachment attachment = service.connect();
  ASSERT_EQ(tmem_front_attach(&front.front, &attachment), 0);
  service.credits = 6;
  CountedOp pool;
  tmem_front_op_new_pool(&pool, 1, kPersistent, nullptr);
  pool.arm();
  tmem_front_submit(&front.front, &pool);
  for (uint32_t q = 0; q < queues(); ++q) {
    service.serve_all();
    tmem_front_interrupt(&front.front, q);
  }
  ASSERT_EQ(pool.completions, 1);
  service.doorbells = 0;
  std::array<CountedOp, 5> puts;
  for (CountedOp& op : puts) {
    op.handle_op(TMEMIF_OP_PUT, handle_of(1, 7, 0));
    op.page = page_of(3);
    op.done = nullptr;  // a credited put is finished at submit
    tmem_front_submit(&front.front, &op);
    EXPECT_TRUE(op.finished);
  }
  service.serve_all();
  EXPECT_EQ(service.doorbells, 0u);
}

}  // namespace
}  // namespace tmem::test
