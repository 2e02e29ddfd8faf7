// SPDX-License-Identifier: MIT
// The engine in process, without ring or client, against what it cannot do without: look for a repeated word, compress, copy
// (put), decompress (get). Both sides take turns over the same pages in the same run, and CPU time of this thread is counted,
// so that other work on the machine moves both. A put of the engine copies nothing that the baseline does not copy; the targets
// of puts and gets are those of the whole service, in bench_service. Here are those of a full store: how much slower a put is
// there than at 50 %, and all of its memory over the sum of compressed bytes.
//
//   bench_engine [--json] [--mib N] [--rounds N]     N: of the arena (256); times 20000 ops (5)
#include <time.h>

#include <cstdlib>
#include <memory>
#include <random>

#include "bench/bench_report.h"
#include "bench/page_corpus.h"
#include "store/codec.h"
#include "support/heap_memory.h"
#include "tmem/engine.h"

namespace tmem::test {
namespace {

constexpr size_t kChunk = 512;
const ClientId kClient(1);
const PoolId kPool(0);

double now_us() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

Handle handle_of(uint64_t n) {
  return {kPool, ObjectId{{n % 16, 0, 0}}, PageIndex(static_cast<uint32_t>(n / 16))};
}

struct Turns {
  double ours = 0;
  double baseline = 0;
};

class Bench {
 public:
  explicit Bench(uint32_t mebibytes)
      : memory_(mebibytes * 4), corpus_(32768), copies_(mebibytes * size_t{1 << 20}), random_(7) {
    // All pages of the arena are there, on huge ones where the system has them: the daemon's arenas are likewise.
    const size_t bytes = (size_t{mebibytes} * 4 + 1) * kSegmentBytes;
    static_cast<void>(madvise(memory_.base(), bytes, MADV_HUGEPAGE));
    std::memset(memory_.base(), 0, bytes);
    auto made = Engine::create(memory_, EngineConfig{uint64_t{mebibytes} << 20, true});
    if (!made.ok()) std::abort();
    engine_ = std::move(made.value());
    if (engine_->attach(kClient, {}, {}, true) != Status::kOk) std::abort();
    if (engine_->new_pool(kClient, kPool, pool_flags(kPoolPersistent)) != Status::kOk) std::abort();
  }

  // What a put costs at least; the copy goes to where it was not written lately, as into any large store.
  double baseline_put(size_t first, size_t count) {
    const double start = now_us();
    for (size_t i = 0; i < count; ++i) {
      const PageView page = corpus_[first + i];
      if (same_filled_word(page)) continue;
      const Compressor::Packed packed = compressor_.compress(page);
      if (copied_ + packed.payload.size() > copies_.size()) copied_ = 0;
      std::memcpy(copies_.data() + copied_, packed.payload.data(), packed.payload.size());
      copied_ += (packed.payload.size() + 7) & ~size_t{7};
    }
    return now_us() - start;
  }

