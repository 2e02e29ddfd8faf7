// SPDX-License-Identifier: MIT
// A breather on a host in memory, and a clock.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "breathe/breather.h"
#include "breathe/fake_host.h"
#include "tmem/tmem_xs.h"

namespace tmem::breathe {

using testing::ElementsAre;
using testing::IsEmpty;

class BreatherTest : public testing::Test {
 protected:
  bool round(uint64_t ms = 1000) { return breather_.round(now_ += ms); }
  void rounds(int count) {
    for (int i = 0; i < count; ++i) {
      round();
      host_.settle();
      EXPECT_GE(host_.domain(kTmem).current_kib, 100 * kMib + host_.service.now_kib) << "the service counts on memory that its domain has not got";
    }
  }
  void ask(const std::string& id, uint64_t mib, int hold = 60) {
    host_.store.write(TMEM_XS_FLOW_ROOM "/" + id, "kib=" + std::to_string(mib * kMib) + " hold=" + std::to_string(hold), {});
  }
  std::string answer(const std::string& id) { return host_.store.read(TMEM_XS_FLOW_ROOM "/" + id + "/" TMEM_XS_FLOW_ANSWER).value_or(""); }
  // A guest that may be asked.
  DomainView& willing(Domid id, uint64_t mib, uint64_t min_mib) {
    host_.store.write(node(id, "memory/tmem/flow/min"), std::to_string(min_mib), {});
    return host_.add(id, "g" + std::to_string(id), mib);
  }
  // Guest 2 is limited for a room, because tmem can give nothing.
  void limit_guest_2(int hold) {
    host_.service.needed_kib = host_.service.now_kib = 400 * kMib;
    willing(2, 800, 300);
    ask("7", 1000, hold);
    rounds(3);
    ASSERT_LT(host_.target(2), 800 * kMib);
  }

  FakeHost host_;
  std::string moving_;
  std::vector<std::string> told_;
  uint64_t now_ = 0;
  Breather breather_{host_.store, host_, host_, {{}, "tmem", [this](Domid, const std::string& name) { return name == moving_; }},
                     [this](const Event& event) { told_.push_back(std::string(flow::to_string(event.what)) + " " + event.name); }};
};

}  // namespace tmem::breathe
