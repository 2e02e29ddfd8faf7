// SPDX-License-Identifier: MIT
// What a service waits for after a crash: engines made from arenas that survived, per GiB of arena, in CPU time.
//
//   recovery.store    the store alone, one arena: what it costs to read the slot directories, or to verify every payload
//   recovery.shard    one engine: the store, and the index built anew
//   recovery.service  two shards at once, each on its thread, as xen-tmemd does it: the slower thread's time over both arenas
//   recovery.memfd    the same two shards as a new process finds them: memfds that it maps anew, so that page faults count too
//
// The first three are on huge pages that are mapped already. Pages are compressed contents of this machine's files, half of
// them overwritten in random order.
//
//   bench_recovery [--json] [--mib N]     N: of each shard's arena (256)
#include <sys/mman.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>

#include "bench/page_corpus.h"
#include "bench_report.h"
#include "daemon/base/arena_file.h"
#include "store/arena.h"
#include "support/page_source.h"
#include "tmem/engine.h"

namespace tmem::bench {
namespace {

constexpr int kRepeated = 7;
constexpr int kShards = 2;
const ClientId kClient(1);
const PoolId kPool(0);

// Anonymous, in huge pages, all of it there from the start.
class HugeMemory : public SegmentMemory {
 public:
  explicit HugeMemory(uint32_t segments_max) : segments_max_(segments_max) {
    void* mapped = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) std::abort();
    madvise(mapped, bytes(), MADV_HUGEPAGE);
    base_ = static_cast<std::byte*>(mapped);
  }
  ~HugeMemory() override { munmap(base_, bytes()); }
  std::byte* base() override { return base_; }
  uint32_t segments_max() const override { return segments_max_; }
  bool commit(uint32_t) override { return true; }
  void decommit(uint32_t) override {}
  size_t bytes() const { return (size_t{segments_max_} + 1) * kSegmentBytes; }

