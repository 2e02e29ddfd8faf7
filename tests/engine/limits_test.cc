// SPDX-License-Identifier: MIT
// What one client may take, and what is left for the others.
#include "engine/nodes.h"
#include "engine_fixture.h"

namespace tmem::test {

class Limits : public EngineTest {};
TMEM_BOTH_GEOMETRIES(Limits);

TEST(LimitsOfAll, AMillionPagesAreDestroyedAFewAtATime) {
  constexpr uint32_t kPages = 1'000'000;
  HeapMemory memory(512);
  auto made = Engine::create(memory, EngineConfig{uint64_t{128} << 20, true});
  ASSERT_TRUE(made.ok());
  Engine& engine = *made.value();
  for (const uint32_t id : {1, 2}) {
    ASSERT_EQ(engine.attach(ClientId(id), {}, {}, true), Status::kOk);
    ASSERT_EQ(engine.new_pool(ClientId(id), PoolId(0), kPersistent), Status::kOk);
  }
  for (uint32_t i = 0; i < kPages; ++i) ASSERT_EQ(engine.put(ClientId(1), handle_of(0, i / 5000, i), SameFilled{i}), Status::kOk) << i;
  ASSERT_EQ(engine.destroy_pool(ClientId(1), PoolId(0)), Status::kOk);
  uint64_t left = engine.stats().teardown_pages;
  ASSERT_EQ(left, kPages);
  for (uint32_t i = 0; engine.step(); ++i) {
    ASSERT_EQ(engine.put(ClientId(2), handle_of(0, 1, i % 64), SameFilled{i}), Status::kOk);
    const uint64_t now = engine.stats().teardown_pages;
    ASSERT_LE(left - now, kTeardownPagesPerStep + 7);  // an extent is freed whole
    left = now;
  }
  EXPECT_EQ(left, 0u);
  EXPECT_EQ(engine.client_info(ClientId(2)).value().space.pages_persistent, 64u);
  EXPECT_EQ(engine.check_invariants(), "");
}

// Of pools there is a number for all; whoever takes what he can leaves some for everybody.
TEST(LimitsOfAll, EightClientsCannotTakeEveryPool) {
  HeapMemory memory(256);
  auto made = Engine::create(memory, EngineConfig{uint64_t{96} << 20, true});
  ASSERT_TRUE(made.ok());
  Engine& engine = *made.value();
  uint32_t taken = 0;
  for (uint32_t id = 1; id <= 8; ++id) {
    ASSERT_EQ(engine.attach(ClientId(id), {}, {}, true), Status::kOk);
    for (uint32_t pool = 0; pool < kPoolsPerClientMax; ++pool) {
      const Status status = engine.new_pool(ClientId(id), PoolId(pool), kEphemeral);
      if (status == Status::kOk) {
        ++taken;
        continue;
      }
      ASSERT_EQ(status, Status::kNoPoolSlots);
      break;
    }
  }
  EXPECT_GE(taken, 4 * kPoolsPerClientMax - 64 * kPoolsSurePerClient);
  for (uint32_t id = 9; id <= 40; ++id) {
    ASSERT_EQ(engine.attach(ClientId(id), {}, {}, true), Status::kOk);
    for (uint32_t pool = 0; pool < kPoolsSurePerClient; ++pool) {
      ASSERT_EQ(engine.new_pool(ClientId(id), PoolId(pool), kEphemeral), Status::kOk);
    }
    ASSERT_EQ(engine.new_pool(ClientId(id), PoolId(kPoolsSurePerClient), kEphemeral), Status::kNoPoolSlots);
  }
  ASSERT_EQ(engine.destroy_pool(ClientId(1), PoolId(0)), Status::kOk);
  EXPECT_EQ(engine.new_pool(ClientId(40), PoolId(kPoolsSurePerClient), kEphemeral), Status::kOk) << "what is given back others may take";
  EXPECT_EQ(engine.check_invariants(), "");
}

TEST(LimitsOfAll, OneMemberTooManyOfASharedPoolIsRefusedUntilOneLeaves) {
  HeapMemory memory(64);
  auto made = Engine::create(memory, EngineConfig{uint64_t{16} << 20, true});
  ASSERT_TRUE(made.ok());
  Engine& engine = *made.value();
  const Uuid uuid = uuid_of(9);
  const auto join = [&](uint32_t id) { return engine.join_pool(ClientId(id), PoolId(4), kShared, uuid); };
  for (uint32_t id = 1; id <= kSharersMax + 1; ++id) {
    ASSERT_EQ(engine.attach(ClientId(id), {}, {}, true), Status::kOk);
    ASSERT_EQ(engine.authorise(ClientId(id), uuid, true), Status::kOk);
    ASSERT_EQ(join(id), id <= kSharersMax ? Status::kOk : Status::kNoPoolSlots) << id;
  }
  EXPECT_TRUE(engine.pools(ClientId(kSharersMax + 1)).value().empty()) << "nothing of its own instead";
  EXPECT_EQ(engine.pools(ClientId(1)).value().at(0).sharers, kSharersMax);
  EXPECT_EQ(join(1), Status::kOk) << "who is a member already is not one more";
  ASSERT_EQ(engine.leave_pool(ClientId(2), PoolId(4)), Status::kOk);
  EXPECT_EQ(join(kSharersMax + 1), Status::kOk);
  EXPECT_EQ(engine.check_invariants(), "");
}

TEST_P(Limits, PoolsCountAgainstTheCapByWhatTheyTake) {
  ClientPolicy policy;
  policy.cap_pages = 10;
  const ClientId c = client(1, policy);
  for (uint32_t pool = 0; pool < 4 * kPoolsPerChargedPage; ++pool) ASSERT_EQ(engine_->new_pool(c, PoolId(pool), kEphemeral), Status::kOk);
  for (uint32_t i = 0; i < 6; ++i) EXPECT_EQ(engine_->put(c, handle_of(0, 1, i), SameFilled{i}), Status::kOk);
  EXPECT_EQ(engine_->put(c, handle_of(0, 1, 6), SameFilled{6}), Status::kOverCap);
}

}  // namespace tmem::test
