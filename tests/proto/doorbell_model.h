// SPDX-License-Identifier: MIT
// The ring's own code, run one shared access at a time. This header takes the place of tmem_barrier.h: each access asks the
// explorer, which either replays what the access returned before or stops the process there. So a process is a function of
// what it has observed, a state of the whole is a plain value, and all states can be visited.
//
// Memory is TSO (x86): stores wait in a buffer of their process, loads look into the own buffer first, and a fence, a
// doorbell or going to sleep waits until the buffer is empty. The weaker orders of other machines are covered for the plain
// data by acquire and release, which the thread sanitizer checks in transport's tests.
#pragma once

#define TMEM_BARRIER_H
#include <cstddef>
#include <cstdint>
#include <vector>

namespace model {

enum class Kind : uint8_t { kLoad, kStore, kFence, kRing, kSleep, kDone };

struct Access {
  Kind kind;
  const uint32_t* word = nullptr;  // load, store
  uint32_t value = 0;              // store
};

struct Suspended {};  // thrown out of a process at the first access that was not observed yet

struct Tape {
  const std::vector<uint32_t>* observed = nullptr;
  std::size_t position = 0;
  Access next{Kind::kDone};
};
inline thread_local Tape* tape = nullptr;

inline uint32_t access(Access a) {
  if (tape->position < tape->observed->size()) return (*tape->observed)[tape->position++];
  tape->next = a;
  throw Suspended{};
}

}  // namespace model

static inline uint32_t tmem_load_once(const uint32_t* p) { return model::access({model::Kind::kLoad, p}); }
static inline uint32_t tmem_load_acquire(const uint32_t* p) { return model::access({model::Kind::kLoad, p}); }
static inline void tmem_store_once(uint32_t* p, uint32_t v) { model::access({model::Kind::kStore, p, v}); }
static inline void tmem_store_release(uint32_t* p, uint32_t v) { model::access({model::Kind::kStore, p, v}); }
static inline void tmem_fence() { model::access({model::Kind::kFence}); }
static inline void tmem_prefetch_write(const void*) {}  // about time only
