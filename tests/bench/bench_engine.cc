// SPDX-License-Identifier: MIT
// The engine in process, without ring or client, against what it cannot do without: look for a repeated word, compress, copy
// (put), decompress (get). Both sides take turns over the same pages in the same run, and CPU time of this thread is counted,
// so that other work on the machine moves both. Arguments: arena MiB (256), rounds (5).
#include <time.h>

#include <cstdlib>
#include <memory>
#include <random>

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
  double ratio() const { return ours / baseline; }
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
  double recovery_ms_per_gib(bool verify) {
    const uint64_t target = engine_->stats().memory_bytes_target;
    engine_.reset();
    const double start = now_us();
    auto made = Engine::create(memory_, EngineConfig{target, true}, verify);
    const double used = now_us() - start;
    if (!made.ok()) std::abort();
    engine_ = std::move(made.value());
    return used / 1e3 / (static_cast<double>(engine_->stats().arena_bytes) / (1 << 30));
  }
  uint64_t capacity() const { return engine_->stats().memory_bytes_target; }
  const Engine& engine() const { return *engine_; }
  uint64_t failed() const { return failed_; }

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

void line(const char* name, double value, const char* unit, const char* target) {
  std::printf("%-44s %8.3f %-8s %s\n", name, value, unit, target);
}

int run(uint32_t mebibytes, int rounds) {
  Bench bench(mebibytes);
  const size_t ops = static_cast<size_t>(rounds) * 20000;
  // Use is compressed bytes over all memory: what is left holds directories, index and slack.
  const double full = static_cast<double>(bench.capacity());
  const Turns fill = bench.fill(static_cast<uint64_t>(full * 0.5));
  line("put, new handles", fill.ratio(), "x", "<= 1.05 of same-check + LZ4 + memcpy");
  const Turns half = bench.overwrite(ops);
  line("put, random overwrite at 50 % use", half.ratio(), "x", "<= 1.05");
  line("  of that the baseline", half.baseline / static_cast<double>(ops), "us", "");
  line("same-filled put", bench.same_filled_us(ops), "us", "<= 0.25");
  const Turns get = bench.get(ops);
  line("get, random", get.ratio(), "x", "of LZ4 decode alone");
  line("  of that the baseline", get.baseline / static_cast<double>(ops), "us", "");
  for (const double use : {0.90, 0.97}) {
    static_cast<void>(bench.fill(static_cast<uint64_t>(full * use)));
    static_cast<void>(bench.overwrite(ops));
    const Turns turns = bench.overwrite(ops);
    char name[64];
    std::snprintf(name, sizeof name, "put rate at %.0f %% use, of 50 %%", use * 100);
    line(name, half.ratio() / turns.ratio(), "x", use < 0.95 ? ">= 0.85" : ">= 0.75");
  }
  const EngineStats stats = bench.engine().stats();
  line("all memory / compressed bytes", static_cast<double>(stats.memory_bytes) / static_cast<double>(stats.bytes_live), "x", "<= 1.04");
  line("recovery from directories", bench.recovery_ms_per_gib(false), "ms/GiB", "<= 20");
  line("recovery verified", bench.recovery_ms_per_gib(true), "ms/GiB", "<= 60");
  const std::string broken = bench.engine().check_invariants();
  std::printf("segments compacted %llu, puts refused %llu, invariants %s\n", static_cast<unsigned long long>(stats.segments_compacted),
              static_cast<unsigned long long>(bench.failed()), broken.empty() ? "hold" : broken.c_str());
  return broken.empty() ? 0 : 1;
}

}  // namespace
}  // namespace tmem::test

int main(int argc, char** argv) {
  const auto mebibytes = static_cast<uint32_t>(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 256);
  return tmem::test::run(mebibytes, argc > 2 ? std::atoi(argv[2]) : 5);
}
