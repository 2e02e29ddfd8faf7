// SPDX-License-Identifier: MIT
// An Engine whose answers the test chooses. fake_engine.cc defines the members of tmem::Engine, so that a program which links
// it tests the transport alone: what reaches the engine, and what becomes of each answer. Programs that link the real engine
// leave this out. One at a time; the state is the test's to look into.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tmem/engine.h"

namespace tmem {

struct FakeEngine {
  FakeEngine();  // becomes the current one
  ~FakeEngine();

  std::unique_ptr<Engine> engine;

  // What was called, as "put 1 3 {1,2,3} 7": client, pool, object, index; more where the op has more.
  std::vector<std::string> calls;
  std::optional<Status> answer;           // instead of what the map below says
  std::function<void()> during;           // runs inside every data call
  std::map<Handle, std::vector<std::byte>> pages;
  std::map<Handle, uint64_t> words;       // same-filled pages
  const std::byte* last_page = nullptr;   // where the engine was shown a page
  uint32_t credits = 0;
  uint32_t credits_available = ~uint32_t{0};  // top_up_credits() does not go beyond
  uint32_t credits_wanted = 0;            // the last want
  uint32_t revocations = 0;
  uint32_t steps = 0;
  uint32_t steps_wanted = 0;              // step() answers true so often
  uint32_t prefetches = 0;
  uint64_t work_done = 0;
  uint64_t work_per_call = 0;             // what each data call costs beside itself
};

}  // namespace tmem
