// SPDX-License-Identifier: MIT
// Crashes of whoever writes an arena, and damage to its bytes. Whatever happens, a record that passes its checksum is exactly what
// the model says; without damage none is missing. Rounds: TMEM_CRASH_ROUNDS; seed: TMEM_SEED.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>

#include "crash/arena_op_stream.h"
#include "support/heap_memory.h"
#include "tmem/failpoint.h"

namespace tmem::test {
namespace {

using Model = ArenaOpStream::Model;

struct Geometry {
  const char* name;
  uint32_t segments_max;
};

class ArenaCrash : public ::testing::TestWithParam<Geometry> {
 protected:
  static std::unique_ptr<Arena> open(SegmentMemory& memory, bool verify) {
    Result<std::unique_ptr<Arena>> opened = Arena::open(memory, verify);
    return opened.ok() ? std::move(opened.value()) : nullptr;
  }
  static std::unique_ptr<Arena> make(SegmentMemory& memory) {
    std::unique_ptr<Arena> arena = open(memory, false);
    while (arena->add_segment()) {}
    return arena;
  }
  uint64_t seed() const { return seed_or(1) * 1000003; }
  uint64_t rounds() const { return rounds_or("TMEM_CRASH_ROUNDS", 20); }

  static bool is(const RecordView& seen, const ArenaOpStream::Stored& stored) {
    const std::vector<std::byte> want = payload_of(stored.tag, stored.size);
    return std::equal(seen.payload.begin(), seen.payload.end(), want.begin(), want.end());
  }
  // Every record that passes its checksum is in one of the two models. Returns the keys seen.
  static std::map<uint32_t, uint32_t> expect_none_wrong(const Arena& arena, const Model& before, const Model& after) {
    std::map<uint32_t, uint32_t> keys;
    for (RecordRef ref = arena.first(); !ref.none(); ref = arena.next(ref)) {
      if (!arena.verify(ref)) continue;
      const RecordView seen = arena.view(ref);
      const uint32_t key = ArenaOpStream::key_from(seen.key);
      const auto old_one = before.find(key), new_one = after.find(key);
      const bool right = (old_one != before.end() && is(seen, old_one->second)) || (new_one != after.end() && is(seen, new_one->second));
      EXPECT_TRUE(right) << "key " << key << " of " << seen.payload.size() << " bytes";
      ++keys[key];
    }
    return keys;
  }
  // The arena still works: it takes, keeps and gives back what is put next.
  static void expect_serves(Arena& arena, uint64_t seed) {
    ASSERT_EQ(arena.check_invariants(), nullptr) << arena.check_invariants();
    std::vector<RecordRef> all;
    for (RecordRef ref = arena.first(); !ref.none(); ref = arena.next(ref)) all.push_back(ref);
    for (const RecordRef ref : all) arena.kill(ref);
    ArenaOpStream stream(arena, seed);
    for (int op = 0; op < 300; ++op) stream.step();
    const auto keys = expect_none_wrong(arena, stream.model(), stream.model());
    EXPECT_EQ(keys.size(), stream.model().size());
    ASSERT_EQ(arena.check_invariants(), nullptr) << arena.check_invariants();
  }

