// SPDX-License-Identifier: MIT
// A front that is driven by doorbells, and a service that answers at the worst moment: after the front has looked for answers and
// before the service can see that it wants to be rung. That moment is the store of response_event itself: the ring's first page is
// made read-only, and the fault of the store lets the service run.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include <deque>

#include "front/scripted_service.h"
#include "tmem_front_core.h"

namespace tmem::test {
namespace {

// While it lives, the front's next store to the ring's control words runs the service first. One at a time.
class AnswerAtTheWish {
 public:
  explicit AnswerAtTheWish(ScriptedService& service) : service_(service), control_(service.control(0)) {
    current_ = this;
    struct sigaction action = {};
    action.sa_sigaction = [](int, siginfo_t* info, void*) { current_->on_fault(info->si_addr); };
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, &before_);
    allow(PROT_READ);
  }
  ~AnswerAtTheWish() {
    allow(PROT_READ | PROT_WRITE);
    sigaction(SIGSEGV, &before_, nullptr);
  }
  const void* stored_to() const { return stored_to_; }

 private:
  void allow(int access) { EXPECT_EQ(::mprotect(control_, TMEMIF_PAGE_BYTES, access), 0); }
  void on_fault(const void* address) {
    allow(PROT_READ | PROT_WRITE);  // the store is done again when we return
    stored_to_ = address;
    service_.serve(0);
  }

  inline static AnswerAtTheWish* current_ = nullptr;
  ScriptedService& service_;
  tmemif_ring_control* const control_;
  struct sigaction before_ = {};
  const void* stored_to_ = nullptr;
};

// A request is under way, and a second one is ready.
class FrontInterrupt : public testing::Test {
 protected:
  void SetUp() override {
    const tmem_front_attachment attachment = service.connect();
    ASSERT_EQ(tmem_front_attach(&front.front, &attachment), 0);
    first.handle_op(TMEMIF_OP_FLUSH_PAGE, handle_of(1, 7, 0));
    second.handle_op(TMEMIF_OP_FLUSH_PAGE, handle_of(1, 7, 0));
    tmem_front_submit(&front.front, &first);
  }

