// SPDX-License-Identifier: MIT
// Space: the memory of a store over the sum of compressed bytes, in an arena that is always full, after a fill, three random
// overwrites and two shifts of the size distribution. Memory is the arena, the store's tables and so many bytes a page for the
// index: an estimate, as there is no engine here; engine.space of bench_engine has a true one, once and without the shifts. Sizes
// are drawn as those of real pages are distributed. Speed: puts (compress, insert, kill the old page) at 50, 90 and 97 % use.
//
//   bench_space [--json] [--segments N] [--index-bytes B]
#include <cstdlib>
#include <fstream>
#include <memory>

#include "bench_report.h"
#include "store/arena.h"
#include "store/codec.h"
#include "support/heap_memory.h"
#include "support/page_source.h"

namespace tmem::bench {
namespace {

using test::HeapMemory;
using test::Random;
using test::SizeSource;

struct Options {
  uint32_t segments = 1024;
  double index_bytes_per_page = 8;
};

// A store that keeps pages by number, always full: what does not fit pushes out others, as an engine would.
class FullStore {
 public:
  FullStore(const Options& options) : options_(options), memory_(options.segments + 1), arena_(std::move(Arena::open(memory_, false).value())) {
    for (uint32_t i = 0; i < options.segments; ++i) {
      if (!arena_->add_segment()) std::abort();
    }
  }
  bool put(uint32_t size) {
    if (arena_->reserve(size, kCompactionsPerPutMax) != Status::kOk) return false;
    pages_.push_back(arena_->insert({7, 7}, Codec::kLz4, {noise_.data(), size}));
    return true;
  }
  void overwrite(size_t page, uint32_t size) {
    if (arena_->reserve(size, kCompactionsPerPutMax) == Status::kOk) {
      const RecordRef fresh = arena_->insert({7, 7}, Codec::kLz4, {noise_.data(), size});
      arena_->kill(pages_[page]);
      pages_[page] = fresh;
      return;
    }
    arena_->kill(pages_[page]);
    pages_[page] = pages_.back();
    pages_.pop_back();
    while (!put(size)) drop(random_() % pages_.size());
  }
  void drop(size_t page) {
    arena_->kill(pages_[page]);
    pages_[page] = pages_.back();
    pages_.pop_back();
  }
  void fill(SizeSource::Shift shift) {
    while (put(sizes_.next(random_, shift))) {}
  }
  // Every page once, in random order, gives way to a new one.
  void turn_over(SizeSource::Shift shift) {
    const size_t count = pages_.size();
    for (size_t i = 0; i < count; ++i) overwrite(random_() % pages_.size(), sizes_.next(random_, shift));
    fill(shift);
  }
  // Each page exactly once: nothing of the old distribution stays.
  void replace_all(SizeSource::Shift shift) {
    std::shuffle(pages_.begin(), pages_.end(), random_);
    std::vector<RecordRef> old;
    old.swap(pages_);
    for (const RecordRef ref : old) {
      arena_->kill(ref);
      fill(shift);
    }
  }
  double ratio() const {
    const double all = static_cast<double>(arena_->arena_bytes() + arena_->overhead_bytes()) +
                       options_.index_bytes_per_page * static_cast<double>(pages_.size());
    return all / static_cast<double>(arena_->live_bytes());
  }
  Arena& arena() { return *arena_; }
  Random& random() { return random_; }
  std::vector<RecordRef>& pages() { return pages_; }

