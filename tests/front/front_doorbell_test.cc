// SPDX-License-Identifier: MIT
// A front that is driven by doorbells, and a service that answers at the worst moment: after the front has looked for answers and
// before the service can see that it wants to be rung. That moment is the store of response_event itself: the ring's first page is
// made read-only, and the fault of the store lets the service run.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

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

}  // namespace
}  // namespace tmem::test
