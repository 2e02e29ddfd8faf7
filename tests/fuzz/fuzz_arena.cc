// SPDX-License-Identifier: MIT
// Input: how to spoil a sound arena. Byte 0 says whether payloads are verified and how the arena's own header is treated; then
// patches of six bytes: where (segment, offset) and what. The spoilt arena is opened, walked, checked and used.
#include <cstdio>
#include <cstdlib>

#include "crash/arena_op_stream.h"
#include "store/codec.h"
#include "store/recovery.h"
#include "support/heap_memory.h"

namespace tmem::test {
namespace {

constexpr uint32_t kSegments = 3;
constexpr size_t kPatchBytes = 6;

struct Base {
  Base() : memory(kSegments + 1) {
    const auto arena = std::move(Arena::open(memory, false).value());
    while (arena->add_segment()) {}
    ArenaOpStream stream(*arena, 1);
    for (int op = 0; op < 2000; ++op) stream.step();
    model = stream.model();
    bytes = memory.snapshot();
  }
  HeapMemory memory;
  ArenaOpStream::Model model;
  std::vector<std::byte> bytes;
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

// Offsets below 32768 are taken as they are, for headers and directories; the others reach the whole segment.
size_t patch_position(const uint8_t* patch) {
  const size_t segment = patch[0] % (kSegments + 2);
  const size_t offset = static_cast<size_t>(patch[1]) | static_cast<size_t>(patch[2]) << 8;
  return segment * kSegmentBytes + (offset < 32768 ? offset : (offset - 32768) * 8);
}

void spoil(std::vector<std::byte>& bytes, const uint8_t* data, size_t size) {
  for (; size >= kPatchBytes; data += kPatchBytes, size -= kPatchBytes) {
    const size_t at = patch_position(data);
    if (at + 2 > bytes.size()) continue;
    const uint8_t low = data[4], high = data[5];
    const bool write = (data[3] & 1) != 0;  // otherwise flip
    bytes[at] = write ? std::byte{low} : bytes[at] ^ std::byte{low};
    bytes[at + 1] = write ? std::byte{high} : bytes[at + 1] ^ std::byte{high};
  }
}

// Headers that carry a check word are made whole again, so that what lies behind them is reached.
void mend_headers(std::byte* base) {
  auto* header = reinterpret_cast<ArenaHeader*>(base);
  header->checksum = arena_header_checksum(*header);
  for (uint32_t i = 0; i <= kSegments; ++i) {
    auto* segment = reinterpret_cast<SegmentHeader*>(base + (size_t{i} + 1) * kSegmentBytes);
    segment->check = segment_check(segment->logical, segment->generation);
  }
}

void use(Arena& arena, const ArenaOpStream::Model& model) {
  if (const char* failed = arena.check_invariants()) fail(failed);
  std::vector<RecordRef> all;
  std::array<std::byte, kPageBytes> page;
  for (RecordRef ref = arena.first(); !ref.none(); ref = arena.next(ref)) {
    const RecordView seen = arena.view(ref);
    (void)decompress(seen.codec, seen.payload, page);
    all.push_back(ref);
    if (!arena.verify(ref)) continue;
    const auto at = model.find(ArenaOpStream::key_from(seen.key));
    if (at == model.end() || at->second.size != seen.payload.size()) fail("a record was made up");
    const std::vector<std::byte> want = payload_of(at->second.tag, at->second.size);
    if (!std::equal(want.begin(), want.end(), seen.payload.begin())) fail("a record is wrong");
  }
  for (size_t i = 0; i < all.size(); i += 2) arena.kill(all[i]);
  arena.compact_step(1);
  if (const char* failed = arena.check_invariants()) fail(failed);
  for (size_t i = 1; i < all.size(); i += 2) arena.kill(all[i]);
  ArenaOpStream stream(arena, 2);
  for (int op = 0; op < 50; ++op) stream.step();
  if (const char* failed = arena.check_invariants()) fail(failed);
}

}  // namespace
}  // namespace tmem::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tmem;
  using namespace tmem::test;
  static Base base;
  if (size == 0) return 0;
  std::vector<std::byte> bytes = base.bytes;
  spoil(bytes, data + 1, size - 1);
  base.memory.restore(bytes);
  if ((data[0] & 2) != 0) mend_headers(base.memory.base());
  Result<std::unique_ptr<Arena>> arena = Arena::open(base.memory, (data[0] & 1) != 0);
  if (arena.ok()) use(*arena.value(), base.model);
  return 0;
}
