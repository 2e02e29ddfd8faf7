// SPDX-License-Identifier: MIT
// An arena over test memory in two geometries, and a std::map that knows what it must hold.
#pragma once

#include <gtest/gtest.h>

#include <map>

#include "store/arena.h"
#include "support/heap_memory.h"
#include "support/page_source.h"

namespace tmem::test {

struct Geometry {
  const char* name;
  uint32_t segments_max;  // physical, the spare included
  uint32_t segments;      // added at start
};
inline constexpr Geometry kNormal{"Normal", 64, 40};
inline constexpr Geometry kCramped{"Cramped", 4, 3};
inline void PrintTo(const Geometry& geometry, std::ostream* out) { *out << geometry.name; }

// What each live record must be.
struct Expected {
  uint64_t tag;
  uint32_t size;
  Codec codec;
};
struct RefLess {
  bool operator()(RecordRef a, RecordRef b) const { return a.value < b.value; }
};

class ArenaFixture : public ::testing::TestWithParam<Geometry> {
 protected:
  ArenaFixture() : memory(GetParam().segments_max) {
    arena = open();
    for (uint32_t i = 0; i < GetParam().segments; ++i) EXPECT_TRUE(arena->add_segment());
  }
  void TearDown() override {
    if (arena != nullptr) check();
  }

  std::unique_ptr<Arena> open(bool verify = false) {
    Result<std::unique_ptr<Arena>> opened = Arena::open(memory, verify);
    EXPECT_TRUE(opened.ok());
    return opened.ok() ? std::move(opened.value()) : nullptr;
  }

  static RecordKey key_of(uint64_t tag) { return {static_cast<uint32_t>(tag), static_cast<uint32_t>(tag >> 32) ^ 0x5a5a5a5a}; }

  // none(): no room.
  RecordRef put(uint64_t tag, uint32_t size, Codec codec = Codec::kLz4, bool credit = false) {
    if (arena->reserve(size, 2, credit) != Status::kOk) return {};
    const RecordRef ref = arena->insert(key_of(tag), codec, payload_of(tag, size));
    EXPECT_FALSE(ref.none());
    EXPECT_TRUE(model.emplace(ref, Expected{tag, size, codec}).second);
    return ref;
  }
  void kill(RecordRef ref) {
    arena->kill(ref);
    EXPECT_EQ(model.erase(ref), 1u);
  }
  RecordRef any(Random& random) const {
    auto at = model.lower_bound(RecordRef{static_cast<uint32_t>(random() % (uint64_t{arena->segments()} << RecordRef::kSlotBits))});
    return at == model.end() ? model.begin()->first : at->first;
  }
  // Fills until nothing more fits; returns how many were put.
  uint64_t fill(Random& random, SizeSource::Shift shift = SizeSource::Shift::kAll) {
    uint64_t put_count = 0;
    for (SizeSource sizes; !put(++next_tag, sizes.next(random, shift)).none();) ++put_count;
    return put_count;
  }

  void expect_holds(RecordRef ref, const Expected& expected) const {
    const RecordView seen = arena->view(ref);
    ASSERT_EQ(seen.codec, expected.codec);
    ASSERT_EQ(seen.key, key_of(expected.tag));
    const std::vector<std::byte> payload = payload_of(expected.tag, expected.size);
    ASSERT_TRUE(std::equal(seen.payload.begin(), seen.payload.end(), payload.begin(), payload.end()));
    ASSERT_TRUE(arena->verify(ref));
  }
  // The arena holds exactly the model.
  void check() const {
    ASSERT_EQ(arena->check_invariants(), nullptr) << arena->check_invariants();
    uint64_t walked = 0;
    for (RecordRef ref = arena->first(); !ref.none(); ref = arena->next(ref), ++walked) {
      const auto at = model.find(ref);
      ASSERT_NE(at, model.end());
      expect_holds(ref, at->second);
    }
    ASSERT_EQ(walked, model.size());
  }

  HeapMemory memory;
  std::unique_ptr<Arena> arena;
  std::map<RecordRef, Expected, RefLess> model;
  uint64_t next_tag = 0;
};

inline const auto kGeometries = ::testing::Values(kNormal, kCramped);
inline std::string geometry_name(const ::testing::TestParamInfo<Geometry>& info) { return info.param.name; }

}  // namespace tmem::test
