// SPDX-License-Identifier: MIT
// Recovery of an arena in memory that survived its process, per GiB of arena: from the slot directories alone, and with every
// payload verified: in huge pages that are mapped already (what is measured is the store), and in 4 KiB pages that each
// repetition maps anew as a new process must (then the kernel's page faults count too). The baseline of verifying is one pass
// of XXH3 over the same bytes. What the engine adds by indexing the records is its own benchmark's.
//
//   bench_recovery [--json] [--segments N]
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "bench_report.h"
#include "store/arena.h"
#include "support/page_source.h"

namespace tmem::bench {
namespace {

// Segments in a memfd, mapped anew for each opening; or without a file, in huge pages.
class MappedMemory : public SegmentMemory {
 public:
  MappedMemory(int file, uint32_t segments_max) : segments_max_(segments_max) {
    const int flags = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void* mapped = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, flags, file, 0);
    if (mapped == MAP_FAILED) std::abort();
    madvise(mapped, bytes(), MADV_HUGEPAGE);
    base_ = static_cast<std::byte*>(mapped);
  }
  ~MappedMemory() override { munmap(base_, bytes()); }
  std::byte* base() override { return base_; }
  uint32_t segments_max() const override { return segments_max_; }
  bool commit(uint32_t) override { return true; }
  void decommit(uint32_t) override {}
  double gib() const { return static_cast<double>(bytes()) / (1 << 30); }
  size_t bytes() const { return (size_t{segments_max_} + 1) * kSegmentBytes; }

 private:
  std::byte* base_ = nullptr;
  uint32_t segments_max_;
};

void fill(MappedMemory& memory) {
  const uint32_t segments = memory.segments_max() - 1;
  std::unique_ptr<Arena> arena = std::move(Arena::open(memory, false).value());
  for (uint32_t i = 0; i < segments; ++i) {
    if (!arena->add_segment()) std::abort();
  }
  test::Random random(test::seed_or(1));
  test::SizeSource sizes;
  const std::vector<std::byte> noise = test::payload_of(1, 8192);
  std::vector<RecordRef> pages;
  uint32_t number = 0;
  auto put = [&] {
    const uint32_t size = sizes.next(random);
    if (arena->reserve(size, 2) != Status::kOk) return false;
    pages.push_back(arena->insert({1, number++}, Codec::kLz4, {noise.data(), size}));
    return true;
  };
  while (put()) {}
  for (size_t i = pages.size() / 2; i > 0; --i) {  // some churn, so that directories have dead slots
    std::swap(pages[random() % pages.size()], pages.back());
    arena->kill(pages.back());
    pages.pop_back();
    put();
  }
}

struct Measured {
  double ms_per_gib;
  double ns_per_page;
};

Measured recover(MappedMemory& memory, bool verify) {
  const double start = cpu_seconds();
  Result<std::unique_ptr<Arena>> arena = Arena::open(memory, verify);
  if (!arena.ok()) std::abort();
  const double opened = cpu_seconds() - start;
  const RecoveryCounts& counts = arena.value()->recovered();
  if (counts.records == 0 || counts.skipped_torn + counts.skipped_unknown + counts.segments_skipped != 0) std::abort();
  return {opened * 1e3 / memory.gib(), opened * 1e9 / static_cast<double>(counts.records)};
}

// One pass of the hash over all bytes, in pieces of a typical payload.
double hash_ms_per_gib(MappedMemory& memory) {
  constexpr size_t kPiece = 1624;
  const double start = cpu_seconds();
  uint64_t sum = 0;
  for (size_t at = kSegmentBytes; at + kPiece <= memory.bytes(); at += kPiece) {
    sum += record_checksum({}, Codec::kRaw, {memory.base() + at, kPiece});
  }
  const double spent = cpu_seconds() - start;
  asm volatile("" : : "r"(sum));  // the sums are needed, as far as the compiler knows
  return spent * 1e3 / memory.gib();
}

void measure(Report& report, MappedMemory* mapped, int file, uint32_t segments, const char* where, bool has_target) {
  constexpr int kRepeated = 7;
  std::vector<double> directories, verified, per_page, baseline;
  for (int i = 0; i < kRepeated; ++i) {
    for (const bool verify : {false, true}) {
      std::unique_ptr<MappedMemory> fresh(mapped == nullptr ? new MappedMemory(file, segments + 1) : nullptr);
      const Measured measured = recover(fresh == nullptr ? *mapped : *fresh, verify);
      (verify ? verified : directories).push_back(measured.ms_per_gib);
      if (!verify) per_page.push_back(measured.ns_per_page);
      if (verify) baseline.push_back(hash_ms_per_gib(fresh == nullptr ? *mapped : *fresh));
    }
  }
  const std::string name = std::string("recovery.") + where;
  report.line(name + ".directories", median(directories), "ms/GiB", 0, has_target ? 20 : 0, true, kRepeated);
  report.line(name + ".directories.per_page", median(per_page), "ns", 0, 0, true, kRepeated);
  report.line(name + ".verified", median(verified), "ms/GiB", 0, has_target ? 60 : 0, true, kRepeated);
  report.line(name + ".verified_over_hash", median(verified), "ms/GiB", median(baseline), 0, true, kRepeated);
}

}  // namespace
}  // namespace tmem::bench

int main(int argc, char** argv) {
  using namespace tmem::bench;
  uint32_t segments = 4096;
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], "--segments") == 0) segments = static_cast<uint32_t>(std::strtoul(argv[i + 1], nullptr, 0));
  }
  Report report(argc, argv);
  const int file = memfd_create("bench-recovery", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, static_cast<off_t>((size_t{segments} + 2) * tmem::kSegmentBytes)) != 0) return 2;
  {
    tmem::bench::MappedMemory huge(-1, segments + 1);
    fill(huge);
    measure(report, &huge, -1, segments, "huge_pages", true);
  }
  {
    tmem::bench::MappedMemory small(file, segments + 1);
    fill(small);
  }
  measure(report, nullptr, file, segments, "remapped_4k", false);
  close(file);
  return report.exit_status();
}