  void die_in_an_op(uint64_t round, const char* place, uint64_t when);
  uint64_t write_and_die(SegmentMemory& shared, uint64_t stream_seed, const char* place, uint64_t when);
};
INSTANTIATE_TEST_SUITE_P(Geometries, ArenaCrash, ::testing::Values(Geometry{"Normal", 12}, Geometry{"Cramped", 3}),
                         [](const auto& parameter) { return parameter.param.name; });

// Of the child: where it ends itself, and the how manieth time.
const char* doomed_place = nullptr;
uint64_t doomed_left = 0;
void die_there(const char* name) {
  if (std::strcmp(name, doomed_place) == 0 && --doomed_left == 0) raise(SIGKILL);
}

// A child does ops until it dies: at a named place when it comes there for the when-th time, or without one after it has begun
// its when-th op. How many ops it had begun.
uint64_t ArenaCrash::write_and_die(SegmentMemory& shared, uint64_t stream_seed, const char* place, uint64_t when) {
  HeapMemory progress_memory(1, HeapMemory::Kind::kShared);
  auto& begun = *reinterpret_cast<std::atomic<uint64_t>*>(progress_memory.base());
  const pid_t child = fork();
  if (child == 0) {
    const std::unique_ptr<Arena> arena = make(shared);
    ArenaOpStream stream(*arena, stream_seed);
    doomed_place = place;
    doomed_left = when;
    if (place != nullptr) failpoint_hook = die_there;
    while (begun.fetch_add(1) < 1'000'000) stream.step();
    _exit(0);
  }
  EXPECT_GE(child, 0);
  while (place == nullptr && begun.load() < when) {}
  if (place == nullptr) kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "it never came there";
  return begun.load();
}

void ArenaCrash::die_in_an_op(uint64_t round, const char* place, uint64_t when) {
  HeapMemory shared(GetParam().segments_max, HeapMemory::Kind::kShared);
  const uint64_t stream_seed = seed() + round;
  const uint64_t begun = write_and_die(shared, stream_seed, place, when);

  HeapMemory replayed(GetParam().segments_max);
  const std::unique_ptr<Arena> arena = make(replayed);
  ArenaOpStream stream(*arena, stream_seed);
  for (uint64_t op = 1; op < begun; ++op) stream.step();
  const Model before = stream.model();
  stream.step();
  const Model after = stream.model();

  const std::unique_ptr<Arena> recovered = open(shared, round % 2 == 0);
  ASSERT_NE(recovered, nullptr);
  const auto keys = expect_none_wrong(*recovered, before, after);
  uint32_t twice = 0;
  for (const auto& [key, stored] : before) {
    const auto at = after.find(key);
    if (at == after.end()) continue;
    ASSERT_TRUE(keys.contains(key)) << "key " << key << " is lost";
  }
  for (const auto& [key, times] : keys) twice += times > 1;
  ASSERT_LE(twice, 1u);
  ASSERT_EQ(recovered->recovered().skipped_torn, 0u);
  // An original whose copy took over, or a copy that was never finished. Killed there, it must be so.
  const uint64_t left_out = recovered->recovered().segments_damaged + recovered->recovered().segments_superseded;
  ASSERT_LE(left_out, 1u);
  ASSERT_GE(left_out, place != nullptr ? 1u : 0u);
  expect_serves(*recovered, round);
}

TEST_P(ArenaCrash, BetweenTwoOpsLosesNothing) {
  HeapMemory memory(GetParam().segments_max), other(GetParam().segments_max);
  for (uint64_t round = 0; round < rounds() / 4 + 1; ++round) {
    SCOPED_TRACE(::testing::Message() << "TMEM_SEED=" << seed_or(1) << " round " << round);
    memory.restore({});
    const std::unique_ptr<Arena> arena = make(memory);
    ArenaOpStream stream(*arena, seed() + round);
    for (int point = 0; point < 10; ++point) {
      for (int op = 0; op < 400; ++op) stream.step();
      other.restore(memory.snapshot());
      const std::unique_ptr<Arena> recovered = open(other, point % 2 == 0);
      ASSERT_NE(recovered, nullptr);
      const auto keys = expect_none_wrong(*recovered, stream.model(), stream.model());
      ASSERT_EQ(keys.size(), stream.model().size());
      ASSERT_EQ(recovered->recovered().records, stream.model().size());
      ASSERT_EQ(recovered->recovered().skipped_torn + recovered->recovered().segments_damaged + recovered->recovered().segments_superseded, 0u);
      ASSERT_EQ(recovered->live_bytes(), arena->live_bytes());
      expect_serves(*recovered, round);
    }
    ASSERT_EQ(arena->check_invariants(), nullptr);
  }
}

// A child writes, and is killed somewhere inside an op. The parent does the same ops on an arena of its own to know what may be
// there: what was before the op, or after it, or for the one key it was about, both.
TEST_P(ArenaCrash, InTheMiddleOfAnOpLosesNothingButThatOp) {
  Random random(seed());
  for (uint64_t round = 0; round < rounds(); ++round) {
    SCOPED_TRACE(::testing::Message() << "TMEM_SEED=" << seed_or(1) << " round " << round);
    die_in_an_op(round, nullptr, 1 + random() % 4000);
    if (HasFatalFailure()) return;
  }
}

// Between the copy of a segment and its coming to be the segment, and between that and the end of the original.
TEST_P(ArenaCrash, InTheMiddleOfACompactionLosesNothing) {
  Random random(seed());
  for (uint64_t round = 0; round < rounds(); ++round) {
    const char* place = round % 2 == 0 ? "segment-copied" : "segment-taken-over";
    SCOPED_TRACE(::testing::Message() << "TMEM_SEED=" << seed_or(1) << " round " << round << ' ' << place);
    die_in_an_op(round, place, 1 + random() % 50);
    if (HasFatalFailure()) return;
  }
}

TEST_P(ArenaCrash, FlippedAndCutBytesNeverMakeAWrongPage) {
  HeapMemory memory(GetParam().segments_max), other(GetParam().segments_max);
  const std::unique_ptr<Arena> arena = make(memory);
  ArenaOpStream stream(*arena, seed());
  Random random(seed() + 1);
  uint64_t opened = 0;
  for (uint64_t round = 0; round < rounds() * 3; ++round) {
    SCOPED_TRACE(::testing::Message() << "TMEM_SEED=" << seed_or(1) << " round " << round);
    for (int op = 0; op < 200; ++op) stream.step();
    std::vector<std::byte> bytes = memory.snapshot();
    // Directories and headers are few bytes of many: half the rounds aim at them.
    const bool aimed = round % 2 == 0;
    for (uint64_t flips = 1 + random() % 200; flips > 0; --flips) {
      const size_t segment = 1 + random() % (bytes.size() / kSegmentBytes - 1);
      const size_t at = segment * kSegmentBytes + random() % (aimed ? 2048 : kSegmentBytes);
      bytes[at] ^= std::byte{static_cast<uint8_t>(1u << (random() % 8))};
    }
    if (round % 3 == 0) {  // a stretch of zeros, and an end that is missing
      const size_t at = kSegmentBytes + random() % (bytes.size() - kSegmentBytes);
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), std::min<size_t>(bytes.size() - at, random() % 16384), std::byte{0});
      bytes.resize(bytes.size() - random() % kSegmentBytes);
    }
    if (round % 5 == 0) bytes[random() % (kArenaBitmapOffset + 8)] ^= std::byte{1};
    other.restore(bytes);
    const std::unique_ptr<Arena> recovered = open(other, random() % 2 == 0);
    if (recovered == nullptr) continue;  // the arena's own header was hit: refused as a whole
    ++opened;
    expect_none_wrong(*recovered, stream.model(), stream.model());
    expect_serves(*recovered, round);
  }
  EXPECT_GT(opened, rounds());
}

}  // namespace
}  // namespace tmem::test
