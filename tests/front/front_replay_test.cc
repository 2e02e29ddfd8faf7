// SPDX-License-Identifier: MIT
// What the front carries from one connection to the next. The exhaustive test cuts the connection at every point of every
// small script: each point is a pair (executed, answered), with answered <= executed.
#include <gtest/gtest.h>

#include "front/scripted_service.h"

namespace tmem::test {
namespace {

constexpr uint32_t kPersistent = TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT);
constexpr uint32_t kOrder = TMEMIF_RING_ORDER_MIN;

struct Rig {
  explicit Rig(uint32_t queues = 1, uint32_t order = kOrder) : service(queues, order), front(service, queues, order) {
    attach();
    EXPECT_EQ(tmem_front_new_pool(&front.front, 1, kPersistent, nullptr), TMEMIF_OK);
    EXPECT_EQ(tmem_front_new_pool(&front.front, 2, TMEMIF_POOL_FLAGS(0u), nullptr), TMEMIF_OK);
  }
  void attach(bool remembers = true, bool same_memory = false) {
    const tmem_front_attachment attachment = service.connect(remembers, same_memory);
    EXPECT_EQ(tmem_front_attach(&front.front, &attachment), 0);
  }
  void settle() {
    for (int round = 0; round < 20; ++round) {
      service.serve_all();
      front.poll_all();
    }
  }
  uint32_t get(uint32_t pool, uint32_t index, Page& page) {
    const tmem_front_handle handle = handle_of(pool, 7, index);
    return tmem_front_get(&front.front, &handle, page.data());
  }
  ScriptedService service;
  Front front;
};

// A script is a word over these; all act on one handle of the persistent pool, whose first page is page_of(0).
enum Step { kPut, kGet, kFlush, kStepsCount };

// Runs the script asynchronously, with a cut after so many requests executed and answered, perhaps a second cut while the
// replay is under way, and compares the end with what the script says.
void run_script(const std::vector<Step>& script, uint32_t executed, uint32_t answered, uint32_t executed_again,
                uint8_t credits, bool same_memory) {
  Rig rig;
  Page page = page_of(100);
  const tmem_front_handle handle = handle_of(1, 7, 0);
  rig.service.credits = credits;
  ASSERT_EQ(tmem_front_put(&rig.front.front, &handle, page.data()), TMEMIF_OK);
  rig.settle();

  std::vector<CountedOp> ops(script.size());
  std::vector<int> content(script.size() + 1, 100);  // after so many steps; -1: absent
  for (size_t i = 0; i < script.size(); ++i) {
    content[i + 1] = script[i] == kPut ? static_cast<int>(i) : script[i] == kFlush ? -1 : content[i];
    ops[i].handle_op(script[i] == kPut ? TMEMIF_OP_PUT : script[i] == kGet ? TMEMIF_OP_GET : TMEMIF_OP_FLUSH_PAGE, handle);
    if (script[i] == kPut) ops[i].page = page_of(i);
    tmem_front_submit(&rig.front.front, &ops[i]);
  }
  for (uint32_t i = 0; i < executed; ++i) rig.service.execute(0, false);
  for (uint32_t i = 0; i < answered; ++i) rig.service.execute(0, true);
  tmem_front_lost(&rig.front.front);
  rig.attach(true, same_memory);
  for (uint32_t i = 0; i < executed_again; ++i) rig.service.execute(0, i % 2 == 0);
  tmem_front_lost(&rig.front.front);
  rig.attach(true, same_memory);
  rig.settle();

  for (size_t i = 0; i < script.size(); ++i) {
    ASSERT_EQ(ops[i].completions, 1) << "step " << i;
    if (script[i] != kGet) continue;
    // The page of this moment, or of a later one whose step was in flight together with the get.
    std::vector<int> allowed(content.begin() + static_cast<long>(i), content.end());
    const bool found = std::any_of(allowed.begin(), allowed.end(), [&](int expected) {
      return expected < 0 ? ops[i].status == TMEMIF_MISS
                          : ops[i].status == TMEMIF_OK && ops[i].page == page_of(static_cast<uint64_t>(expected));
    });
    ASSERT_TRUE(found) << "step " << i << " status " << ops[i].status;
    if (i < answered) {
      ASSERT_EQ(ops[i].status, content[i] < 0 ? TMEMIF_MISS : TMEMIF_OK);
    }
  }
  const uint32_t status = rig.get(1, 0, page);
  ASSERT_EQ(status, content.back() < 0 ? TMEMIF_MISS : TMEMIF_OK);
  if (status == TMEMIF_OK) {
    ASSERT_EQ(page, page_of(static_cast<uint64_t>(content.back())));
  }
  ASSERT_EQ(rig.front.broken, 0);
}

TEST(FrontReplay, EveryCutOfEverySmallScriptEndsAsIfThereHadBeenNone) {
  constexpr uint32_t kLength = 4;
  uint32_t scripts = 1;
  for (uint32_t i = 0; i < kLength; ++i) scripts *= kStepsCount;
  for (uint32_t number = 0; number < scripts; ++number) {
    std::vector<Step> script;
    for (uint32_t rest = number, i = 0; i < kLength; ++i, rest /= kStepsCount) script.push_back(Step(rest % kStepsCount));
    for (uint32_t executed = 0; executed <= kLength; ++executed)
      for (uint32_t answered = 0; answered <= executed; ++answered)
        for (uint32_t again = 0; again <= 3; ++again)
          for (uint8_t credits : {uint8_t{0}, uint8_t{2}, uint8_t{8}}) {
            SCOPED_TRACE(testing::Message() << "script " << number << " executed " << executed << " answered " << answered
                                            << " again " << again << " credits " << int{credits});
            run_script(script, executed, answered, again, credits, (number + again) % 2 != 0);
            if (testing::Test::HasFatalFailure()) return;
          }
  }
}

TEST(FrontReplay, AFullRingAndABacklogAreReplayedInOrder) {
  Rig rig(3, kOrder);
  std::vector<CountedOp> ops(100);
  for (uint32_t i = 0; i < ops.size(); ++i) {
    ops[i].handle_op(TMEMIF_OP_PUT, handle_of(1, 7, i % 50));
    ops[i].page = page_of(i);
    tmem_front_submit(&rig.front.front, &ops[i]);
  }
  rig.service.log.clear();
  tmem_front_lost(&rig.front.front);
  CountedOp late;
  late.handle_op(TMEMIF_OP_PUT, handle_of(1, 7, 49));
  late.page = page_of(1000);
  tmem_front_submit(&rig.front.front, &late);
  rig.attach();
  rig.settle();
  for (const CountedOp& op : ops) EXPECT_EQ(op.completions, 1);
  EXPECT_EQ(late.completions, 1);
  Page page;
  for (uint32_t i = 0; i < 50; ++i) {
    EXPECT_EQ(rig.get(1, i, page), TMEMIF_OK);
    EXPECT_EQ(page, page_of(i == 49 ? 1000 : i + 50));
  }
  EXPECT_GT(rig.front.stats().requests_replayed, 8u);
}

TEST(FrontReplay, AServiceThatLostItsMemoryMakesPersistentReadsErrors) {
  Rig rig(2);
  Page page = page_of(1);
  for (uint32_t pool : {1u, 2u})
    for (uint32_t i = 0; i < 30; ++i) {
      const tmem_front_handle handle = handle_of(pool, 7, i);
      EXPECT_EQ(tmem_front_put(&rig.front.front, &handle, page.data()), TMEMIF_OK);
    }
  CountedOp get;
  get.handle_op(TMEMIF_OP_GET, handle_of(1, 7, 0));
  tmem_front_submit(&rig.front.front, &get);
  tmem_front_lost(&rig.front.front);
  EXPECT_EQ(rig.front.forgotten, 0);
  rig.attach(false);
  EXPECT_EQ(rig.front.forgotten, 1);
  rig.settle();
  EXPECT_EQ(get.status, TMEMIF_NO_POOL);
  EXPECT_EQ(tmem_front_errno(get.status), -EIO);
  EXPECT_EQ(rig.get(1, 5, page), TMEMIF_NO_POOL);
  EXPECT_EQ(rig.get(2, 5, page), TMEMIF_MISS) << "the ephemeral pool was made again";
  EXPECT_EQ(tmem_front_new_pool(&rig.front.front, 1, kPersistent, nullptr), TMEMIF_OK);
  const tmem_front_handle handle = handle_of(1, 7, 5);
  EXPECT_EQ(tmem_front_put(&rig.front.front, &handle, page.data()), TMEMIF_OK);
}

TEST(FrontReplay, APoolBeingMadeWhenTheServiceLosesItsMemoryIsOnEveryQueueInTheEnd) {
  Rig rig(3);
  CountedOp pool;
  tmem_front_op_new_pool(&pool, 3, kPersistent, nullptr);
  pool.arm();
  tmem_front_submit(&rig.front.front, &pool);
  rig.service.serve(0);
  rig.front.poll_all();  // on queue 0, now at queue 1
  tmem_front_lost(&rig.front.front);
  rig.attach(false);
  rig.settle();
  EXPECT_EQ(pool.completions, 1);
  EXPECT_EQ(pool.status, TMEMIF_OK);
  for (uint32_t i = 0; i < 100; ++i) {
    const tmem_front_handle handle = handle_of(3, i, 0);
    Page page = page_of(i);
    EXPECT_EQ(tmem_front_put(&rig.front.front, &handle, page.data()), TMEMIF_OK);
  }
}

TEST(FrontReplay, AReplayedPutToASharedPoolBecomesAFlush) {
  Rig rig;
  const std::array<uint8_t, 16> uuid{9};
  ASSERT_EQ(tmem_front_new_pool(&rig.front.front, 4, TMEMIF_POOL_FLAGS(TMEMIF_POOL_SHARED), uuid.data()), TMEMIF_OK);
  const tmem_front_handle handle = handle_of(4, 7, 0);
  Page page = page_of(1);
  ASSERT_EQ(tmem_front_put(&rig.front.front, &handle, page.data()), TMEMIF_OK);
  CountedOp put;
  put.handle_op(TMEMIF_OP_PUT, handle);
  put.page = page_of(2);
  tmem_front_submit(&rig.front.front, &put);
  tmem_front_lost(&rig.front.front);
  rig.attach();
  rig.settle();
  EXPECT_EQ(put.status, TMEMIF_NO_SPACE);
  EXPECT_EQ(rig.get(4, 0, page), TMEMIF_MISS) << "neither the old page nor the new one";
  EXPECT_EQ(rig.front.front.queue[0].slots_free, 8u) << "the put's slot came back";
}

TEST(FrontReplay, ACreditedPutThatIsRefusedAtReplayIsCountedAsLostAndNeverOld) {
  Rig rig;
  rig.service.credits = 4;
  const tmem_front_handle handle = handle_of(1, 7, 0);
  Page page = page_of(1);
  ASSERT_EQ(tmem_front_put(&rig.front.front, &handle, page.data()), TMEMIF_OK);
  rig.settle();
  page = page_of(2);
  ASSERT_EQ(tmem_front_put(&rig.front.front, &handle, page.data()), TMEMIF_OK);
  tmem_front_lost(&rig.front.front);
  rig.attach();
  rig.service.refuse_puts = TMEMIF_PUT_FLUSHED;
  rig.settle();
  EXPECT_EQ(rig.front.stats().put_lost, 1u);
  EXPECT_EQ(rig.get(1, 0, page), TMEMIF_MISS);
}

TEST(FrontReplay, AnotherGeometryIsNotTakenForTheOldOne) {
  Rig rig(2);
  ScriptedService other(1, kOrder);
  tmem_front_lost(&rig.front.front);
  const tmem_front_attachment smaller = other.connect();
  EXPECT_EQ(tmem_front_attach(&rig.front.front, &smaller), -EINVAL);
  EXPECT_EQ(tmem_front_read_state(&rig.front.front), TMEM_FRONT_STATE_RECONNECTING);
}

TEST(FrontReplay, ClosingWhileReconnectingCompletesWhatWaits) {
  Rig rig;
  std::vector<CountedOp> ops(20);
  for (uint32_t i = 0; i < ops.size(); ++i) {
    if (i == 10) tmem_front_lost(&rig.front.front);
    ops[i].handle_op(TMEMIF_OP_GET, handle_of(1, 7, 0));
    tmem_front_submit(&rig.front.front, &ops[i]);
  }
  tmem_front_close(&rig.front.front);
  for (const CountedOp& op : ops) {
    EXPECT_EQ(op.completions, 1);
    EXPECT_EQ(op.status, TMEM_FRONT_CLOSED);
  }
}

}  // namespace
}  // namespace tmem::test
