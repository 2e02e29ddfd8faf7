// SPDX-License-Identifier: MIT
// A small guest: the workload on files made here, in memory four times its budget, served by the real engine.
#include <gtest/gtest.h>

#include <fstream>

#include "connection.h"
#include "pager.h"
#include "sim/test_service.h"
#include "support/page_source.h"
#include "workload.h"

namespace tmem::test {
namespace {

namespace fs = std::filesystem;

class GuestTest : public testing::Test {
 protected:
  GuestTest() {
    char directory[] = "/tmp/tmem-tree-XXXXXX";
    if (!::mkdtemp(directory)) std::abort();
    tree_ = directory;
    Random random(7);
    for (int i = 0; i < 30; ++i) {
      std::ofstream out(tree_ / ("file" + std::to_string(i)));
      for (int line = 0; line < 1500; ++line) {
        for (int word = 0; word < 6; ++word) out << "word" << std::hex << random() % 5000 << ' ';
        out << '\n';
      }
    }
    files_ = sim::list_tree(tree_.string(), 1 << 30);
    for (const sim::CachedFile& file : files_) bytes_ += file.size;
  }
  ~GuestTest() override { fs::remove_all(tree_); }

  sim::WorkResult in_plenty() {
    std::vector<std::byte> memory(sim::Workload::memory_bytes(bytes_));
    sim::FileCache cache(16, nullptr, 0);
    return sim::Workload(memory, cache, files_, 1).run();
  }

  fs::path tree_;
  std::vector<sim::CachedFile> files_;
  uint64_t bytes_ = 0;
  TestService service_{2};
};

TEST_F(GuestTest, ItsWorkIsRightWhileTheServiceDiesAgainAndAgain) {
  sim::ConnectionOptions options;
  options.socket = service_.path();
  std::string error;
  auto connection = sim::Connection::open(options, error);
  ASSERT_TRUE(connection) << error;
  sim::TmemStore store(connection->front(), 0);
  ASSERT_TRUE(store.ok());
  sim::FileCache cache(64, connection->front(), 1);
  const uint64_t memory_bytes = sim::Workload::memory_bytes(bytes_);
  auto pager = sim::Pager::create(memory_bytes, memory_bytes / 4, store, [](uint32_t page) {
    std::fprintf(stderr, "page %u lost\n", page);
    std::abort();
  }, error);
  if (!pager) GTEST_SKIP() << error << ": this kernel or sandbox has no userfaultfd with write protection";

  sim::Workload work({pager->base(), pager->bytes()}, cache, files_, 1);
  sim::WorkResult result;
  std::atomic<bool> done{false};
  std::thread worker([&] {
    result = work.run();
    done = true;
  });
  Random random(seed_or(3));
  while (!done) {
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 100000));  // a random point; nothing depends on which
    service_.crash();
    service_.start();
  }
  worker.join();
  EXPECT_EQ(result.pages_different, 0u);
  EXPECT_EQ(result.digest, in_plenty().digest);
  EXPECT_GT(pager->stats().faults_stored, 0u);
  EXPECT_GT(cache.stats().hits_pool, 0u);
}

TEST_F(GuestTest, WhatThePoolRefusesGoesToTheSwapFile) {
  struct HalfFull final : sim::PageStore {
    explicit HalfFull(sim::PageStore& inner) : inner_(inner) {}
    bool put(uint32_t page, const std::byte* bytes) override { return page % 2 == 0 && inner_.put(page, bytes); }
    bool get(uint32_t page, std::byte* bytes) override { return page % 2 == 0 && inner_.get(page, bytes); }
    sim::PageStore& inner_;
  };
  std::string error;
  auto inner = sim::FileStore::create((tree_ / "first").string(), error);
  auto second = sim::FileStore::create((tree_ / "second").string(), error);
  ASSERT_TRUE(inner && second) << error;
  HalfFull first(*inner);
  const uint64_t memory_bytes = sim::Workload::memory_bytes(bytes_);
  sim::OverflowStore both(first, *second, static_cast<uint32_t>(memory_bytes / sim::kPageBytes) + 1);
  auto pager = sim::Pager::create(memory_bytes, memory_bytes / 4, both, [](uint32_t) { std::abort(); }, error);
  if (!pager) GTEST_SKIP() << error << ": this kernel or sandbox has no userfaultfd with write protection";
  sim::FileCache cache(64, nullptr, 0);
  const sim::WorkResult result = sim::Workload({pager->base(), pager->bytes()}, cache, files_, 1).run();
  EXPECT_EQ(result.digest, in_plenty().digest);
  EXPECT_GT(both.overflowed(), 0u);
}

}  // namespace
}  // namespace tmem::test
