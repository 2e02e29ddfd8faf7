// SPDX-License-Identifier: MIT
// What a client of two shards feels while the memory of both shrinks and grows: the slowest of all its gets and puts, on any queue and in
// any repeat, beside the slowest when nothing moves. Each arena is in a memfd, full of ephemeral pages above the persistent ones that are
// read; so shrinking drops, compacts, and gives segments back to the system.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "bench/bench_report.h"
#include "bench/page_corpus.h"
#include "bench/shard_service.h"
#include "daemon/base/arena_file.h"

namespace tmem::bench {
namespace {

constexpr unsigned kShards = 2;
constexpr uint32_t kSegments = 1024;  // of each
constexpr uint64_t kWhole = uint64_t{kSegments} * kSegmentBytes;
constexpr int kSteps = 8, kRepeats = 3;
constexpr double kStepSeconds = 0.1;
constexpr size_t kPersistent = 8192;
constexpr size_t kEphemeral = 3 * kWhole / kPageBytes;  // more than has room

struct Shard {
  explicit Shard(unsigned n) {
    auto made = ArenaFile::create("bench-resize", kSegments, false);
    if (!made) std::abort();
    arena = std::move(made.value());
    // The first processor is the client's. Where there are but two, the workers take turns, as they would in a service.
    service = std::make_unique<ShardService>(*arena, 1 + n % std::max(1u, std::thread::hardware_concurrency() - 1));
    service->call([&] {
      if (service->engine().new_pool(kClient, PoolId(1), TMEMIF_POOL_FLAGS(0)) != Status::kOk) std::abort();
    });
  }
  std::unique_ptr<ArenaFile> arena;
  std::unique_ptr<ShardService> service;
};

struct Slowest {  // seconds
  double get = 0, put = 0;
  uint64_t puts = 0, refused = 0;
  void add(const Slowest& other) {
    get = std::max(get, other.get);
    put = std::max(put, other.put);
    puts += other.puts;
    refused += other.refused;
  }
};

template <typename Check>
void put(ShardService& service, const test::PageCorpus& corpus, uint32_t pool, size_t first, size_t count, Check check) {
  service.pipeline(count, [&](tmemif_request& r, size_t n, uint16_t slot) {
    std::memcpy(service.front->slot(slot), corpus[first + n].data(), kPageBytes);
    r = request_for(TMEMIF_OP_PUT, first + n, slot);
    r.pool = pool;
  }, check);
}

// One at a time for so long: gets of persistent pages, and puts, of either kind in turn. A put may be refused, but not late.
Slowest feel(std::vector<Shard>& shards, const test::PageCorpus& corpus, double for_seconds) {
  Slowest slowest;
  const double end = seconds() + for_seconds;
  for (size_t n = 0; seconds() < end; n = n * 5 + 12345) {
    for (Shard& shard : shards) {
      const double start = seconds();
      shard.service->pipeline(1, [&](tmemif_request& r, size_t, uint16_t) { r = request_for(TMEMIF_OP_GET, n % kPersistent, 0); }, must_be_ok);
      const double between = seconds();
      const uint32_t pool = n & 1;
      put(*shard.service, corpus, pool, pool == 0 ? kPersistent + n % kPersistent : n % kEphemeral, 1,
          [&](const tmemif_response& r, size_t) { slowest.refused += r.status != TMEMIF_OK; });
      slowest.add({between - start, seconds() - between, 1, 0});
    }
  }
  return slowest;
}

// An eighth of the way down at a time, and up again. least: the part of its memory to which each shard came down, at most.
Slowest resize(std::vector<Shard>& shards, const test::PageCorpus& corpus, double& least) {
  Slowest slowest;
  uint64_t lowest[kShards] = {kWhole, kWhole};
  for (int step = -kSteps; step < kSteps; ++step) {
    const uint64_t away = static_cast<uint64_t>(kSteps - std::abs(step));
    for (Shard& shard : shards) shard.service->call([&] { shard.service->engine().set_memory_target(kWhole - kWhole * 3 / 4 * away / kSteps); });
    slowest.add(feel(shards, corpus, kStepSeconds));
    for (unsigned i = 0; i < kShards; ++i) {
      shards[i].service->call([&] { lowest[i] = std::min(lowest[i], shards[i].service->engine().stats().memory_bytes); });
    }
  }
  for (const uint64_t bytes : lowest) least = std::max(least, static_cast<double>(bytes) / static_cast<double>(kWhole));
  return slowest;
}

void bench_resize(Report& report, const test::PageCorpus& corpus) {
  std::vector<Shard> shards;
  for (unsigned n = 0; n < kShards; ++n) shards.emplace_back(n);
  for (Shard& shard : shards) put(*shard.service, corpus, 0, 0, kPersistent, must_be_ok);
  Slowest still, moving;
  double least = 0;
  for (int i = 0; i < kRepeats; ++i) {
    for (Shard& shard : shards) put(*shard.service, corpus, 1, 0, kEphemeral, must_be_ok);
    still.add(feel(shards, corpus, 2 * kSteps * kStepSeconds));
    moving.add(resize(shards, corpus, least));
  }
  report.line("resize.memory_came_down_to", least, "of all", 0, 0.5, true, kRepeats);
  report.line("resize.slowest_get_still", still.get * 1e3, "ms", 0, 0, true, kRepeats);
  report.line("resize.slowest_put_still", still.put * 1e3, "ms", 0, 0, true, kRepeats);
  report.line("resize.slowest_get", moving.get * 1e3, "ms", 0, 10, true, kRepeats);
  report.line("resize.slowest_put", moving.put * 1e3, "ms", 0, 10, true, kRepeats);
  report.line("resize.puts_refused", static_cast<double>(moving.refused) / static_cast<double>(moving.puts), "of all", 0, 0, true, kRepeats);
}

}  // namespace
}  // namespace tmem::bench

int main(int argc, char** argv) {
  tmem::bench::Report report(argc, argv);
  tmem::bench::pin(0);
  tmem::bench::bench_resize(report, tmem::test::PageCorpus(8192));
  return report.exit_status();
}
