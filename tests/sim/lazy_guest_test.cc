// SPDX-License-Identifier: MIT
// What the kernel's hooks do, in user space: the registry, the front and the real service under a guest of a few lines that has
// a swap disk and a file. The twins of the lab's late-frontswap, late-cleancache and unload.
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <thread>

#include "connection.h"
#include "lazy_registry.h"
#include "sim/test_service.h"
#include "support/page_source.h"

namespace tmem::test {
namespace {

using sim::Connection;
using sim::ConnectionOptions;
using Page = std::array<uint64_t, kPageBytes / 8>;

constexpr uint32_t kType = 0, kFile = 1, kPages = 120;

Page page_of(uint64_t version) {
  Page page;
  for (size_t i = 0; i < page.size(); ++i) page[i] = version * 0x9e3779b97f4a7c15u + (version % 8 == 0 ? 0 : i / 16);
  return page;
}

// The guest's kernel. Its swap disk keeps what was written there last: a stale page, if it is read for one that is elsewhere.
class Guest {
 public:
  explicit Guest(const TestService& service) : service_(service) { EXPECT_EQ(tmem_lazy_init(&lazy_, members_, 2), 0); }
  ~Guest() { EXPECT_EQ(unload(), 0); }

  void swapon() { tmem_lazy_remember(&lazy_, kType, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT)); }
  void mount() { EXPECT_EQ(tmem_lazy_remember_any(&lazy_, kFile, TMEMIF_POOL_FLAGS(0), nullptr), static_cast<int>(kFile)); }
  void umount() { tmem_lazy_forget(&lazy_, kFile); }

  void load() {
    ConnectionOptions options;
    options.socket = service_.path();
    std::string error;
    connection_ = Connection::open(options, error);
    ASSERT_TRUE(connection_) << error;
    EXPECT_EQ(tmem_lazy_register(&lazy_, &backend_), 0);
    tmem_lazy_connect(&lazy_);
  }
  int unload() {
    const int error = tmem_lazy_unregister(&lazy_);
    if (error == 0) connection_.reset();
    return error;
  }
  void connected_again() { tmem_lazy_connect(&lazy_); }
  void leave() { tmem_lazy_leave(&lazy_); }
  // One page comes back and goes to the disk.
  void bring_back(uint32_t index) {
    std::lock_guard lock(swap_[index].mutex);
    Page page;
    if (!swap_[index].stored) return;
    EXPECT_TRUE(read(index, page));
    forget(index);
    swap_[index].disk = page;
  }

  void swap_out(uint32_t index, const Page& page) {
    std::lock_guard lock(swap_[index].mutex);
    if (swap_[index].stored) forget(index);
    if (const Call call(*this, kType, TMEM_LAZY_PUT); call) {
      const tmem_front_handle handle{kType, index, {0, 0, 0}};
      Page copy = page;
      ++pages_;
      swap_[index].stored = tmem_front_put(connection_->front(), &handle, copy.data()) == TMEMIF_OK;
      pages_ -= !swap_[index].stored;
    }
    if (!swap_[index].stored) swap_[index].disk = page;
    (swap_[index].stored ? stored : to_disk)++;
  }
  // False: an I/O error.
  bool swap_in(uint32_t index, Page& page) {
    std::lock_guard lock(swap_[index].mutex);
    return read(index, page);
  }

  void drop_file_page(uint32_t index) {
    const Call call(*this, kFile, TMEM_LAZY_PUT);
    const tmem_front_handle handle{kFile, index, {1, 2, 3}};
    Page page = file[index];
    if (call) (void)tmem_front_put(connection_->front(), &handle, page.data());
  }
  Page read_file_page(uint32_t index) {
    const Call call(*this, kFile, TMEM_LAZY_GET);
    const tmem_front_handle handle{kFile, index, {1, 2, 3}};
    Page page;
    if (call && tmem_front_get(connection_->front(), &handle, page.data()) == TMEMIF_OK) return page;
    ++file_reads;
    return file[index];
  }
  void write_file_page(uint32_t index, const Page& page) {
    file[index] = page;
    const Call call(*this, kFile, TMEM_LAZY_GET);
    const tmem_front_handle handle{kFile, index, {1, 2, 3}};
    if (call) (void)tmem_front_flush_page(connection_->front(), &handle);
  }

  std::array<Page, kPages> file{};
  uint64_t file_reads = 0;
  std::atomic<uint64_t> stored{0}, to_disk{0};

 private:
  struct Slot {
    std::mutex mutex;  // the page's lock
    bool stored = false;
    Page disk{};
  };
  class Call {
   public:
    Call(Guest& guest, uint32_t slot, tmem_lazy_call call) : guest_(guest), inside_(tmem_lazy_enter(&guest.lazy_, slot, call, &ticket_)) {}
    ~Call() {
      if (inside_) tmem_lazy_exit(&guest_.lazy_, ticket_);
    }
    explicit operator bool() const { return inside_; }

   private:
    Guest& guest_;
    int ticket_ = 0;
    const bool inside_;
  };