  // New handles until so much of the target is in use; in percent of what the arena can hold.
  Turns fill(uint64_t bytes) {
    Turns turns;
    while (engine_->stats().bytes_live < bytes && failed_ < 2 * kChunk) {
      const size_t first = random_();
      turns.baseline += baseline_put(first, kChunk);
      const double start = now_us();
      for (size_t i = 0; i < kChunk; ++i) {
        if (engine_->put(kClient, handle_of(stored_), corpus_[first + i]) == Status::kOk) ++stored_;
        else ++failed_;
      }
      turns.ours += now_us() - start;
    }
    return turns;
  }
  // Random dup puts, the handle of the next one told to prefetch as the backend does.
  Turns overwrite(size_t count) {
    Turns turns;
    std::vector<Handle> handles(kChunk + 1);
    for (size_t done = 0; done < count; done += kChunk) {
      const size_t first = random_();
      for (Handle& handle : handles) handle = handle_of(random_() % stored_);
      turns.baseline += baseline_put(first, kChunk);
      const double start = now_us();
      for (size_t i = 0; i < kChunk; ++i) {
        engine_->prefetch(kClient, handles[i + 1]);
        if (engine_->put(kClient, handles[i], corpus_[first + i]) != Status::kOk) ++failed_;
      }
      turns.ours += now_us() - start;
    }
    return turns;
  }
  // Ours: random gets of all that is stored. Baseline: decompression of pages that lie side by side.
  Turns get(size_t count) {
    std::vector<std::vector<std::byte>> packed;
    std::vector<Codec> codecs;
    for (size_t i = 0; i < 8192; ++i) {
      const Compressor::Packed one = compressor_.compress(corpus_[i]);
      packed.emplace_back(one.payload.begin(), one.payload.end());
      codecs.push_back(one.codec);
    }
    Turns turns;
    std::vector<Handle> handles(kChunk + 1);
    alignas(64) std::array<std::byte, kPageBytes> page;
    for (size_t done = 0; done < count; done += kChunk) {
      for (Handle& handle : handles) handle = handle_of(random_() % stored_);
      double start = now_us();
      for (size_t i = 0; i < kChunk; ++i) {
        const size_t n = (done + i) % packed.size();
        if (!decompress(codecs[n], packed[n], PageBuffer(page))) std::abort();
      }
      turns.baseline += now_us() - start;
      start = now_us();
      for (size_t i = 0; i < kChunk; ++i) {
        engine_->prefetch(kClient, handles[i + 1]);
        const auto answer = engine_->get(kClient, handles[i], PageBuffer(page));
        if (!answer.ok()) ++failed_;
      }
      turns.ours += now_us() - start;
    }
    return turns;
  }
  double same_filled_us(size_t count) {
    alignas(64) std::array<std::byte, kPageBytes> page{};
    const double start = now_us();
    for (size_t i = 0; i < count; ++i) {
      if (engine_->put(kClient, {kPool, ObjectId{{99, 0, 0}}, PageIndex(static_cast<uint32_t>(i % 4096))}, PageView(page)) != Status::kOk)
        ++failed_;
    }
    const double used = now_us() - start;
    static_cast<void>(engine_->flush_object(kClient, kPool, ObjectId{{99, 0, 0}}));
    while (engine_->step()) {
    }
    return used / static_cast<double>(count);
  }
  uint64_t capacity() const { return engine_->stats().memory_bytes_target; }
  const Engine& engine() const { return *engine_; }
  uint64_t stored() const { return stored_; }

 private:
  HeapMemory memory_;
  PageCorpus corpus_;
  Compressor compressor_;
  std::vector<std::byte> copies_;
  size_t copied_ = 0;
  std::mt19937_64 random_;
  std::unique_ptr<Engine> engine_;
  uint64_t stored_ = 0;
  uint64_t failed_ = 0;
};

void told(bench::Report& report, const char* name, const Turns& turns, double ops) {
  report.line(name, turns.ours / ops, "us", turns.baseline / ops, 0, true, 1);
}

int run(int argc, char** argv, uint32_t mebibytes, int rounds) {
  bench::Report report(argc, argv);
  Bench bench(mebibytes);
  const size_t ops = static_cast<size_t>(rounds) * 20000;
  const auto count = static_cast<double>((ops + kChunk - 1) / kChunk * kChunk);
  // Use is compressed bytes over all memory: what is left holds directories, index and slack.
  const double full = static_cast<double>(bench.capacity());
  const Turns fill = bench.fill(static_cast<uint64_t>(full * 0.5));
  told(report, "engine.put_new", fill, static_cast<double>(bench.stored()));
  const Turns half = bench.overwrite(ops);
  told(report, "engine.put_over_at_50", half, count);
  report.line("engine.put_same_filled", bench.same_filled_us(ops), "us", 0, 0, true, 1);
  told(report, "engine.get", bench.get(ops), count);
  for (const auto& [percent, target] : {std::pair(90, 0.85), std::pair(97, 0.75)}) {
    static_cast<void>(bench.fill(static_cast<uint64_t>(full * percent / 100)));
    static_cast<void>(bench.overwrite(ops));
    const Turns turns = bench.overwrite(ops);
    const std::string at = "at_" + std::to_string(percent);
    told(report, ("engine.put_over_" + at).c_str(), turns, count);
    report.line("engine.put_over_at_50_over_" + at, half.ours / half.baseline, "of baseline", turns.ours / turns.baseline, target, false, 1);
  }
  const EngineStats stats = bench.engine().stats();
  report.line("engine.space", static_cast<double>(stats.memory_bytes), "bytes", static_cast<double>(stats.bytes_live), 1.04, true, 1);
  const std::string broken = bench.engine().check_invariants();
  if (!broken.empty()) std::fprintf(stderr, "bench_engine: %s\n", broken.c_str());
  return broken.empty() ? report.exit_status() : 2;
}

}  // namespace
}  // namespace tmem::test

int main(int argc, char** argv) {
  uint32_t mebibytes = 256;
  int rounds = 5;
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], "--mib") == 0) mebibytes = static_cast<uint32_t>(std::strtoul(argv[i + 1], nullptr, 10));
    if (std::strcmp(argv[i], "--rounds") == 0) rounds = std::atoi(argv[i + 1]);
  }
  return tmem::test::run(argc, argv, mebibytes, rounds);
}
