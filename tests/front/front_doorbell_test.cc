// SPDX-License-Identifier: MIT
// A front that is driven by doorbells, and a service that answers at the worst moment: after the front has looked for answers and
// before the service can see that it wants to be rung. That moment is the store of response_event itself: the ring's first page is
// made read-only, and the fault of the store lets the service run.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include "front/scripted_service.h"

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

TEST(FrontDoorbell, AWishThatTheServiceSawTooLateIsMadeAgainForTheNextRequest) {
  ScriptedService service(1, TMEMIF_RING_ORDER_MIN);
  Front front(service, 1, TMEMIF_RING_ORDER_MIN, true);
  const tmem_front_attachment attachment = service.connect();
  ASSERT_EQ(tmem_front_attach(&front.front, &attachment), 0);
  CountedOp first, second;
  first.handle_op(TMEMIF_OP_FLUSH_PAGE, handle_of(1, 7, 0));
  second.handle_op(TMEMIF_OP_FLUSH_PAGE, handle_of(1, 7, 0));
  tmem_front_submit(&front.front, &first);
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

}  // namespace
}  // namespace tmem::test
