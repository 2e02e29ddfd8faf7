// SPDX-License-Identifier: MIT
// Random op streams against the oracle: eviction, freeze, cap, no space, refused memory, restarts, shared pools, dedup, credits, a
// memory target that moves; and damaged copies of their arenas. TMEM_MODEL_OPS ops per geometry, from TMEM_SEED; a failure prints
// seed and op number.
#include <gtest/gtest.h>

#include <random>

#include "model/oracle.h"
#include "model/world.h"
#include "support/heap_memory.h"
#include "support/page_source.h"

namespace tmem::test {
namespace {

class EngineModel : public testing::TestWithParam<World> {
 protected:
  void run(uint64_t ops, uint64_t seed);
  void begin(uint64_t seed);
  void one();
  void damage();
  void must_be_last(Engine& engine, uint32_t client, const Handle& at);

  uint32_t pick(uint32_t below) { return static_cast<uint32_t>(random_() % below); }
  ClientId id_of(uint32_t client) const { return ClientId(100 + client); }
  Uuid uuid_of(uint32_t n) const {
    Uuid uuid;
    uuid.byte.fill(static_cast<uint8_t>(n + 1));
    return uuid;
  }
  // Half of the time one that was put lately.
  std::pair<uint32_t, Handle> client_and_handle() {
    if (!recent_.empty() && pick(2) == 0) return recent_[pick(static_cast<uint32_t>(recent_.size()))];
    return {pick(kClients),
            {PoolId(pick(kPoolIds)), ObjectId{{pick(GetParam().objects), 0, 0}}, PageIndex(pick(GetParam().indexes))}};
  }
  ClientPolicy policy() {
    ClientPolicy policy;
    policy.weight = std::array<uint32_t, 4>{0, 1, 100, 1000}[pick(4)];
    policy.cap_pages = pick(6) == 0 ? 1 + pick(400) : 0;
    policy.min_pages = pick(4) == 0 ? pick(64) : 0;
    policy.compress = pick(4) != 0;
    policy.frozen = pick(12) == 0;
    policy.dedup_group = pick(2) == 0 ? 1 + pick(2) : 0;
    return policy;
  }

  void create(bool may_fail);
  void put(bool credit);
  void put_answered(uint32_t client, const OraclePool& pool, const Handle& at, uint64_t tag, bool credited, Status status);
  void get();
  void flush_page();
  void flush_object();
  void pool_op();
  void client_op();
  void authorise();
  void credits();
  void space_op();
  void refuse_memory();
  void restart();
  void check();
  void note();

