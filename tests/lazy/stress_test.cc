// SPDX-License-Identifier: MIT
// The registry over POSIX, with real threads: what the explorer leaves out is how memory behaves, and that ThreadSanitizer
// judges. The service is a plain array without a lock: a call that comes before its pool or after unregister is a data race.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "lazy_registry.h"

namespace tmem::test {
namespace {

constexpr uint32_t kTypes = 4, kFiles = 4, kSlots = kTypes + kFiles;

// Slots' locks are what Linux gives: one call for a page at a time. The pools' words are written with no lock but those.
struct Service {
  struct Pool {
    bool exists = false;
    std::array<uint64_t, 8> words{};
  };
  std::array<Pool, kSlots> pool;
  std::array<std::mutex, kSlots> page_lock;
  std::array<uint64_t, kSlots> version{};
  std::array<bool, kSlots> stored{};
  std::array<std::atomic<uint64_t>, kSlots> pages{};
};

int make_pool(void* owner, uint32_t slot, uint32_t flags, const uint64_t*) {
  Service::Pool& pool = static_cast<Service*>(owner)->pool[slot];
  EXPECT_TRUE(!pool.exists || flags & TMEMIF_POOL_PERSISTENT) << slot;
  if (pool.exists) return 0;  // calls may be inside
  pool.words.fill(0);
  pool.exists = true;
  return 0;
}

int drop_pool(void* owner, uint32_t slot) {
  static_cast<Service*>(owner)->pool[slot].exists = false;
  return 0;
}

uint64_t pages(void* owner, uint32_t slot) { return static_cast<Service*>(owner)->pages[slot]; }

class LazyStress : public ::testing::Test {
 protected:
  LazyStress() { EXPECT_EQ(tmem_lazy_init(&lazy_, members_.data(), kSlots), 0); }

  void swap_page(uint32_t slot, unsigned what) {
    std::lock_guard lock(service_.page_lock[slot]);
    int ticket;
    if (what == 0 && !service_.stored[slot] && tmem_lazy_enter(&lazy_, slot, TMEM_LAZY_PUT, &ticket)) {
      EXPECT_TRUE(service_.pool[slot].exists);
      ++service_.pages[slot];
      service_.pool[slot].words.fill(++service_.version[slot]);
      service_.stored[slot] = true;
      tmem_lazy_exit(&lazy_, ticket);
    } else if (what != 0 && service_.stored[slot]) {
      ASSERT_TRUE(tmem_lazy_enter(&lazy_, slot, TMEM_LAZY_GET, &ticket)) << "a stored page without a backend";
      EXPECT_EQ(service_.pool[slot].words[what % 8], service_.version[slot]);
      if (what == 1) {
        service_.stored[slot] = false;
        --service_.pages[slot];
      }
      tmem_lazy_exit(&lazy_, ticket);
    }
  }

  void file_page(uint32_t slot, unsigned what) {
    std::lock_guard lock(service_.page_lock[slot]);
    int ticket;
    if (!tmem_lazy_enter(&lazy_, slot, what == 0 ? TMEM_LAZY_PUT : TMEM_LAZY_GET, &ticket)) {
      service_.version[slot] += what == 1; // written to while nothing can be there
      return;
    }
    Service::Pool& pool = service_.pool[slot];
    EXPECT_TRUE(pool.exists);
    if (what == 0) {
      pool.words.fill(service_.version[slot]);
    } else if (what == 1) {
      ++service_.version[slot];
      if (service_.version[slot] % 2)
        pool.words.fill(0);
      else
        tmem_lazy_spoil(&lazy_, slot);
    } else if (pool.words[0]) {
      EXPECT_EQ(pool.words[what % 8], service_.version[slot]) << "a stale page";
    }
    tmem_lazy_exit(&lazy_, ticket);
  }

  void come_and_go(uint32_t slot, std::mt19937_64& random) {
    std::lock_guard lock(service_.page_lock[slot]);
    if (slot < kTypes) {
      if (service_.stored[slot]) return;
      random() % 2 ? tmem_lazy_remember(&lazy_, slot, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT)) : tmem_lazy_forget(&lazy_, slot);
    } else {
      tmem_lazy_forget(&lazy_, slot);
      (void)tmem_lazy_remember_any(&lazy_, slot, TMEMIF_POOL_FLAGS(0), nullptr);
    }
  }

  Service service_;
  tmem_lazy lazy_;
  std::array<tmem_lazy_member, kSlots> members_;
  const tmem_lazy_backend backend_{make_pool, drop_pool, pages, &service_};
};

TEST_F(LazyStress, CallsAndBackendsComeAndGo) {
  constexpr int kRounds = 150, kCalls = 20;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (uint64_t seed = 1; seed <= 3; ++seed)
    threads.emplace_back([this, seed, &stop] {
      for (std::mt19937_64 random(seed); !stop;) {
        const auto slot = static_cast<uint32_t>(random() % kSlots);
        if (random() % 50 == 0)
          come_and_go(slot, random);
        else if (slot < kTypes)
          swap_page(slot, static_cast<unsigned>(random() % 6));
        else
          file_page(slot, static_cast<unsigned>(random() % 6));
      }
    });
  std::mt19937_64 random(7);
  uint32_t unloads = 0;
  for (int round = 0; round < kRounds; ++round) {
    EXPECT_EQ(tmem_lazy_register(&lazy_, &backend_), 0);
    EXPECT_EQ(tmem_lazy_register(&lazy_, &backend_), -EBUSY);
    for (int i = 0; i < kCalls; ++i) {
      tmem_lazy_connect(&lazy_);
      tmem_lazy_mend(&lazy_);
      std::this_thread::yield();
    }
    tmem_lazy_leave(&lazy_);
    while (tmem_lazy_unregister(&lazy_) == -EBUSY)
      for (uint32_t slot = 0; slot < kTypes; ++slot) swap_page(slot, 1);
    ++unloads;
    for (Service::Pool& pool : service_.pool) {  // nobody is inside: no lock
      EXPECT_FALSE(pool.exists);
      pool.words.fill(0);
    }
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(unloads, kRounds);
}

}  // namespace
}  // namespace tmem::test
