// SPDX-License-Identifier: MIT
// What engine tests share: an engine over plain memory, restarts, pages that say who they are. Every test ends with
// check_invariants(), and runs on two geometries: room to spare, and three segments.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>

#include "support/heap_memory.h"
#include "tmem/engine.h"

namespace tmem {
inline void PrintTo(Status status, std::ostream* out) { *out << to_string(status); }
}  // namespace tmem

namespace tmem::test {

using Page = std::array<std::byte, kPageBytes>;

// About a third of it compresses; no two tags are alike.
inline Page page_of(uint64_t tag) {
  Page page;
  uint64_t state = tag * 0x9e3779b97f4a7c15 + 1;
  for (size_t i = 0; i < kPageBytes; i += 8) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    const uint64_t word = i % 64 < 24 ? state : tag;
    std::memcpy(page.data() + i, &word, 8);
  }
  return page;
}

// Nothing in it compresses.
inline Page noise_of(uint64_t tag) {
  Page page;
  uint64_t state = (tag + 1) * 0xd1342543de82ef95;
  for (size_t i = 0; i < kPageBytes; i += 8) {
    state += 0x9e3779b97f4a7c15;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    std::memcpy(page.data() + i, &z, 8);
  }
  return page;
}

inline constexpr uint32_t kEphemeral = pool_flags(0);
inline constexpr uint32_t kPersistent = pool_flags(kPoolPersistent);
inline constexpr uint32_t kShared = pool_flags(kPoolShared);

inline Uuid uuid_of(uint8_t tag) {
  Uuid uuid;
  uuid.byte.fill(tag);
  return uuid;
}

inline Handle handle_of(uint32_t pool, uint64_t object, uint32_t index) {
  return {PoolId(pool), ObjectId{{object, 0, 0}}, PageIndex(index)};
}

struct Geometry {
  const char* name;
  uint32_t segments;
};
inline constexpr Geometry kNormal{"Normal", 64};
inline constexpr Geometry kCramped{"Cramped", 3};
inline void PrintTo(const Geometry& geometry, std::ostream* out) { *out << geometry.name; }

class EngineTest : public testing::TestWithParam<Geometry> {
 protected:
  EngineTest() : memory_(GetParam().segments + 1) { start(); }
  // Memory for so many segments, the spare, and their index.
  static uint64_t target_of(uint32_t segments) { return (segments + 1) * kSegmentBytes + segments * (kSegmentBytes / 8) + (256 << 10); }

  void start() {
    Result<std::unique_ptr<Engine>> made = Engine::create(memory_, EngineConfig{target_of(GetParam().segments), true});
    ASSERT_TRUE(made.ok()) << to_string(made.status());
    engine_ = std::move(made.value());
  }
  // As after kill -9: nothing but the arena's bytes is left.
  void restart() {
    const std::vector<std::byte> bytes = memory_.snapshot();
    engine_.reset();
    memory_.restore(bytes);
    start();
    EXPECT_EQ(engine_->check_invariants(), "");
  }
  void TearDown() override {
    if (engine_) {
      EXPECT_EQ(engine_->check_invariants(), "");
    }
  }

  ClientId client(uint32_t id, const ClientPolicy& policy = {}) {
    EXPECT_EQ(engine_->attach(ClientId(id), {}, policy, true), Status::kOk);
    return ClientId(id);
  }
  ClientId client_with_pool(uint32_t id, uint32_t flags, const ClientPolicy& policy = {}) {
    const ClientId made = client(id, policy);
    EXPECT_EQ(engine_->new_pool(made, PoolId(0), flags), Status::kOk);
    return made;
  }
  Status put(ClientId id, const Handle& handle, uint64_t tag, bool credit = false) {
    return engine_->put(id, handle, PageView(page_of(tag)), credit);
  }
  Status put_noise(ClientId id, const Handle& handle, uint64_t tag, bool credit = false) {
    return engine_->put(id, handle, PageView(noise_of(tag)), credit);
  }
  // The status of a get; kCorrupt also if the bytes are not those of the tag.
  Status get(ClientId id, const Handle& handle, const Page& expected) {
    Page page{};
    const Result<GetAnswer> answer = engine_->get(id, handle, PageBuffer(page));
    if (!answer.ok()) return answer.status();
    if (answer.value().same_filled)
      for (size_t i = 0; i < kPageBytes; i += 8) std::memcpy(page.data() + i, &answer.value().word, 8);
    return page == expected ? Status::kOk : Status::kCorrupt;
  }
  Status get(ClientId id, const Handle& handle, uint64_t tag) { return get(id, handle, page_of(tag)); }
  // Puts noise pages of new handles until one is refused; how many were stored.
  uint32_t fill(ClientId id, uint32_t pool, uint64_t object, uint32_t pages_max = 100000) {
    for (uint32_t index = 0; index < pages_max; ++index) {
      if (put_noise(id, handle_of(pool, object, index), index) != Status::kOk) return index;
    }
    return pages_max;
  }
  void settle() {
    while (engine_->step()) {
    }
  }
  SpaceStats space(ClientId id) { return engine_->client_info(id).value().space; }
  OpStats ops(ClientId id) { return engine_->client_info(id).value().ops; }

  HeapMemory memory_;
  std::unique_ptr<Engine> engine_;
};

#define TMEM_BOTH_GEOMETRIES(suite)                                                                   \
  INSTANTIATE_TEST_SUITE_P(, suite, testing::Values(kNormal, kCramped),                               \
                           [](const testing::TestParamInfo<Geometry>& geometry) { return geometry.param.name; })

}  // namespace tmem::test
