// SPDX-License-Identifier: MIT
// The controller's laws on random samples, also such as no kernel would show.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "selfballoon/controller.h"

namespace tmem::selfballoon {
namespace {

Sample any_sample(uint64_t time_ms) {
  const auto kib = [] { return *rc::gen::inRange<uint64_t>(0, uint64_t{1} << 34); };
  Sample s;
  s.time_ms = time_ms;
  s.between = *rc::gen::arbitrary<bool>();
  s.limit_kib = kib();
  s.target_kib = kib() / 4 * 4;  // the kernel's own is whole pages
  s.current_kib = kib();
  s.total_kib = kib();
  s.available_kib = kib();
  s.committed_kib = kib();
  s.reserve_kib = kib();
  s.kernel_kib = kib();
  s.span_kib = kib();
  s.in_tmem_kib = kib();
  if (*rc::gen::arbitrary<bool>()) s.stall_us = *rc::gen::inRange<uint64_t>(0, uint64_t{1} << 50);
  s.refaults_pages = kib();
  s.swapins_pages = kib();
  return s;
}

Params any_params() {
  Params params;
  params.policy = *rc::gen::element(Policy::kPressure, Policy::kCommitted);
  for (const KeyInfo& key : number_keys()) {
    const uint32_t value = *rc::gen::inRange<uint64_t>(key.lowest, uint64_t{key.highest} + 1);
    RC_ASSERT(set(params, key.name, std::to_string(value)) == std::nullopt);
  }
  return params;
}

RC_GTEST_PROP(Controller, NeverAboveTheLimitNeverBelowTheFloorNothingTakenBetween, ()) {
  Params params = any_params();
  State state;
  uint64_t time_ms = 0;
  for (int i = 0; i < 30; ++i) {
    time_ms += *rc::gen::inRange<uint64_t>(0, 10000);
    const Sample sample = any_sample(time_ms);
    const Decision decision = decide(params, state, sample);
    RC_ASSERT(decision.target_kib <= sample.limit_kib);
    RC_ASSERT(decision.target_kib >= decision.floor_kib);
    RC_ASSERT(decision.floor_kib <= sample.limit_kib);
    RC_ASSERT(decision.target_kib % 4 == 0u);
    if (sample.between && params.policy == Policy::kPressure && sample.target_kib <= sample.limit_kib && params.selfballooning)
      RC_ASSERT(decision.target_kib >= sample.target_kib);
    RC_ASSERT(decision.unswap_kib <= sample.in_tmem_kib);
    RC_ASSERT(decision.next.calm_intervals <= 30u);
    state = decision.next;
    if (*rc::gen::inRange(0, 10) == 0) params = any_params();  // tuned while it runs
  }
}

RC_GTEST_PROP(Controller, IsAFunctionOfItsArguments, ()) {
  const Params params = any_params();
  const Sample sample = any_sample(1000);
  const Decision one = decide(params, {}, sample), two = decide(params, {}, sample);
  RC_ASSERT(one.target_kib == two.target_kib && one.reason == two.reason && one.unswap_kib == two.unswap_kib);
}

// A constant need ends in a constant target, from wherever it begins: taken in one direction only.
RC_GTEST_PROP(Controller, AConstantNeedIsReachedWithoutSwinging, ()) {
  const uint64_t limit = *rc::gen::inRange<uint64_t>(64 << 10, 64 << 20);
  const uint64_t need = *rc::gen::inRange<uint64_t>(1 << 10, limit);
  uint64_t target = *rc::gen::inRange<uint64_t>(limit / 4, limit + 1) / 4 * 4;
  State state;
  int changes = 0, direction = 0;
  uint64_t last = target;
  for (int i = 0; i < 400; ++i) {
    Sample sample;
    sample.time_ms = static_cast<uint64_t>(i) * 5000;
    sample.limit_kib = limit;
    sample.target_kib = sample.current_kib = sample.total_kib = target;
    sample.available_kib = target > need ? target - need : 0;
    const Decision decision = decide({}, state, sample);
    state = decision.next;
    const int now = decision.target_kib > target ? 1 : decision.target_kib < target ? -1 : direction;
    if (direction != 0 && now != direction) ++changes;
    direction = now;
    last = target;
    target = decision.target_kib;
  }
  RC_ASSERT(changes == 0);
  RC_ASSERT(last == target);
}

}  // namespace
}  // namespace tmem::selfballoon