  ScriptedService service{1, TMEMIF_RING_ORDER_MIN};
  Front front{service, 1, TMEMIF_RING_ORDER_MIN, true};
  CountedOp first, second;
};

TEST_F(FrontInterrupt, AWishThatTheServiceSawTooLateIsMadeAgainForTheNextRequest) {
  {
    const AnswerAtTheWish moment(service);
    tmem_front_interrupt(&front.front, 0);  // for nothing: it looks, finds no answer, and asks to be rung
    ASSERT_EQ(moment.stored_to(), &service.control(0)->response_event);
  }
  EXPECT_EQ(first.completions, 1);
  service.doorbells = 0;
  tmem_front_submit(&front.front, &second);
  service.serve_all();
  EXPECT_EQ(service.doorbells, 1u) << "nobody would ever look for this answer";
  tmem_front_interrupt(&front.front, 0);
  EXPECT_EQ(second.completions, 1);
}

TEST_F(FrontInterrupt, ADoorbellThatWasAskedForIsWantedOnlyWithAnAnswer) {
  for (int storm = 0; storm < 3; ++storm) EXPECT_FALSE(tmem_front_interrupt(&front.front, 0)) << "its answer is left out for ever";
  service.serve_all();
  EXPECT_TRUE(tmem_front_interrupt(&front.front, 0));
  tmem_front_submit(&front.front, &second);
  service.serve_all();
  tmem_front_poll(&front.front, 0);
  EXPECT_EQ(second.completions, 1);
  EXPECT_TRUE(tmem_front_interrupt(&front.front, 0)) << "somebody else took the answer before the doorbell came";
}

// A front that looks for its answers before it asks to be rung, and the pool that its gets go to.
struct Polling {
  explicit Polling(bool answers_at_once)
      : service(1, TMEMIF_RING_ORDER_MIN), front(service, 1, TMEMIF_RING_ORDER_MIN, true, 1000) {
    const tmem_front_attachment attachment = service.connect();
    EXPECT_EQ(tmem_front_attach(&front.front, &attachment), 0);
    flush_once();
    op.handle_op(TMEMIF_OP_GET, handle);
    front.serve_when_notified = answers_at_once;
    service.control(0)->request_event = 2;  // it sleeps
    tmem_front_submit_polling(&front.front, &op);
  }
  // What attaching asked for is rung with this one.
  void flush_once() {
    CountedOp first;
    first.handle_op(TMEMIF_OP_FLUSH_PAGE, handle);
    tmem_front_submit(&front.front, &first);
    service.serve_all();
    tmem_front_interrupt(&front.front, 0);
    service.doorbells = 0;
  }
  const tmem_front_handle handle = handle_of(1, 7, 0);
  ScriptedService service;
  Front front;
  CountedOp op;
};

TEST(FrontDoorbell, AnAnswerThatComesWhileItIsLookedForNeedsNone) {
  Polling polling(true);
  EXPECT_EQ(polling.op.completions, 1);
  EXPECT_EQ(polling.service.doorbells, 0u);
}

TEST(FrontDoorbell, AnAnswerThatTakesLongerThanItIsLookedForRingsOnce) {
  Polling polling(false);
  ASSERT_EQ(polling.op.completions, 0);
  polling.service.serve_all();
  EXPECT_EQ(polling.service.doorbells, 1u);
  tmem_front_interrupt(&polling.front.front, 0);
  EXPECT_EQ(polling.op.completions, 1);
}

TEST(FrontDoorbell, WhoseTurnIsStillToComeGoesOnLookingWhileOthersAreAnswered) {
  tmem_front_patience patience = {};
  uint64_t now = 5000;
  EXPECT_TRUE(tmem_front_is_patient(&patience, now, 7, 1000));
  for (uint32_t answered = 8; answered < 40; ++answered) EXPECT_TRUE(tmem_front_is_patient(&patience, now += 1500, answered, 1000));
  EXPECT_TRUE(tmem_front_is_patient(&patience, now + 999, 39, 1000));
  EXPECT_FALSE(tmem_front_is_patient(&patience, now + 1000, 39, 1000));
}

TEST(FrontDoorbell, WhatIsLookedForOnALostConnectionIsSentOnTheNext) {
  ScriptedService service(1, TMEMIF_RING_ORDER_MIN);
  Front front(service, 1, TMEMIF_RING_ORDER_MIN, true, 1000);
  tmem_front_attachment attachment = service.connect();
  ASSERT_EQ(tmem_front_attach(&front.front, &attachment), 0);
  tmem_front_lost(&front.front);
  CountedOp op;
  op.handle_op(TMEMIF_OP_GET, handle_of(1, 7, 0));
  tmem_front_submit_polling(&front.front, &op);
  EXPECT_EQ(op.completions, 0);
  attachment = service.connect();
  ASSERT_EQ(tmem_front_attach(&front.front, &attachment), 0);
  service.serve_all();
  tmem_front_interrupt(&front.front, 0);
  EXPECT_EQ(op.completions, 1);
}

// What a front that is driven by doorbells asks for, of a service that knows its pool and has told it of two credits.
struct Asking {
  Asking() {
    const tmem_front_attachment attachment = service.connect();
    EXPECT_EQ(tmem_front_attach(&front.front, &attachment), 0);
    CountedOp pool;
    tmem_front_op_new_pool(&pool, 1, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT), nullptr);
    pool.arm();
    tmem_front_submit(&front.front, &pool);
    service.credits = 2;
    answer();
    EXPECT_EQ(pool.completions, 1);
    service.doorbells = 0;
  }
  // Everything, and the doorbells that were asked for ring. Returns how many.
  uint32_t answer() {
    service.doorbells = 0;
    uint32_t rang = 0;
    do {
      const uint32_t before = service.doorbells;
      while (service.doorbells == before && service.execute(0)) {
      }
      if (service.doorbells == before) break;
      ++rang;
      tmem_front_interrupt(&front.front, 0);
    } while (true);
    return rang;
  }
  CountedOp& begin(tmemif_op kind, bool quiet) {
    CountedOp& op = ops.emplace_back();
    op.handle_op(kind, handle_of(1, 7, static_cast<uint32_t>(ops.size())));
    op.page[0] = ops.size();  // not one repeated word
    op.quiet = quiet;
    return op;
  }
  void submit(tmemif_op kind, bool quiet) { tmem_front_submit(&front.front, &begin(kind, quiet)); }
  int completions() const {
    int sum = 0;
    for (const CountedOp& op : ops) sum += op.completions;
    return sum;
  }
  static constexpr uint32_t kEntries = 1u << TMEMIF_RING_ORDER_MIN;
  std::deque<CountedOp> ops;
  ScriptedService service{1, TMEMIF_RING_ORDER_MIN};
  Front front{service, 1, TMEMIF_RING_ORDER_MIN, true, 1000};
};

TEST(FrontDoorbell, NoneIsAskedForWhatNobodyWaitsFor) {
  Asking asking;
  for (uint32_t i = 0; i < Asking::kEntries / 2; ++i) asking.submit(TMEMIF_OP_FLUSH_PAGE, true);
  EXPECT_EQ(asking.answer(), 0u);
  EXPECT_EQ(asking.completions(), 0);
  tmem_front_poll(&asking.front.front, 0);
  EXPECT_EQ(asking.completions(), static_cast<int>(Asking::kEntries / 2));
}

