// SPDX-License-Identifier: MIT
// Who may claim old pools, over random lives of guests: boot, connect, write, suspend, save a copy and run on, restore any image
// at any time, reboot, vanish, resumes that fail, and crashes of the service at every step, that keep connections or lose them.
// The oracle knows what each running guest believes to have stored. Two laws, whatever happens:
//   safety    a guest that is told "resumed" finds exactly what it believes to have stored, never older and never newer;
//   promise   a guest that was suspended, or that the service lost by its own crash or at a resume, is resumed by the first claim
//             in time.
// TMEM_MODEL_OPS events, from TMEM_SEED; a failure prints the seed and the event.
#include "daemon/guests/clients.h"

#include <cstdlib>
#include <random>

#include <gtest/gtest.h>

namespace tmem {
namespace {

using Outcome = Admission::Outcome;

constexpr uint32_t kUuids = 3;
constexpr uint32_t kQueues = 2;
constexpr uint64_t kNothing = 0;

// What an image of a guest holds, and what a running one has in memory.
struct Memory {
  std::array<uint64_t, 2> nonce{};
  uint64_t epoch = 0;
  uint64_t believes = kNothing;  // the write that it did last
};

struct Running {
  Memory memory;
  std::optional<ClientId> connected;
};

class ClaimsModel {
 public:
  explicit ClaimsModel(uint64_t seed) : random_(seed) {}
  void run(uint64_t events);

 private:
  static ClientRegistry::Limits limits() { return {16, kUuids + 1, 60, 600}; }
  uint64_t any(uint64_t bound) { return random_() % bound; }
  uint32_t any_uuid() { return static_cast<uint32_t>(any(kUuids)); }

  void boot(uint32_t who);
  void connect(uint32_t who);
  void welcome(uint32_t who, Running& guest, const Admission& admission);
  void resume_fails(uint32_t who, Running& guest, ClientId id);
  void write(uint32_t who);
  void suspend(uint32_t who, bool runs_on);
  void restore(uint32_t who);
  void vanish(uint32_t who);
  void crash();
  void pass_time();
  void disconnect(Running& guest, bool suspended);
  void free(ClientId id) {
    pools_.erase(id);
    registry_.erase(id);
  }

