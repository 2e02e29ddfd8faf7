// SPDX-License-Identifier: MIT
// tmem-inspect reads arenas that a real engine wrote: what it counts must be what the engine says, and every kind of damage
// must be called by its name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "support/heap_memory.h"
#include "tmem/engine.h"
#include "cli.h"
#include "print.h"

namespace tmem::test {
namespace {

using inspect::Damage;
using testing::HasSubstr;

constexpr uint64_t kSeed = 20240229;

struct Inspect : testing::Test {
  HeapMemory memory{64};
  std::unique_ptr<Engine> engine;
  std::string directory, path;
  std::mt19937_64 random{kSeed};

  Inspect() {
    char name[] = "/tmp/tmem-inspect-XXXXXX";
    directory = mkdtemp(name);
    path = directory + "/arena";
    EngineConfig config;
    config.memory_bytes_target = 16 << 20;
    engine = std::move(Engine::create(memory, config).value());
    attach(7, "web1", 200, 0);
    attach(9, "db", 100, 9);
    EXPECT_EQ(engine->new_pool(ClientId(7), PoolId(0), pool_flags(kPoolPersistent)), Status::kOk);
    EXPECT_EQ(engine->new_pool(ClientId(7), PoolId(3), pool_flags(0)), Status::kOk);
    EXPECT_EQ(engine->new_pool(ClientId(9), PoolId(1), pool_flags(0)), Status::kOk);
    for (uint32_t i = 0; i < 300; i++) put(7, 0, i % 3, i);
    for (uint32_t i = 0; i < 50; i++) put(7, 3, 1, i);
    for (uint32_t i = 0; i < 60; i++) put(9, 1, 4, i % 20, 12345);  // 20 pages of one content
    for (uint32_t i = 0; i < 30; i++) EXPECT_EQ(engine->flush_page(ClientId(7), handle(0, i % 3, i)), Status::kOk);
  }
  ~Inspect() override {
    unlink(path.c_str());
    rmdir(directory.c_str());
  }

  static Handle handle(uint32_t pool, uint64_t object, uint32_t index) { return {PoolId(pool), ObjectId{{object, 1, 2}}, PageIndex(index)}; }

  void attach(uint32_t client, std::string_view name, uint32_t weight, uint32_t dedup_group) {
    ClientIdentity identity;
    identity.name = name;
    ClientPolicy policy;
    policy.weight = weight;
    policy.dedup_group = dedup_group;
    EXPECT_EQ(engine->attach(ClientId(client), identity, policy, true), Status::kOk);
  }

  // Some compress well, some not at all, some are one word.
  void put(uint32_t client, uint32_t pool, uint64_t object, uint32_t index, uint64_t seed = 0) {
    alignas(64) std::array<std::byte, kPageBytes> page{};
    std::mt19937_64 words(seed != 0 ? seed : random());
    size_t noise = seed != 0 || index % 3 == 0 ? 1000 : index % 3 == 1 ? kPageBytes : 0;
    for (size_t i = 0; i + 8 <= noise; i += 8) {
      uint64_t word = words();
      std::memcpy(page.data() + i, &word, 8);
    }
    EXPECT_EQ(engine->put(ClientId(client), handle(pool, object, index), PageView(page)), Status::kOk);
  }

  void save(std::vector<std::byte> bytes) { std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())); }
  void save() { save(memory.snapshot()); }
  inspect::Report report() { return inspect::inspect(path, inspect::ArenaBytes(path)); }
  int run(std::vector<std::string> arguments, std::string* text = nullptr) {
    std::ostringstream out, err;
    int status = inspect::run_inspect(arguments, out, err);
    if (text) *text = out.str() + err.str();
    return status;
  }
  // A live page record, as (segment, slot).
  inspect::Record live_page(uint32_t* slot) {
    save();
    for (*slot = 0;; ++*slot) {
      inspect::Record record = inspect::read_record(inspect::ArenaBytes(path), 0, *slot);
      if (!record.found || place_codec(record.slot.place) == Codec::kLz4) return record;
    }
  }
};

TEST_F(Inspect, CountsWhatTheEngineCounts) {
  save();
  inspect::Report found = report();
  EXPECT_EQ(found.header_state, inspect::HeaderState::kArena);
  EXPECT_FALSE(found.damaged()) << (found.damages.empty() ? "" : to_string(found.damages[0].kind));
  ASSERT_EQ(found.clients.size(), 2u);
  EXPECT_STREQ(found.clients[0].name.data(), "web1");
  EXPECT_EQ(found.clients[0].weight, 200u);
  ASSERT_EQ(found.pools.size(), 3u);
  EXPECT_EQ(found.pools[0].pages, 270u);
  EXPECT_EQ(found.pools[0].objects, 3u);
  EXPECT_EQ(found.pools[1].pages, 50u);
  EXPECT_EQ(found.pools[2].pages, 20u);
  EXPECT_EQ(found.orphans, 0u);
  EXPECT_EQ(found.codecs[Codec::kContent].records, 1u);
  EXPECT_EQ(found.codecs[Codec::kReference].records, 20u);
  EXPECT_EQ(found.codecs[Codec::kSameFilled].records, 90u + 16u);
  EXPECT_EQ(found.space.payload_bytes, engine->stats().bytes_live);
  EXPECT_EQ(found.space.file_bytes, memory.bytes_used());
}

