// SPDX-License-Identifier: MIT
// What a client feels while the memory of a shard shrinks and grows: the slowest of its gets, against the slowest when nothing moves.
// The arena is in a memfd, full of ephemeral pages above the persistent ones that are read; so shrinking drops, compacts, and gives
// segments back to the system.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "bench/bench_report.h"
#include "bench/page_corpus.h"
#include "bench/shard_service.h"
#include "daemon/base/arena_file.h"

namespace tmem::bench {
namespace {

constexpr uint32_t kSegments = 1024;
constexpr uint64_t kWhole = uint64_t{kSegments} * kSegmentBytes;
constexpr int kSteps = 8, kRepeats = 3;
constexpr double kStepSeconds = 0.1;
constexpr size_t kPersistent = 8192;

void put(ShardService& service, const test::PageCorpus& corpus, uint32_t pool, size_t count) {
  service.pipeline(count, [&](tmemif_request& r, size_t n, uint16_t slot) {
    std::memcpy(service.front->slot(slot), corpus[n].data(), kPageBytes);
    r = request_for(TMEMIF_OP_PUT, n, slot);
    r.pool = pool;
  }, must_be_ok);
}

// Gets persistent pages, one at a time, for so long; the slowest, seconds.
double slowest_get(ShardService& service, double for_seconds) {
  double slowest = 0;
  const double end = seconds() + for_seconds;
  for (size_t n = 0; seconds() < end; n = (n * 5 + 12345) % kPersistent) {
    const double start = seconds();
    service.pipeline(1, [&](tmemif_request& r, size_t, uint16_t) { r = request_for(TMEMIF_OP_GET, n, 0); }, must_be_ok);
    slowest = std::max(slowest, seconds() - start);
  }
  return slowest;
}

void bench_resize(Report& report, const test::PageCorpus& corpus) {
  auto arena = ArenaFile::create("bench-resize", kSegments, false);
  if (!arena) std::abort();
  ShardService service(*arena.value());
  service.call([&] {
    if (service.engine().new_pool(kClient, PoolId(1), TMEMIF_POOL_FLAGS(0)) != Status::kOk) std::abort();
  });
  put(service, corpus, 0, kPersistent);
  std::vector<double> moving, still;
  uint64_t least = kWhole;
  for (int i = 0; i < kRepeats; ++i) {
    put(service, corpus, 1, 3 * kWhole / kPageBytes);
    still.push_back(slowest_get(service, 2 * kSteps * kStepSeconds));
    double slowest = 0;
    for (int step = -kSteps; step < kSteps; ++step) {  // an eighth of the way down at a time, and up again
      const uint64_t away = static_cast<uint64_t>(kSteps - std::abs(step));
      service.call([&] { service.engine().set_memory_target(kWhole - kWhole * 3 / 4 * away / kSteps); });
      slowest = std::max(slowest, slowest_get(service, kStepSeconds));
      service.call([&] { least = std::min(least, service.engine().stats().memory_bytes); });
    }
    moving.push_back(slowest);
  }
  report.line("resize.memory_came_down_to", static_cast<double>(least) / static_cast<double>(kWhole), "of all", 0, 0.5, true, kRepeats);
  report.line("resize.slowest_get_still", median(still) * 1e3, "ms", 0, 0, true, kRepeats);
  report.line("resize.slowest_get", median(moving) * 1e3, "ms", 0, 10, true, kRepeats);
}

}  // namespace
}  // namespace tmem::bench

int main(int argc, char** argv) {
  tmem::bench::Report report(argc, argv);
  tmem::bench::pin(0);
  tmem::bench::bench_resize(report, tmem::test::PageCorpus(8192));
  return report.exit_status();
}
