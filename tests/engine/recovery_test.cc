// SPDX-License-Identifier: MIT
// What a crash can leave in an arena between two stores, made by hand with the store: nothing of it may confuse the engine.
#include "engine/engine_fixture.h"
#include "engine/meta_format.h"
#include "store/arena.h"

namespace tmem::test {

class Recovery : public EngineTest {
 protected:
  // Ends the engine and works on the arena that it left.
  template <typename Edit>
  void edit(Edit&& change) {
    engine_.reset();
    Result<std::unique_ptr<Arena>> arena = Arena::open(memory_, true);
    ASSERT_TRUE(arena.ok());
    change(*arena.value());
    arena.value().reset();
    start();
    EXPECT_EQ(engine_->check_invariants(), "");
  }
  static RecordRef first_page(const Arena& arena) {
    RecordRef record = arena.first();
    while (!record.none() && arena.view(record).codec != Codec::kRaw) record = arena.next(record);
    return record;
  }
  static void insert(Arena& arena, RecordKey key, Codec codec, std::span<const std::byte> payload) {
    ASSERT_EQ(arena.reserve(payload.size(), 2), Status::kOk);
    ASSERT_FALSE(arena.insert(key, codec, payload).none());
  }
};
TMEM_BOTH_GEOMETRIES(Recovery);

TEST_P(Recovery, OfTwoPagesOfOneHandleOneIsKept) {
  const ClientId c = client_with_pool(1, kPersistent);
  ASSERT_EQ(put_noise(c, handle_of(0, 1, 1), 1), Status::kOk);
  edit([](Arena& arena) { insert(arena, arena.view(first_page(arena)).key, Codec::kRaw, noise_of(2)); });
  EXPECT_EQ(space(c).pages_persistent, 1u);
  const Status first = get(c, handle_of(0, 1, 1), noise_of(1));
  const Status second = get(c, handle_of(0, 1, 1), noise_of(2));
  EXPECT_TRUE((first == Status::kOk) != (second == Status::kOk));
}

TEST_P(Recovery, ADamagedKeyCostsItsOwnPageOnly) {
  const ClientId c = client_with_pool(1, kPersistent);
  ASSERT_EQ(put_noise(c, handle_of(0, 1, 1), 1), Status::kOk);
  ASSERT_EQ(put_noise(c, handle_of(0, 1, 3), 2), Status::kOk);
  edit([this](Arena& arena) {
    const RecordRef first = first_page(arena);
    const auto payload = static_cast<size_t>(arena.view(first).payload.data() - memory_.base());
    const size_t slot = payload / kSegmentBytes * kSegmentBytes + sizeof(SegmentHeader) + first.slot() * sizeof(Slot);
    ASSERT_EQ(arena.view(first).key.index, 1u);
    memory_.flip(slot + offsetof(Slot, key) + offsetof(RecordKey, index), 1);
    ASSERT_EQ(arena.view(first).key.index, 3u);
  });
  EXPECT_EQ(get(c, handle_of(0, 1, 3), noise_of(2)), Status::kOk);
  EXPECT_EQ(get(c, handle_of(0, 1, 1), noise_of(1)), Status::kMiss);
}

TEST_P(Recovery, PagesOfNoObjectObjectsOfNoPoolAndPoolsOfNoClientAreDropped) {
  const ClientId c = client_with_pool(1, kPersistent);
  ASSERT_EQ(put_noise(c, handle_of(0, 1, 1), 1), Status::kOk);
  const uint64_t live = engine_->stats().bytes_live;
  edit([](Arena& arena) {
    insert(arena, {4711, 3}, Codec::kRaw, noise_of(2));
    const ObjectMeta object{ObjectId{{5, 0, 0}}, 600, 0};
    insert(arena, {300, static_cast<uint32_t>(MetaKind::kObject)}, Codec::kMeta, std::as_bytes(std::span(&object, 1)));
    const MembershipMeta membership{77, 3, 601, kPersistent, {}};
    insert(arena, {40, static_cast<uint32_t>(MetaKind::kMembership)}, Codec::kMeta, std::as_bytes(std::span(&membership, 1)));
    const AuthorisationMeta authorisation{uuid_of(1), 78, 0};
    insert(arena, {41, static_cast<uint32_t>(MetaKind::kAuthorisation)}, Codec::kMeta, std::as_bytes(std::span(&authorisation, 1)));
    insert(arena, {9, 0}, Codec::kContent, noise_of(3));
    insert(arena, {1, 99}, Codec::kMeta, std::as_bytes(std::span(&object, 1)));
  });
  EXPECT_EQ(engine_->stats().bytes_live, live);
  EXPECT_EQ(get(c, handle_of(0, 1, 1), noise_of(1)), Status::kOk);
}

TEST_P(Recovery, OfTwoRecordsOfAClientTheNewerCounts) {
  ClientPolicy policy;
  const ClientId c = client(1, policy);
  for (const uint32_t weight : {5u, 6u, 7u}) {
    policy.weight = weight;
    ASSERT_EQ(engine_->set_policy(c, policy), Status::kOk);
    restart();
    EXPECT_EQ(engine_->client_info(c).value().policy.weight, weight);
  }
  ASSERT_EQ(engine_->detach(c), Status::kOk);
  restart();
  EXPECT_TRUE(engine_->clients().empty());
}

TEST_P(Recovery, TheOwnerOfAClientIsKept) {
  const ClientId c = client(1);
  ASSERT_EQ(engine_->set_identity(c, {uuid_of(1), {3, 4}, 5, "name", 1000}), Status::kOk);
  restart();
  EXPECT_EQ(engine_->client_info(c).value().owner, 1000u);
  EXPECT_EQ(engine_->client_info(c).value().uuid, uuid_of(1));
}

TEST_P(Recovery, AnArenaOfAnotherVersionIsRefusedAndLeftAlone) {
  client_with_pool(1, kPersistent);
  engine_.reset();
  memory_.flip(8, 1);  // ArenaHeader::version
  const std::vector<std::byte> before = memory_.snapshot();
  EXPECT_EQ(Engine::create(memory_, EngineConfig{target_of(3), true}).status(), Status::kBadArena);
  EXPECT_EQ(memory_.snapshot(), before);
  memory_.flip(8, 1);
  start();
}

}  // namespace tmem::test