TEST(FrontDoorbell, ItIsRungForTheFirstThatSomebodyWaitsFor) {
  Asking asking;
  asking.submit(TMEMIF_OP_FLUSH_PAGE, true);
  asking.submit(TMEMIF_OP_FLUSH_PAGE, true);
  asking.submit(TMEMIF_OP_GET, false);
  asking.service.execute(0);
  asking.service.execute(0);
  EXPECT_EQ(asking.service.doorbells, 0u) << "two that nobody waits for were answered";
  EXPECT_EQ(asking.answer(), 1u);
  EXPECT_EQ(asking.completions(), 3);
}

TEST(FrontDoorbell, WhatNobodyWaitsForIsRungForAtHalfARingWhereMoreWaitsForRoom) {
  constexpr uint32_t kRings = 4;
  Asking asking;
  for (uint32_t i = 0; i < kRings * Asking::kEntries; ++i) asking.submit(TMEMIF_OP_FLUSH_PAGE, true);
  const uint32_t rang = asking.answer();
  EXPECT_GE(rang, kRings - 1);
  EXPECT_LE(rang, 2 * kRings);
  tmem_front_poll(&asking.front.front, 0);
  EXPECT_EQ(asking.completions(), static_cast<int>(kRings * Asking::kEntries)) << "what waited for room was never sent";
}

TEST(FrontDoorbell, WhoWaitsForRoomIsSentByWhoeverMakesIt) {
  const auto full_ring = [](Asking& asking, tmem_front_op& waits) {
    for (uint32_t i = 0; i < Asking::kEntries; ++i) asking.submit(TMEMIF_OP_FLUSH_PAGE, true);
    const tmem_front_handle handle = handle_of(1, 7, 0);
    tmem_front_op_page(&waits, TMEMIF_OP_FLUSH_PAGE, &handle, nullptr);  // without done(): somebody is in tmem_front_call()
    tmem_front_submit(&asking.front.front, &waits);
    asking.service.serve_all();
  };
  tmem_front_op waits;
  {
    Asking asking;
    full_ring(asking, waits);
    EXPECT_TRUE(tmem_front_try_submit(&asking.front.front, &asking.begin(TMEMIF_OP_FLUSH_PAGE, true)));
    EXPECT_EQ(asking.service.pending(0), 2u) << "its answers were taken, and nobody sends what waits";
    asking.service.serve_all();
    tmem_front_poll(&asking.front.front, 0);
    EXPECT_TRUE(waits.finished);
  }
  Asking asking;
  full_ring(asking, waits);
  tmem_front_poll(&asking.front.front, 0);
  EXPECT_EQ(asking.service.pending(0), 1u);
}

TEST(FrontDoorbell, AnOperationThatFollowsItsSleeperToAQueueAsksForOne) {
  const tmem_front_handle handle = handle_of(1, 7, 0);
  tmem_front_op op;
  tmem_front_op_page(&op, TMEMIF_OP_FLUSH_PAGE, &handle, nullptr);
  Asking asking;
  asking.front.front.queue[0].sleepers = 1;
  tmem_front_submit(&asking.front.front, &op);
  EXPECT_EQ(asking.answer(), 1u);
  EXPECT_TRUE(op.finished);
  asking.front.front.queue[0].sleepers = 0;
}

TEST(FrontDoorbell, APutLooksForACreditOnlyWhereTheyAreSpentAndOneMayCome) {
  Asking asking;
  CountedOp& put = asking.begin(TMEMIF_OP_PUT, false);
  CountedOp& before = asking.begin(TMEMIF_OP_FLUSH_PAGE, true);
  const auto look = [&] { tmem_front_look_for_credit(&asking.front.front, &put); };
  const auto credits = [&] { return asking.front.front.queue[0].credits; };
  tmem_front_submit(&asking.front.front, &before);
  asking.service.serve_all();
  look();
  EXPECT_EQ(before.completions, 0) << "it looked though it had a credit";

  while (credits() > 0) asking.submit(TMEMIF_OP_PUT, false);
  EXPECT_EQ(asking.completions(), asking.service.credits + 1);  // and the flush
  look();  // nothing was answered: it gives up
  EXPECT_EQ(credits(), 0u);
  asking.service.execute(0);
  look();
  EXPECT_EQ(credits(), 1u);
  tmem_front_submit(&asking.front.front, &put);
  EXPECT_EQ(put.completions, 1);

  asking.service.credits = 0;
  asking.service.serve_all();
  look();
  EXPECT_EQ(credits(), 0u);
  const uint32_t answered = asking.front.front.queue[0].answered;
  look();  // nothing is under way
  EXPECT_EQ(asking.front.front.queue[0].answered, answered);
  EXPECT_EQ(asking.service.doorbells, 0u);
}

}  // namespace
}  // namespace tmem::test