  std::mt19937_64 random_;
  std::unique_ptr<HeapMemory> memory_;
  std::unique_ptr<Engine> engine_;
  Oracle oracle_;
  uint64_t tags_ = 0;
  uint64_t target_ = 0;
  uint32_t memory_back_in_ = 0;
  std::vector<std::pair<uint32_t, Handle>> recent_;
  std::map<std::string, uint64_t> seen_;  // what the run came across: a model test that meets nothing proves nothing
};

void EngineModel::create(bool may_fail) {
  Result<std::unique_ptr<Engine>> made = Engine::create(*memory_, EngineConfig{target_, true}, pick(2) == 0);
  if (!made.ok() && may_fail) {
    memory_->blocks_left = -1;
    memory_->commits_left = -1;
    made = Engine::create(*memory_, EngineConfig{target_, true});
  }
  ASSERT_TRUE(made.ok()) << to_string(made.status());
  engine_ = std::move(made.value());
}

void EngineModel::put(bool credit) {
  const auto [client, at] = client_and_handle();
  const uint64_t tag = ++tags_ * 8 + pick(8);
  const bool credited = credit && oracle_.clients[client].credits > 0;
  const Page page = bytes_of(tag);
  uint64_t word;
  std::memcpy(&word, page.data(), 8);
  const Status status = tag % 8 == 0 && pick(2) == 0 ? engine_->put(id_of(client), at, SameFilled{word}, credit)
                                                     : engine_->put(id_of(client), at, PageView(page), credit);
  if (credited) --oracle_.clients[client].credits;
  ++seen_[std::string(credited ? "credited put: " : "put: ") + to_string(status)];
  const OraclePool* pool = oracle_.pool(client, at.pool);
  if (!oracle_.clients[client].attached) {
    ASSERT_EQ(status, Status::kNoClient);
    return;
  }
  if (pool == nullptr) {
    ASSERT_EQ(status, Status::kNoPool);
    return;
  }
  if (credit && !credited) {
    const auto key = Oracle::key(*pool, at);
    if (status != Status::kNoCredit) {
      ASSERT_EQ(status, Status::kPutFlushed);
    }
    if (pool->persistent || status == Status::kPutFlushed) {
      ASSERT_EQ(oracle_.page(key).has_value(), status == Status::kPutFlushed) << "law 2 without credit";
    }
    oracle_.erase(key);
    return;
  }
  put_answered(client, *pool, at, tag, credited, status);
}

void EngineModel::put_answered(uint32_t client, const OraclePool& pool, const Handle& at, uint64_t tag, bool credited,
                               Status status) {
  const auto key = Oracle::key(pool, at);
  const bool known = oracle_.page(key).has_value();
  const ClientPolicy& policy = oracle_.clients[client].policy;
  if (credited) {
    ASSERT_EQ(status, Status::kOk) << "a credit is space";
  }
  switch (status) {
    case Status::kOk:
      if (!credited && !known) {
        ASSERT_FALSE(policy.frozen) << "a frozen client stored a new page";
        if (policy.cap_pages != 0) {
          ASSERT_LT(oracle_.pages_persistent(client) + oracle_.clients[client].credits, policy.cap_pages) << "beyond its cap";
        }
      }
      if (recent_.size() < 256) recent_.emplace_back(client, at);
      else recent_[pick(256)] = {client, at};
      return oracle_.store(key, tag);
    case Status::kPutFlushed: ASSERT_TRUE(known) << "nothing was there to be flushed"; break;
    case Status::kFrozen: ASSERT_TRUE(policy.frozen); break;
    case Status::kOverCap: ASSERT_NE(policy.cap_pages, 0u); break;
    default: ASSERT_EQ(status, Status::kNoSpace);
  }
  if (status != Status::kPutFlushed && pool.persistent) {
    ASSERT_FALSE(known) << "a present page was refused, not flushed";
  }
  oracle_.erase(key);
}

void EngineModel::get() {
  const auto [client, at] = client_and_handle();
  Page page;
  const Result<GetAnswer> answer = engine_->get(id_of(client), at, PageBuffer(page));
  ++seen_[std::string("get: ") + to_string(answer.status())];
  const OraclePool* pool = oracle_.pool(client, at.pool);
  if (!oracle_.clients[client].attached) {
    ASSERT_EQ(answer.status(), Status::kNoClient);
    return;
  }
  if (pool == nullptr) {
    ASSERT_EQ(answer.status(), Status::kNoPool);
    return;
  }
  const auto key = Oracle::key(*pool, at);
  const std::optional<uint64_t> expected = oracle_.page(key);
  if (pool->persistent) {
    ASSERT_EQ(answer.ok(), expected.has_value()) << to_string(answer.status());
  }
  if (!answer.ok()) {
    ASSERT_EQ(answer.status(), Status::kMiss);
    return oracle_.erase(key);
  }
  ASSERT_TRUE(expected.has_value()) << "a page that must not be there";
  if (answer.value().same_filled)
    for (size_t i = 0; i < kPageBytes; i += 8) std::memcpy(page.data() + i, &answer.value().word, 8);
  ASSERT_TRUE(page == bytes_of(*expected)) << "not the last page that was put";
  if (!pool->persistent && !pool->shared) oracle_.erase(key);
}

void EngineModel::flush_page() {
  const auto [client, at] = client_and_handle();
  const Status status = engine_->flush_page(id_of(client), at);
  const OraclePool* pool = oracle_.pool(client, at.pool);
  if (pool == nullptr) return;
  const auto key = Oracle::key(*pool, at);
  if (pool->persistent) {
    ASSERT_EQ(status == Status::kOk, oracle_.page(key).has_value());
  }
  if (status == Status::kOk) {
    ASSERT_TRUE(oracle_.page(key).has_value());
  }
  oracle_.erase(key);
}

void EngineModel::flush_object() {
  const auto [client, at] = client_and_handle();
  const Status status = engine_->flush_object(id_of(client), at.pool, at.object);
  const OraclePool* pool = oracle_.pool(client, at.pool);
  if (pool == nullptr) return;
  ASSERT_TRUE(status == Status::kOk || status == Status::kMiss);
  oracle_.flush_object(*pool, at.object);
}

void EngineModel::pool_op() {
  const uint32_t client = pick(kClients);
  const PoolId id(pick(kPoolIds));
  OracleClient& known = oracle_.clients[client];
  OraclePool* pool = oracle_.pool(client, id);
  if (pool != nullptr) {
    if (pick(30) != 0) return;
    const bool leave = pick(2) == 0;
    const Status status = leave ? engine_->leave_pool(id_of(client), id) : engine_->destroy_pool(id_of(client), id);
    if (leave && !pool->shared) {
      ASSERT_EQ(status, Status::kBadFlags);
      return;
    }
    ASSERT_EQ(status, Status::kOk);
    return oracle_.leave(client, id.value());
  }
  const bool shared = pick(3) == 0;
  const bool persistent = !shared && pick(2) == 0;
  const Uuid uuid = uuid_of(pick(kUuids));
  const Status status = shared ? engine_->join_pool(id_of(client), id, pool_flags(kPoolShared), uuid)
                               : engine_->new_pool(id_of(client), id, pool_flags(persistent ? kPoolPersistent : 0));
  if (!known.attached) {
    ASSERT_EQ(status, Status::kNoClient);
    return;
  }
  if (shared && known.authorised.count(uuid) == 0) {
    ASSERT_EQ(status, Status::kNotAuthorised);
    return;
  }
  if (known.policy.frozen) {
    ASSERT_EQ(status, Status::kFrozen);
    return;
  }
  if (status != Status::kOk) {
    ASSERT_TRUE(status == Status::kNoSpace || status == Status::kNoPoolSlots);
    return;
  }
  if (shared) oracle_.join(client, id, uuid);
  else oracle_.open(client, id, persistent);
}

void EngineModel::client_op() {
  const uint32_t client = pick(kClients);
  OracleClient& known = oracle_.clients[client];
  const ClientPolicy chosen = policy();
  if (!known.attached) {
    const Status status = engine_->attach(id_of(client), {}, chosen, true);
    ASSERT_TRUE(status == Status::kOk || status == Status::kNoSpace || status == Status::kNoClientSlots);
    if (status == Status::kOk) known.attached = true, known.policy = chosen;
  } else if (pick(20) == 0) {
    ASSERT_EQ(engine_->detach(id_of(client)), Status::kOk);
    oracle_.detach(client);
  } else {
    const Status status = engine_->set_policy(id_of(client), chosen);
    ASSERT_TRUE(status == Status::kOk || status == Status::kNoSpace);
    if (status == Status::kOk) known.policy = chosen;
  }
}

void EngineModel::authorise() {
  const uint32_t client = pick(kClients);
  const Uuid uuid = uuid_of(pick(kUuids));
  const bool allowed = pick(4) != 0;
  const Status status = engine_->authorise(id_of(client), uuid, allowed);
  if (!oracle_.clients[client].attached) {
    ASSERT_EQ(status, Status::kNoClient);
    return;
  }
  if (!allowed) {
    ASSERT_EQ(status, Status::kOk);
    return oracle_.revoke(client, uuid);
  }
  if (status == Status::kOk) oracle_.clients[client].authorised[uuid] = true;
  else {
    ASSERT_EQ(status, Status::kNoSpace);
  }
}

void EngineModel::credits() {
  const uint32_t client = pick(kClients);
  OracleClient& known = oracle_.clients[client];
  if (pick(8) == 0) {
    engine_->revoke_credits(id_of(client));
    known.credits = 0;
    return;
  }
  const uint32_t want = pick(12);
  const uint32_t has = engine_->top_up_credits(id_of(client), want);
  if (!known.attached) {
    ASSERT_EQ(has, 0u);
    return;
  }
  ASSERT_GE(has, known.credits);
  ASSERT_LE(has, std::max(want, known.credits));
  known.credits = has;
}

void EngineModel::space_op() {
  switch (pick(8)) {
    case 0:
      target_ = (2 + pick(GetParam().segments)) * (kSegmentBytes + (64 << 10)) + (128 << 10);
      return engine_->set_memory_target(target_);
    case 1: static_cast<void>(engine_->flush_ephemeral(pick(64 << 10))); return;
    case 2: static_cast<void>(engine_->flush_ephemeral(id_of(pick(kClients)), pick(64 << 10))); return;
    default:
      for (uint32_t steps = pick(32); steps > 0 && engine_->step(); --steps) {
        if (pick(64) == 0) return restart();  // with background work half done
      }
  }
}

void EngineModel::refuse_memory() {
  memory_->blocks_left = pick(3) == 0 ? -1 : pick(4);
  memory_->commits_left = pick(3) == 0 ? -1 : pick(2);
  memory_back_in_ = 1 + pick(64);
}

// As after kill -9 between two requests; unspent credits are lost with the process.
void EngineModel::restart() {
  note();
  const std::vector<std::byte> bytes = memory_->snapshot();
  engine_.reset();
  memory_->restore(bytes);
  create(true);
  if (HasFatalFailure()) return;
  for (auto& [number, client] : oracle_.clients) client.credits = 0;
  check();
}

void EngineModel::note() {
  const EngineStats stats = engine_->stats();
  ++seen_["restart"];
  seen_["evicted"] += stats.pages_evicted;
  seen_["compacted"] += stats.segments_compacted;
  for (const auto& [number, client] : oracle_.clients) {
    if (!client.attached) continue;
    seen_["deduplicated"] += engine_->client_info(id_of(number)).value().ops.put_deduplicated;
    seen_["raw"] += engine_->client_info(id_of(number)).value().ops.put_raw;
    seen_["same-filled"] += engine_->client_info(id_of(number)).value().ops.put_same_filled;
  }
}

void EngineModel::check() {
  ASSERT_EQ(engine_->check_invariants(), "");
  std::vector<ClientId> attached;
  for (const auto& [number, client] : oracle_.clients) {
    if (!client.attached) continue;
    const Result<ClientInfo> info = engine_->client_info(id_of(number));
    ASSERT_TRUE(info.ok());
    ASSERT_EQ(info.value().pools, client.pools.size());
    ASSERT_EQ(info.value().space.pages_persistent, oracle_.pages_persistent(number));
    ASSERT_EQ(info.value().credits, client.credits);
    ASSERT_EQ(info.value().policy.weight, client.policy.weight);
    ASSERT_EQ(info.value().policy.frozen, client.policy.frozen);
    ASSERT_EQ(engine_->authorised(id_of(number)).size(), client.authorised.size());
    attached.push_back(id_of(number));
  }
  ASSERT_EQ(engine_->clients().size(), attached.size());
}

void EngineModel::one() {
  if (memory_back_in_ > 0 && --memory_back_in_ == 0) {
    memory_->blocks_left = -1;
    memory_->commits_left = -1;
  }
  const uint32_t dice = pick(1000);
  if (dice < 450) put(false);
  else if (dice < 550) put(true);
  else if (dice < 800) get();
  else if (dice < 880) flush_page();
  else if (dice < 885) flush_object();
  else if (dice < 925) pool_op();
  else if (dice < 935) client_op();
  else if (dice < 945) authorise();
  else if (dice < 970) credits();
  else if (dice < 992) space_op();
  else if (dice < 998) refuse_memory();
  else restart();
}

void EngineModel::begin(uint64_t seed) {
  random_.seed(seed);
  memory_ = std::make_unique<HeapMemory>(GetParam().segments + 1);
  target_ = (GetParam().segments + 2) * (kSegmentBytes + (64 << 10));
  create(false);
}

void EngineModel::run(uint64_t ops, uint64_t seed) {
  begin(seed);
  for (uint64_t op = 0; op < ops && !HasFatalFailure(); ++op) {
    SCOPED_TRACE("TMEM_SEED=" + std::to_string(seed) + " op " + std::to_string(op));
    one();
    if (op % 2048 == 0 && !HasFatalFailure()) check();
  }
  if (!HasFatalFailure()) check();
  note();
  if (ops >= 50000) {
    for (const char* what : {"put: ok", "put: no space", "put: not replaced, the old page is gone", "put: frozen", "put: over cap",
                             "put: no credit", "credited put: ok", "get: ok", "get: not there", "restart", "evicted", "compacted",
                             "deduplicated", "raw", "same-filled"})
      EXPECT_GT(seen_[what], 0u) << what;
  }
  if (std::getenv("TMEM_MODEL_VERBOSE") != nullptr) {
    for (const auto& [what, count] : seen_) std::printf("%10llu %s\n", static_cast<unsigned long long>(count), what.c_str());
  }
  // A moving target and refused memory are over: what is dead is freed to the last page.
  memory_->blocks_left = memory_->commits_left = -1;
  for (uint32_t client = 0; client < kClients; ++client) static_cast<void>(engine_->detach(id_of(client)));
  while (engine_->step()) {
  }
  EXPECT_EQ(engine_->check_invariants(), "");
  EXPECT_EQ(engine_->stats().bytes_live, 0u);
}

// A page that is there is the one that was put last; that it is there is not asked.
void EngineModel::must_be_last(Engine& engine, uint32_t client, const Handle& at) {
  Page page;
  const Result<GetAnswer> answer = engine.get(id_of(client), at, PageBuffer(page));
  if (!answer.ok()) {
    const Status status = answer.status();
    ASSERT_TRUE(status == Status::kMiss || status == Status::kCorrupt || status == Status::kNoPool || status == Status::kNoClient) << to_string(status);
    ++seen_[to_string(status)];
    return;
  }
  const OraclePool* pool = oracle_.pool(client, at.pool);
  ASSERT_NE(pool, nullptr) << "a pool that must not be there";
  const std::optional<uint64_t> expected = oracle_.page(Oracle::key(*pool, at));
  ASSERT_TRUE(expected.has_value()) << "a page that must not be there";
  if (answer.value().same_filled)
    for (size_t i = 0; i < kPageBytes; i += 8) std::memcpy(page.data() + i, &answer.value().word, 8);
  ASSERT_TRUE(page == bytes_of(*expected)) << "not the last page that was put";
  ++seen_["kept"];
}

// Some bits of an arena that was left behind are others: anywhere, and at the segments' beginnings, where everything hangs. Seldom
// in the arena's own header: that is refused as a whole, and then nothing is asked.
void EngineModel::damage() {
  std::vector<std::byte> bytes = memory_->snapshot();
  const auto segments = static_cast<uint32_t>(bytes.size() / kSegmentBytes);  // the first is the header's
  for (uint32_t flips = segments > 1 ? 1 + pick(64) : 0; flips > 0; --flips) {
    const size_t segment = size_t{1 + pick(segments - 1)} * kSegmentBytes;
    const size_t at = segment + pick(pick(2) == 0 ? 8192 : static_cast<uint32_t>(kSegmentBytes));
    bytes[at] ^= std::byte{1} << pick(8);
  }
  if (pick(16) == 0) bytes[pick(8192)] ^= std::byte{1} << pick(8);
  HeapMemory memory(GetParam().segments + 1);
  memory.restore(bytes);
  Result<std::unique_ptr<Engine>> made = Engine::create(memory, EngineConfig{(GetParam().segments + 2) * (kSegmentBytes + (64 << 10)), true}, pick(2) == 0);
  if (!made.ok()) {
    ++seen_["refused"];
    return;
  }
  Engine& engine = *made.value();
  ASSERT_EQ(engine.check_invariants(), "");
  for (const auto& [number, client] : oracle_.clients) {
    for (const auto& [id, pool] : client.pools) {
      for (uint32_t object = 0; object < GetParam().objects; ++object)
        for (uint32_t index = 0; index < GetParam().indexes && !HasFatalFailure(); ++index)
          must_be_last(engine, number, {PoolId(id), ObjectId{{object, 0, 0}}, PageIndex(index)});
    }
  }
  for (uint32_t client = 0; client < kClients; ++client) static_cast<void>(engine.detach(id_of(client)));
  while (engine.step()) {
  }
  ASSERT_EQ(engine.check_invariants(), "");
}

TEST_P(EngineModel, NeverReturnsOtherBytesFromADamagedArena) {
  const uint64_t seed = seed_or(std::random_device{}());
  begin(seed);
  const uint64_t rounds = rounds_or("TMEM_MODEL_OPS", 100000) / 2500;
  for (uint64_t round = 0; round < rounds && !HasFatalFailure(); ++round) {
    SCOPED_TRACE("TMEM_SEED=" + std::to_string(seed) + " round " + std::to_string(round));
    for (int op = 0; op < 1000 && !HasFatalFailure(); ++op) one();
    if (!HasFatalFailure()) damage();
  }
  for (const char* what : {"kept", "not there"}) EXPECT_GT(seen_[what], 0u) << what;
}

TEST_P(EngineModel, AnswersAsTheOracleOverRandomRequests) {
  const uint64_t seed = seed_or(std::random_device{}());
  RecordProperty("seed", std::to_string(seed));
  run(rounds_or("TMEM_MODEL_OPS", 100000), seed);
}

INSTANTIATE_TEST_SUITE_P(, EngineModel, testing::Values(kNormal, kCramped),
                         [](const testing::TestParamInfo<World>& world) { return world.param.name; });

}  // namespace
}  // namespace tmem::test