 private:
  Options options_;
  HeapMemory memory_;
  std::unique_ptr<Arena> arena_;
  Random random_{test::seed_or(1)};
  SizeSource sizes_;
  std::vector<std::byte> noise_ = test::payload_of(1, 8192);
  std::vector<RecordRef> pages_;
};

void space(Report& report, const Options& options) {
  FullStore store(options);
  double start = cpu_seconds();
  uint64_t compacted = 0;
  auto step = [&](const char* name, double target) {
    const double ns = (cpu_seconds() - start) * 1e9 / static_cast<double>(store.pages().size());
    report.line(std::string("space.") + name, store.ratio(), "all/sum", 0, target, true, 1);
    report.line(std::string("space.") + name + ".arena_time", ns, "ns/page", 0, 0, true, 1);
    report.line(std::string("space.") + name + ".compactions", static_cast<double>(store.arena().segments_compacted() - compacted) / static_cast<double>(store.pages().size()), "per page", 0, 0, true, 1);
    compacted = store.arena().segments_compacted();
    start = cpu_seconds();
  };
  store.fill(SizeSource::Shift::kAll);
  step("fill", 1.04);
  for (int i = 0; i < 3; ++i) store.turn_over(SizeSource::Shift::kAll);
  step("three_overwrites", 1.04);
  store.replace_all(SizeSource::Shift::kSmallOnly);
  step("shift_to_small", 1.04);
  store.replace_all(SizeSource::Shift::kBigOnly);
  step("shift_to_big", 1.04);
  store.turn_over(SizeSource::Shift::kBigOnly);
  step("after_both", 1.04);
  store.turn_over(SizeSource::Shift::kAll);
  step("back_to_all", 1.04);
  if (const char* failed = store.arena().check_invariants()) {
    std::fprintf(stderr, "broken: %s\n", failed);
    std::exit(2);
  }
}

// Pages of programs and text of this machine, none of one repeated word.
std::vector<std::array<std::byte, kPageBytes>> real_pages() {
  std::vector<std::array<std::byte, kPageBytes>> pages;
  for (const char* path : {"/proc/self/exe", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/bin/bash", "/usr/bin/perl", "/usr/bin/gdb",
                           "/usr/share/dict/words", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "/usr/bin/cmake"}) {
    std::ifstream file(path, std::ios::binary);
    std::array<std::byte, kPageBytes> page;
    while (pages.size() < 8192 && file.read(reinterpret_cast<char*>(page.data()), kPageBytes)) {
      if (!same_filled_word(page)) pages.push_back(page);
    }
  }
  return pages;
}

// Overwrites of random pages while live bytes stay at use of the arena. Returns CPU ns for each put.
double put_ns(const Options& options, double use, const std::vector<std::array<std::byte, kPageBytes>>& contents, uint64_t* compactions) {
  FullStore store(options);
  Arena& arena = store.arena();
  Compressor compressor;
  Random& random = store.random();
  const double bytes_wanted = use * static_cast<double>(arena.arena_bytes() - kSegmentBytes);
  auto put = [&](size_t page) {
    const Compressor::Packed packed = compressor.compress(contents[random() % contents.size()]);
    if (arena.reserve(packed.payload.size(), kCompactionsPerPutMax) != Status::kOk) return false;
    const RecordRef fresh = arena.insert({7, 7}, packed.codec, packed.payload);
    if (page == store.pages().size()) {
      store.pages().push_back(fresh);
    } else {
      arena.kill(store.pages()[page]);
      store.pages()[page] = fresh;
    }
    return true;
  };
  while (static_cast<double>(arena.live_bytes()) < bytes_wanted && put(store.pages().size())) {}
  double spent = 0;
  size_t measured = 0;
  const uint64_t compacted = arena.segments_compacted();
  for (int turn = 0; turn < 3; ++turn) {
    const double start = cpu_seconds();
    const size_t count = store.pages().size();
    for (size_t i = 0; i < count; ++i) {
      // Sizes wander: a page is dropped or added so that use stays where it was.
      if (static_cast<double>(arena.live_bytes()) > bytes_wanted && !store.pages().empty()) store.drop(random() % store.pages().size());
      while (!put(random() % store.pages().size())) store.drop(random() % store.pages().size());
      if (static_cast<double>(arena.live_bytes()) < bytes_wanted) put(store.pages().size());
    }
    if (turn > 0) {
      spent += cpu_seconds() - start;
      measured += count;
    }
  }
  *compactions = arena.segments_compacted() - compacted;
  std::fprintf(stderr, "# use %.4f of arena, %zu pages, %.4f compactions per put\n",
               static_cast<double>(arena.live_bytes()) / static_cast<double>(arena.arena_bytes() - kSegmentBytes), store.pages().size(),
               static_cast<double>(*compactions) / static_cast<double>(measured) * 2 / 3);
  return spent * 1e9 / static_cast<double>(measured);
}

void speed(Report& report, Options options) {
  const auto contents = real_pages();
  uint64_t compactions = 0;
  std::vector<double> at50, at90, at97;
  for (int i = 0; i < 3; ++i) {
    at50.push_back(put_ns(options, 0.50, contents, &compactions));
    at90.push_back(put_ns(options, 0.90, contents, &compactions));
    at97.push_back(put_ns(options, 0.97, contents, &compactions));
  }
  report.line("put.at_50", median(at50), "ns", 0, 0, true, 3);
  // Throughput against 50 %: the other way round in time.
  report.line("put.at_50_over_at_90", median(at50), "ns", median(at90), 0.85, false, 3);
  report.line("put.at_50_over_at_97", median(at50), "ns", median(at97), 0.75, false, 3);
}

}  // namespace
}  // namespace tmem::bench

int main(int argc, char** argv) {
  tmem::bench::Report report(argc, argv);
  tmem::bench::Options options;
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], "--segments") == 0) options.segments = static_cast<uint32_t>(std::strtoul(argv[i + 1], nullptr, 0));
    if (std::strcmp(argv[i], "--index-bytes") == 0) options.index_bytes_per_page = std::strtod(argv[i + 1], nullptr);
  }
  tmem::bench::space(report, options);
  tmem::bench::speed(report, options);
  return report.exit_status();
}