 private:
  std::byte* base_ = nullptr;
  uint32_t segments_max_;
};

EngineConfig config_of(const SegmentMemory& memory) {
  return EngineConfig{uint64_t{memory.segments_max()} * kSegmentBytes, true};
}

Handle handle_of(uint64_t n) {
  return {kPool, ObjectId{{n % 16, 0, 0}}, PageIndex(static_cast<uint32_t>(n / 16))};
}

// Full, then half of the pages overwritten, so that records lie in no order and directories have dead slots.
void fill(SegmentMemory& memory, const test::PageCorpus& corpus) {
  std::unique_ptr<Engine> engine = std::move(Engine::create(memory, config_of(memory)).value());
  if (engine->attach(kClient, {}, {}, true) != Status::kOk) std::abort();
  if (engine->new_pool(kClient, kPool, pool_flags(kPoolPersistent)) != Status::kOk) std::abort();
  uint64_t stored = 0;
  while (engine->put(kClient, handle_of(stored), corpus[stored]) == Status::kOk) ++stored;
  test::Random random(test::seed_or(1));
  for (uint64_t i = stored / 2; i > 0; --i) {
    static_cast<void>(engine->put(kClient, handle_of(random() % stored), corpus[random()]));
  }
}

double gib(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

// CPU time of each thread; the slower one's is what a service waits for on as many processors.
double slowest_of(int count, const std::function<void(int)>& work) {
  std::vector<double> spent(static_cast<size_t>(count));
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      const double start = cpu_seconds();
      work(i);
      spent[static_cast<size_t>(i)] = cpu_seconds() - start;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return *std::max_element(spent.begin(), spent.end());
}

void check(const RecoveryCounts& counts) {
  if (counts.records == 0 || counts.skipped_torn + counts.skipped_unknown + counts.segments_damaged != 0) std::abort();
}

double store_ms_per_gib(SegmentMemory& memory, bool verify) {
  const double start = cpu_seconds();
  const auto arena = Arena::open(memory, verify);
  const double spent = cpu_seconds() - start;
  if (!arena.ok()) std::abort();
  check(arena.value()->recovered());
  return spent * 1e3 / gib(arena.value()->arena_bytes());
}

// The memories are mapped by make, inside of what is measured; engines are taken down outside of it.
double engines_ms_per_gib(int shards, bool verify, const std::function<SegmentMemory&(int)>& make) {
  std::unique_ptr<Engine> engine[kShards];
  const double spent = slowest_of(shards, [&](int i) {
    SegmentMemory& memory = make(i);
    auto made = Engine::create(memory, config_of(memory), verify);
    if (!made.ok()) std::abort();
    engine[i] = std::move(made.value());
  });
  uint64_t bytes = 0;
  for (int i = 0; i < shards; ++i) bytes += engine[i]->stats().arena_bytes;
  return spent * 1e3 / gib(bytes);
}

// One pass of the hash over all bytes, in pieces of a typical payload.
double hash_ms_per_gib(HugeMemory& memory) {
  constexpr size_t kPiece = 1624;
  const double start = cpu_seconds();
  uint64_t sum = 0;
  for (size_t at = kSegmentBytes; at + kPiece <= memory.bytes(); at += kPiece) {
    sum += record_checksum({}, Codec::kRaw, {memory.base() + at, kPiece});
  }
  const double spent = cpu_seconds() - start;
  asm volatile("" : : "r"(sum));  // the sums are needed, as far as the compiler knows
  return spent * 1e3 / gib(memory.bytes());
}

void measure(Report& report, const char* what, bool has_target, double hash, const std::function<double(bool)>& once) {
  std::vector<double> directories, verified;
  for (int i = 0; i < kRepeated; ++i) {
    directories.push_back(once(false));
    verified.push_back(once(true));
  }
  const std::string name = std::string("recovery.") + what;
  report.line(name + ".directories", median(directories), "ms/GiB", 0, has_target ? 20 : 0, true, kRepeated);
  report.line(name + ".verified", median(verified), "ms/GiB", 0, has_target ? 60 : 0, true, kRepeated);
  if (hash != 0) report.line(name + ".verified_over_hash", median(verified), "ms/GiB", hash, 0, true, kRepeated);
}

int run(int argc, char** argv, uint32_t segments) {
  Report report(argc, argv);
  const test::PageCorpus corpus(16384);
  {
    HugeMemory memory[kShards] = {HugeMemory(segments), HugeMemory(segments)};
    for (HugeMemory& one : memory) fill(one, corpus);
    std::vector<double> hash;
    for (int i = 0; i < kRepeated; ++i) hash.push_back(hash_ms_per_gib(memory[0]));
    const auto mapped = [&](int i) -> SegmentMemory& { return memory[i]; };
    measure(report, "store", false, median(hash), [&](bool verify) { return store_ms_per_gib(memory[0], verify); });
    measure(report, "shard", false, 0, [&](bool verify) { return engines_ms_per_gib(1, verify, mapped); });
    measure(report, "service", true, 0, [&](bool verify) { return engines_ms_per_gib(kShards, verify, mapped); });
  }
  std::unique_ptr<ArenaFile> file[kShards];
  for (auto& one : file) {
    one = std::move(ArenaFile::create("bench-recovery", segments, true).value());
    fill(*one, corpus);
  }
  measure(report, "memfd", false, 0, [&](bool verify) {
    std::unique_ptr<ArenaFile> fresh[kShards];
    return engines_ms_per_gib(kShards, verify, [&](int i) -> SegmentMemory& {
      fresh[i] = std::move(ArenaFile::adopt(FileDescriptor(dup(file[i]->fd())), true).value());
      return *fresh[i];
    });
  });
  return report.exit_status();
}

}  // namespace
}  // namespace tmem::bench

int main(int argc, char** argv) {
  uint32_t mebibytes = 256;
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], "--mib") == 0) mebibytes = static_cast<uint32_t>(std::strtoul(argv[i + 1], nullptr, 0));
  }
  return tmem::bench::run(argc, argv, mebibytes * 4);
}