TEST_F(Inspect, TextAndJsonSayTheSame) {
  save();
  std::string text;
  EXPECT_EQ(run({path}, &text), 0);
  EXPECT_THAT(text, HasSubstr("7/0: persistent private, 270 pages in 3 objects"));
  EXPECT_THAT(text, HasSubstr("7 'web1'"));
  EXPECT_THAT(text, HasSubstr("damage: none"));
  EXPECT_EQ(run({"--json", path}, &text), 0);
  auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["schema"], "xen-tmem/inspect/1");
  EXPECT_EQ(json["arenas"][0]["pools"][0]["pages"], 270);
  EXPECT_EQ(json["arenas"][0]["damaged"], false);
}

TEST_F(Inspect, AFlippedBitInAPayloadIsAWrongChecksumOfThatRecord) {
  uint32_t slot = 0;
  inspect::Record record = live_page(&slot);
  ASSERT_TRUE(record.checksum_right);
  std::vector<std::byte> bytes = memory.snapshot();
  uint64_t segment = record.file_offset - sizeof(SegmentHeader) - slot * sizeof(Slot);
  bytes[segment + place_offset(record.slot.place) + 5] ^= std::byte{4};
  save(bytes);
  inspect::Report found = report();
  ASSERT_EQ(found.damages.size(), 1u);
  EXPECT_EQ(found.damages[0].kind, Damage::Kind::kChecksum);
  EXPECT_EQ(found.damages[0].segment, 0u);
  EXPECT_EQ(found.damages[0].slot, slot);
  std::string text;
  EXPECT_EQ(run({path}, &text), 1);
  EXPECT_THAT(text, HasSubstr("record 0:" + std::to_string(slot) + ": wrong checksum"));
  EXPECT_EQ(run({"--record", "0:" + std::to_string(slot), path}, &text), 1);
  EXPECT_THAT(text, HasSubstr("checksum wrong"));
}

TEST_F(Inspect, ImpossiblePlacesAndUnknownCodecsAreNamed) {
  uint32_t slot = 0;
  inspect::Record record = live_page(&slot);
  const std::pair<Place, Damage::Kind> cases[] = {
      {make_place(0, 100, Codec::kLz4), Damage::Kind::kGeometry},
      {make_place(kSegmentBytes - 8, 100, Codec::kLz4), Damage::Kind::kGeometry},
      {make_place(place_offset(record.slot.place), 9, Codec::kSameFilled), Damage::Kind::kGeometry},
      {record.slot.place | 0xf, Damage::Kind::kUnknownCodec},
  };
  for (auto [place, kind] : cases) {
    std::vector<std::byte> bytes = memory.snapshot();
    std::memcpy(bytes.data() + record.file_offset, &place, sizeof place);
    save(bytes);
    ASSERT_EQ(report().damages.size(), 1u) << to_string(kind);
    EXPECT_EQ(report().damages[0].kind, kind);
  }
}

TEST_F(Inspect, TwoRecordsInOnePlaceOverlap) {
  uint32_t slot = 0;
  inspect::Record record = live_page(&slot);
  std::vector<std::byte> bytes = memory.snapshot();
  std::byte* segment = bytes.data() + record.file_offset - sizeof(SegmentHeader) - slot * sizeof(Slot);
  SegmentHeader* header = reinterpret_cast<SegmentHeader*>(segment);
  Slot copy = record.slot;
  std::memcpy(segment + sizeof(SegmentHeader) + header->slots * sizeof(Slot), &copy, sizeof copy);
  header->slots++;
  save(bytes);
  ASSERT_FALSE(report().damages.empty());
  EXPECT_EQ(report().damages.back().kind, Damage::Kind::kOverlap);
}

TEST_F(Inspect, ADamagedSegmentHeaderCostsThatSegmentOnly) {
  std::vector<std::byte> bytes = memory.snapshot();
  ASSERT_GT(memory.committed_count(), 2u);
  reinterpret_cast<SegmentHeader*>(bytes.data() + 2 * kSegmentBytes)->logical ^= 64;
  save(bytes);
  save();
  uint64_t whole = report().segments;
  save(bytes);
  inspect::Report found = report();
  ASSERT_FALSE(found.damages.empty());
  EXPECT_EQ(found.damages[0].kind, Damage::Kind::kSegmentHeader);
  EXPECT_EQ(found.segments, whole - 1);
}