  bool read(uint32_t index, Page& page) {
    if (!swap_[index].stored) {
      page = swap_[index].disk;
      return true;
    }
    const Call call(*this, kType, TMEM_LAZY_GET);
    EXPECT_TRUE(call) << "page " << index << " is in tmem, which has no backend";
    const tmem_front_handle handle{kType, index, {0, 0, 0}};
    return call && tmem_front_get(connection_->front(), &handle, page.data()) == TMEMIF_OK;
  }
  void forget(uint32_t index) {
    const Call call(*this, kType, TMEM_LAZY_GET);
    const tmem_front_handle handle{kType, index, {0, 0, 0}};
    EXPECT_TRUE(call);
    if (call) (void)tmem_front_flush_page(connection_->front(), &handle);
    swap_[index].stored = false;
    --pages_;
  }
  static int make_pool(void* self, uint32_t slot, uint32_t flags, const uint64_t*) {
    return tmem_front_errno(tmem_front_new_pool(static_cast<Guest*>(self)->connection_->front(), slot, flags, nullptr));
  }
  static int drop_pool(void* self, uint32_t slot) {
    return tmem_front_errno(tmem_front_destroy_pool(static_cast<Guest*>(self)->connection_->front(), slot));
  }
  static uint64_t pages(void* self, uint32_t slot) { return slot == kType ? static_cast<Guest*>(self)->pages_.load() : 0; }

  const TestService& service_;
  std::unique_ptr<Connection> connection_;
  tmem_lazy lazy_;
  tmem_lazy_member members_[2];
  const tmem_lazy_backend backend_{make_pool, drop_pool, pages, this};
  std::array<Slot, kPages> swap_;
  std::atomic<uint64_t> pages_{0};
};

class LazyGuestTest : public testing::TestWithParam<uint32_t> {
 protected:
  TestService service_{GetParam()};
  Guest guest_{service_};
};
INSTANTIATE_TEST_SUITE_P(Shards, LazyGuestTest, testing::Values(2u, 1u));

TEST_P(LazyGuestTest, PagesOfBeforeComeFromTheDiskAndNewOnesFromTmem) {
  Page page;
  guest_.swapon();
  for (uint32_t i = 0; i < kPages; ++i) guest_.swap_out(i, page_of(i));
  EXPECT_EQ(guest_.stored, 0u);
  guest_.load();
  for (uint32_t i = 0; i < kPages; i += 2) guest_.swap_out(i, page_of(1000 + i));
  EXPECT_EQ(guest_.stored, kPages / 2);
  for (uint32_t i = 0; i < kPages; ++i) {
    EXPECT_TRUE(guest_.swap_in(i, page));
    EXPECT_EQ(page, page_of(i % 2 ? i : 1000 + i));
  }
  EXPECT_EQ(guest_.unload(), -EBUSY);
  for (uint32_t i = 0; i < kPages; ++i) guest_.bring_back(i);
}

TEST_P(LazyGuestTest, AFileSystemThatWasMountedBeforeIsCachedAndNeverStale) {
  guest_.mount();
  for (uint32_t i = 0; i < kPages; ++i) guest_.file[i] = page_of(i);
  guest_.load();
  for (uint32_t i = 0; i < kPages; ++i) guest_.drop_file_page(i);
  for (uint32_t i = 0; i < kPages; i += 3) guest_.write_file_page(i, page_of(2000 + i));
  for (uint32_t i = 0; i < kPages; ++i) EXPECT_EQ(guest_.read_file_page(i), guest_.file[i]);
  EXPECT_EQ(guest_.file_reads, kPages / 3);
  for (uint32_t i = 0; i < kPages; ++i) guest_.drop_file_page(i);
  guest_.umount();
  for (uint32_t i = 0; i < kPages; ++i) guest_.file[i] = page_of(3000 + i);  // by somebody else
  guest_.mount();
  for (uint32_t i = 0; i < kPages; ++i) EXPECT_EQ(guest_.read_file_page(i), page_of(3000 + i));
}

TEST_P(LazyGuestTest, TheModuleComesAndGoesUnderLoad) {
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> wrong{0};
  guest_.swapon();
  auto work = [&](uint32_t first) {
    std::map<uint32_t, uint64_t> model;
    Random random(first);
    Page page;
    for (uint64_t version = 1; !stop; ++version) {
      const auto index = static_cast<uint32_t>(random() % (kPages / 2)) * 2 + first;
      if (random() % 2) {
        guest_.swap_out(index, page_of(version));
        model[index] = version;
      } else if (model.count(index)) {
        wrong += !guest_.swap_in(index, page) || page != page_of(model[index]);
      }
    }
  };
  std::thread one(work, 0), two(work, 1);
  for (int round = 0; round < 10; ++round) {
    const uint64_t before = guest_.stored;
    guest_.load();
    while (guest_.stored < before + 200) std::this_thread::yield();
    guest_.leave();
    for (uint32_t i = 0; i < kPages; ++i) guest_.bring_back(i);
    EXPECT_EQ(guest_.unload(), 0);
  }
  stop = true;
  one.join();
  two.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(guest_.to_disk, 0u);
}

TEST_P(LazyGuestTest, WhatTheServiceLostIsAnErrorUntilItIsWrittenAgain) {
  Page page;
  guest_.swapon();
  for (uint32_t i = 0; i < kPages; ++i) guest_.swap_out(i, page_of(i));
  guest_.load();
  for (uint32_t i = 0; i < kPages; ++i) guest_.swap_out(i, page_of(500 + i));
  service_.crash(true);
  service_.start();
  for (uint32_t i = 0; i < kPages; ++i) EXPECT_FALSE(guest_.swap_in(i, page)) << i;
  guest_.connected_again();
  for (uint32_t i = 0; i < kPages; ++i) EXPECT_FALSE(guest_.swap_in(i, page)) << i;
  for (uint32_t i = 0; i < kPages; ++i) guest_.swap_out(i, page_of(700 + i));
  for (uint32_t i = 0; i < kPages; ++i) {
    EXPECT_TRUE(guest_.swap_in(i, page));
    EXPECT_EQ(page, page_of(700 + i));
  }
  for (uint32_t i = 0; i < kPages; ++i) guest_.bring_back(i);
}

}  // namespace
}  // namespace tmem::test
