// SPDX-License-Identifier: MIT
// Memory that is larger than what it may occupy. A range of anonymous memory is registered with userfaultfd; a thread of
// its own serves each page fault: with a zero page at the first touch, later with the bytes that the store gives back. When
// the budget is full it evicts.
//
// Who is evicted: pages form two queues. Active pages are mapped; nobody sees when they are touched. So the oldest of them
// becomes inactive: its bytes move to a buffer and its mapping goes. A fault then says that it is in use, and it becomes
// active again without the store; if none comes until it is the oldest of the inactive ones, it is put into the store.
// Active pages and buffers together are what the budget bounds.
//
// A page is write-protected before it is copied, so that no store of another thread slips in between copy and unmapping.
//
// Owns the range and the thread. Borrows the store. Thread rule: the range may be used by any thread of the program, but
// not by system calls (a fault inside the kernel is not served); everything else is the pager's own thread's.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "page_store.h"

namespace tmem::sim {

struct PagerStats {
  std::atomic<uint64_t> faults_zero{0};     // first touch
  std::atomic<uint64_t> faults_stored{0};   // served by the store
  std::atomic<uint64_t> faults_inactive{0}; // served from a buffer
  std::atomic<uint64_t> faults_write{0};    // a writer met a page that was on its way out
  std::atomic<uint64_t> evictions{0};       // put into the store
  std::atomic<uint64_t> evictions_refused{0};  // the store said no: the page stays, above the budget
  std::atomic<uint64_t> nanoseconds_stored{0}; // time in the store for faults
};

class Pager {
 public:
  // on_lost: the store could not give a page back. The thread that wants it can never go on: called on the pager's thread,
  // must not return to it by other ways than ending the process, or the faulting thread hangs.
  static std::unique_ptr<Pager> create(size_t bytes, size_t budget_bytes, PageStore& store,
                                       std::function<void(uint32_t page)> on_lost, std::string& error);
  ~Pager();
  Pager(const Pager&) = delete;
  Pager& operator=(const Pager&) = delete;

  std::byte* base() const { return base_; }
  size_t bytes() const { return size_t{pages_count_} * kPageBytes; }
  const PagerStats& stats() const { return stats_; }
  uint64_t resident_pages() const { return resident_; }

 private:
  enum class State : uint8_t { kUntouched, kActive, kInactive, kStored, kLost };
  struct Buffer {
    uint32_t page;
    std::unique_ptr<std::byte[]> bytes;
  };

  Pager(size_t bytes, size_t budget_bytes, PageStore& store, std::function<void(uint32_t)> on_lost);
  bool set_up(std::string& error);
  void run();
  void serve(uint64_t address, uint64_t flags);
  void serve_missing(uint32_t page);
  void make_room();
  void deactivate_oldest();
  bool evict_oldest();
  void append_inactive(Buffer buffer);
  Buffer take_inactive(uint32_t page);
  void place(uint32_t page, const std::byte* bytes);
  void wake(uint32_t page);
  uint64_t address_of(uint32_t page) const;

  const uint32_t pages_count_;
  const uint32_t budget_pages_;
  const uint32_t inactive_target_;
  PageStore& store_;
  const std::function<void(uint32_t)> on_lost_;
  std::byte* base_ = nullptr;
  int fault_fd_ = -1;
  int stop_fd_ = -1;

  std::vector<State> state_;
  std::deque<uint32_t> active_;    // oldest first
  std::deque<Buffer> inactive_;    // oldest first; page kNone: was taken back
  uint32_t inactive_first_ = 0;    // sequence number of the oldest
  uint32_t inactive_count_ = 0;    // without those taken back
  std::vector<uint32_t> sequence_; // of each inactive page: where it stands in inactive_
  std::vector<std::unique_ptr<std::byte[]>> spare_;  // buffers of pages that left
  std::unique_ptr<std::byte[]> incoming_;
  std::atomic<uint64_t> resident_{0};
  PagerStats stats_;
  std::thread thread_;
};

}  // namespace tmem::sim