TEST_F(Inspect, AnOlderCopyOfASegmentIsSupersededAndNoDamage) {
  uint32_t slot = 0;
  inspect::Record record = live_page(&slot);
  std::vector<std::byte> bytes = memory.snapshot();
  uint32_t spare = static_cast<uint32_t>(bytes.size() / kSegmentBytes) - 1;
  bytes.resize((size_t{spare} + 2) * kSegmentBytes);
  uint64_t segment = record.file_offset - sizeof(SegmentHeader) - slot * sizeof(Slot);
  std::memcpy(bytes.data() + (size_t{spare} + 1) * kSegmentBytes, bytes.data() + segment, kSegmentBytes);
  SegmentHeader* header = reinterpret_cast<SegmentHeader*>(bytes.data() + (size_t{spare} + 1) * kSegmentBytes);
  const uint32_t old_salt = generation_salt(header->generation);
  header->generation += 1000;
  header->check = segment_check(header->logical, header->generation);
  for (Slot& copied : std::span(reinterpret_cast<Slot*>(header + 1), header->slots)) copied.checksum ^= old_salt ^ generation_salt(header->generation);
  bytes[kArenaBitmapOffset + spare / 8] |= std::byte{static_cast<uint8_t>(1u << (spare % 8))};
  save(bytes);
  inspect::Report found = report();
  EXPECT_EQ(found.segments_superseded, 1u);
  EXPECT_FALSE(found.damaged());
  EXPECT_EQ(found.pools[0].pages, 270u);
}

TEST_F(Inspect, AClientThatIsGoneLeavesOrphansAndNoDamage) {
  EXPECT_EQ(engine->detach(ClientId(7)), Status::kOk);
  save();
  inspect::Report found = report();
  EXPECT_FALSE(found.damaged());
  EXPECT_EQ(found.clients.size(), 1u);
  EXPECT_EQ(found.pools.size(), 1u);
  EXPECT_GT(found.orphans, 0u);
}

TEST_F(Inspect, WhatIsNoArenaIsSaidToBeNone) {
  const std::pair<const char*, void (*)(std::vector<std::byte>&)> cases[] = {
      {"not an arena", [](auto& bytes) { bytes[0] ^= std::byte{1}; }},
      {"another version", [](auto& bytes) { bytes[8] ^= std::byte{2}; }},
      {"header is damaged", [](auto& bytes) { bytes[20] ^= std::byte{1}; }},
      {"blank", [](auto& bytes) { std::fill(bytes.begin(), bytes.end(), std::byte{0}); }},
      {"blank", [](auto& bytes) { bytes.clear(); }},
  };
  for (auto [expected, spoil] : cases) {
    std::vector<std::byte> bytes = memory.snapshot();
    spoil(bytes);
    save(bytes);
    std::string text;
    EXPECT_EQ(run({path}, &text), 1);
    EXPECT_THAT(text, HasSubstr(expected));
  }
}

TEST_F(Inspect, AFileCutAnywhereIsReadWithoutACrashAndNeverWhole) {
  std::vector<std::byte> bytes = memory.snapshot();
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  for (int i = 0; i < 30; i++) {
    std::vector<std::byte> part = bytes;
    part.resize(random() % bytes.size());
    save(part);
    EXPECT_TRUE(report().damaged()) << part.size();
  }
}

TEST_F(Inspect, FlippedBitsAnywhereAreReadWithoutACrash) {
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  for (int i = 0; i < 30; i++) {
    std::vector<std::byte> bytes = memory.snapshot();
    for (int flips = 0; flips < 200; flips++) bytes[random() % bytes.size()] ^= std::byte{static_cast<uint8_t>(1u << (random() % 8))};
    save(bytes);
    EXPECT_GE(run({path}), 0);
    EXPECT_GE(run({"--json", path}), 0);
  }
}

TEST_F(Inspect, DumpsOneRecord) {
  uint32_t slot = 0;
  inspect::Record record = live_page(&slot);
  std::string text;
  EXPECT_EQ(run({"--record", "0:" + std::to_string(slot), path, "--json"}, &text), 0);
  auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["schema"], "xen-tmem/inspect-record/1");
  EXPECT_EQ(json["codec"], "lz4");
  EXPECT_EQ(json["payload"].get<std::string>().size(), 2 * record.payload.size());
  EXPECT_EQ(run({"--record", "0:16000", path}, &text), 3);
  EXPECT_EQ(run({"--record", "5", path}, &text), 2);
  EXPECT_EQ(run({"--record", "0:1", path, path}, &text), 2);
}

TEST_F(Inspect, WrongCommandLinesAreUsageErrors) {
  std::string text;
  EXPECT_EQ(run({}, &text), 2);
  EXPECT_EQ(run({"--frobnicate", path}, &text), 2);
  EXPECT_EQ(run({directory + "/absent"}, &text), 1);
  EXPECT_THAT(text, HasSubstr("cannot read"));
  EXPECT_EQ(run({directory}, &text), 1);
  EXPECT_THAT(text, HasSubstr("not a regular file"));
  EXPECT_EQ(run({"--help"}, &text), 0);
}

}  // namespace
}  // namespace tmem::test
