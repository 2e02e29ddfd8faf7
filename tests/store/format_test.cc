// SPDX-License-Identifier: MIT
// The worked example of docs/arena-format.md: the arena is made here, and every byte that the page shows is compared.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "store/arena.h"
#include "support/heap_memory.h"

namespace tmem::test {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

// One segment, three records, and the second of them dead.
std::unique_ptr<Arena> make_example(HeapMemory& memory) {
  std::unique_ptr<Arena> arena = std::move(Arena::open(memory, false).value());
  EXPECT_TRUE(arena->add_segment());
  auto insert = [&](RecordKey key, Codec codec, const std::string& payload) {
    EXPECT_EQ(arena->reserve(payload.size(), 0), Status::kOk);
    return arena->insert(key, codec, bytes_of(payload));
  };
  insert({1, 7}, Codec::kSameFilled, "\x11\x22\x33\x44\x55\x66\x77\x88");
  const RecordRef dead = insert({1, 8}, Codec::kSameFilled, "abcdefgh");
  insert({2, 0}, Codec::kMeta, "hello, arena");
  arena->kill(dead);
  return arena;
}

// For whoever changes the format, and with it the page: TMEM_DUMP=1 prints the example.
void print(const HeapMemory& memory, std::byte* base) {
  for (size_t at = 0; at < memory.bytes_used(); at += 16) {
    if (std::all_of(base + at, base + at + 16, [](std::byte b) { return b == std::byte{0}; })) continue;
    std::printf("0x%06zx ", at);
    for (size_t i = 0; i < 16; ++i) std::printf(" %02x", std::to_integer<unsigned>(base[at + i]));
    std::printf("\n");
  }
}

TEST(ArenaFormat, ThePageShowsTheBytesThatTheStoreWrites) {
  HeapMemory memory(4);
  const std::unique_ptr<Arena> arena = make_example(memory);
  if (std::getenv("TMEM_DUMP") != nullptr) print(memory, memory.base());
  std::ifstream page(TMEM_SOURCE_DIR "/docs/arena-format.md");
  ASSERT_TRUE(page.is_open());
  size_t compared = 0;
  for (std::string line; std::getline(page, line);) {
    // "0x080040  27 00 ..." up to two spaces, behind which stands what it means.
    if (!line.starts_with("0x")) continue;
    const size_t at = std::stoul(line, nullptr, 16);
    const size_t first = line.find("  ") + 2;
    std::istringstream hex(line.substr(first, line.find("  ", first) - first));
    size_t offset = at;
    for (std::string byte; hex >> byte; ++offset, ++compared) {
      ASSERT_EQ(std::to_integer<unsigned long>(memory.base()[offset]), std::stoul(byte, nullptr, 16)) << line << ": offset " << offset;
    }
  }
  EXPECT_EQ(compared, 11u * 16);
  EXPECT_EQ(arena->check_invariants(), nullptr);
}

}  // namespace
}  // namespace tmem::test