  std::mt19937_64 random_;
  ClientRegistry registry_{limits(), ClientPolicy(), random_() >> 17};
  std::map<ClientId, uint64_t> pools_;            // what the service holds of each client
  std::map<uint32_t, Running> guests_;            // by uuid
  std::map<uint32_t, std::vector<Memory>> images_;
  std::map<uint32_t, Memory> promised_;           // who shows this first and in time must be resumed
  uint64_t writes_ = 0, now_ = 1000;
};

void ClaimsModel::boot(uint32_t who) {
  if (guests_.contains(who)) return;
  guests_[who].memory.nonce = {random_(), random_()};
}

// The service answers; the guest may not hear it, because the service dies first.
void ClaimsModel::welcome(uint32_t who, Running& guest, const Admission& admission) {
  const ClientEntry& entry = *registry_.find(admission.id);
  if (admission.outcome == Outcome::kResumed) {
    ASSERT_EQ(pools_.at(admission.id), guest.memory.believes) << "pages of another time";
  } else {
    pools_[admission.id] = kNothing;
  }
  if (any(8) == 0) return crash();
  if (admission.outcome == Outcome::kResumed && any(4) == 0) return resume_fails(who, guest, admission.id);
  guest.memory.epoch = entry.epoch;
  if (admission.outcome == Outcome::kFresh) guest.memory.believes = kNothing;
  guest.connected = admission.id;
  registry_.confirm(admission.id);
}

// A shard does not take it; the guest may have heard the welcome before.
void ClaimsModel::resume_fails(uint32_t who, Running& guest, ClientId id) {
  if (any(2) == 0) guest.memory.epoch = registry_.find(id)->epoch;
  registry_.resume_failed(id, now_);
  promised_[who] = guest.memory;
}

void ClaimsModel::connect(uint32_t who) {
  const auto at = guests_.find(who);
  if (at == guests_.end() || at->second.connected) return;
  ClientHello hello;
  hello.uuid.byte[0] = static_cast<uint8_t>(who + 1);
  hello.nonce = at->second.memory.nonce;
  hello.epoch = at->second.memory.epoch;
  hello.queues = kQueues;
  const Admission admission = registry_.admit(hello);
  ASSERT_TRUE(admission.outcome == Outcome::kFresh || admission.outcome == Outcome::kResumed);
  if (admission.freed) free(*admission.freed);
  const auto promise = promised_.find(who);
  if (promise != promised_.end()) {
    if (promise->second.nonce == hello.nonce && promise->second.epoch == hello.epoch && hello.epoch != 0) {
      EXPECT_EQ(admission.outcome, Outcome::kResumed) << "a promise was broken";
    }
    promised_.erase(promise);
  }
  welcome(who, at->second, admission);
}

void ClaimsModel::write(uint32_t who) {
  const auto at = guests_.find(who);
  if (at == guests_.end() || !at->second.connected) return;
  at->second.memory.believes = pools_[*at->second.connected] = ++writes_;
}

void ClaimsModel::disconnect(Running& guest, bool suspended) {
  if (!guest.connected) return;
  const ClientId id = *std::exchange(guest.connected, std::nullopt);
  if (registry_.disconnected(id, suspended, now_)) free(id);
}

// From its last word on, the guest sends nothing: neither the image nor the one that runs on has an advantage.
void ClaimsModel::suspend(uint32_t who, bool runs_on) {
  const auto at = guests_.find(who);
  if (at == guests_.end() || !at->second.connected) return;
  registry_.said(*at->second.connected, true);
  if (any(4) == 0) crash();  // before it sees the connection end
  disconnect(at->second, true);
  images_[who].push_back(at->second.memory);
  promised_[who] = at->second.memory;
  if (!runs_on) guests_.erase(at);
}

void ClaimsModel::restore(uint32_t who) {
  const auto at = images_.find(who);
  if (guests_.contains(who) || at == images_.end() || at->second.empty()) return;
  guests_[who].memory = at->second[any(at->second.size())];
}

void ClaimsModel::vanish(uint32_t who) {
  const auto at = guests_.find(who);
  if (at == guests_.end()) return;
  if (at->second.connected) promised_.erase(who);
  disconnect(at->second, false);
  guests_.erase(at);
}

// All that is left is what the shards' arenas say; connections live on, or not.
void ClaimsModel::crash() {
  std::vector<ClientInfo> infos;
  for (const auto& [id, entry] : registry_.entries()) {
    ClientInfo info;
    info.id = id;
    info.uuid = entry.uuid;
    info.nonce = entry.nonce;
    info.epoch = entry.identity().epoch;
    infos.push_back(info);
  }
  registry_ = ClientRegistry(limits(), ClientPolicy(), random_() >> 17);
  for (uint32_t shard = 0; shard < kQueues; ++shard) {
    for (const ClientInfo& info : infos) registry_.recovered(info);
  }
  for (const ClientId id : registry_.recovery_done(now_)) free(id);
  const bool kept = any(2) == 0;
  for (auto& [who, guest] : guests_) {
    if (!guest.connected || (kept && registry_.reconnected(*guest.connected, "model", kQueues))) continue;
    guest.connected.reset();
    promised_[who] = guest.memory;
  }
}

void ClaimsModel::pass_time() {
  now_ += any(40);
  if (any(50) == 0) now_ += 1000;
  for (const ClientId id : registry_.expired(now_)) {
    promised_.erase(static_cast<uint32_t>(registry_.find(id)->uuid.byte[0] - 1));
    free(id);
  }
}

void ClaimsModel::run(uint64_t events) {
  for (uint64_t event = 0; event < events && !testing::Test::HasFailure(); ++event) {
    SCOPED_TRACE("event " + std::to_string(event));
    const uint32_t who = any_uuid();
    switch (any(12)) {
      case 0: boot(who); break;
      case 1: case 2: case 3: connect(who); break;
      case 4: case 5: write(who); break;
      case 6: suspend(who, false); break;
      case 7: suspend(who, true); break;
      case 8: restore(who); break;
      case 9: vanish(who); break;
      case 10: crash(); break;
      default: pass_time();
    }
    if (images_[who].size() > 6) images_[who].erase(images_[who].begin());
    ASSERT_LE(registry_.count(ClientState::kSuspended), kUuids);
  }
}

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

TEST(ClaimsModelTest, NoGuestIsEverShownPagesOfAnotherTimeAndPromisesAreKept) {
  const uint64_t seed = from_environment("TMEM_SEED", std::random_device{}());
  SCOPED_TRACE("TMEM_SEED=" + std::to_string(seed));
  RecordProperty("seed", std::to_string(seed));
  ClaimsModel(seed).run(from_environment("TMEM_MODEL_OPS", 200000));
}

}  // namespace
}  // namespace tmem
