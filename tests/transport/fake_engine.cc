// SPDX-License-Identifier: MIT
#include "fake_engine.h"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "store/segment_memory.h"

namespace tmem {

namespace {

FakeEngine* current = nullptr;

template <typename... Parts>
void note(const char* op, ClientId client, Parts... parts) {
  std::ostringstream text;
  text << op << ' ' << client.value();
  ((text << ' ' << parts), ...);
  current->calls.push_back(text.str());
  current->work_done += current->work_per_call;
  if (current->during) current->during();
}

std::string text_of(const ObjectId& object) {
  std::ostringstream text;
  text << '{' << object.word[0] << ',' << object.word[1] << ',' << object.word[2] << '}';
  return text.str();
}

std::string text_of(const Uuid& uuid) {
  std::ostringstream text;
  for (uint8_t b : uuid.byte) text << +b << '.';
  return text.str();
}

struct NoMemory final : SegmentMemory {
  std::byte* base() override { return nullptr; }
  uint32_t segments_max() const override { return 0; }
  bool commit(uint32_t) override { return false; }
  void decommit(uint32_t) override {}
};

void note_page(const char* op, ClientId client, const Handle& h, const char* more = "") {
  note(op, client, h.pool.value(), text_of(h.object), h.index.value(), more);
}

Status answer_or(Status status) { return current->answer.value_or(status); }

Status spend(bool credit) {
  if (!credit) return Status::kOk;
  if (current->credits == 0) return Status::kNoCredit;
  --current->credits;
  return Status::kOk;
}

}  // namespace

struct Engine::Impl {};

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(SegmentMemory&, const EngineConfig&, bool) {
  return std::unique_ptr<Engine>(new Engine(std::make_unique<Impl>()));
}

FakeEngine::FakeEngine() {
  current = this;
  static NoMemory nothing;
  engine = std::move(Engine::create(nothing, {}).value());
}

FakeEngine::~FakeEngine() { current = nullptr; }

Status Engine::new_pool(ClientId client, PoolId pool, uint32_t flags) {
  note("new_pool", client, pool.value(), flags);
  return answer_or(Status::kOk);
}

Status Engine::join_pool(ClientId client, PoolId pool, uint32_t flags, const Uuid& uuid) {
  note("join_pool", client, pool.value(), flags, text_of(uuid));
  return answer_or(Status::kOk);
}

Status Engine::leave_pool(ClientId client, PoolId pool) {
  note("leave_pool", client, pool.value());
  return answer_or(Status::kOk);
}

Status Engine::destroy_pool(ClientId client, PoolId pool) {
  note("destroy_pool", client, pool.value());
  return answer_or(Status::kOk);
}

Status Engine::put(ClientId client, const Handle& handle, PageView page, bool credit) {
  current->last_page = page.data();
  std::vector<std::byte> copy(page.begin(), page.end());
  note_page("put", client, handle, credit ? "credit" : "");
  const bool steady = std::equal(page.begin(), page.end(), copy.begin());
  if (!steady) current->calls.push_back("the page changed under the engine");
  if (const Status s = spend(credit); s != Status::kOk) return s;
  if (current->answer) return *current->answer;
  current->words.erase(handle);
  current->pages[handle] = std::move(copy);
  return Status::kOk;
}

Status Engine::put(ClientId client, const Handle& handle, SameFilled page, bool credit) {
  note_page("put_same_filled", client, handle, credit ? "credit" : "");
  if (const Status s = spend(credit); s != Status::kOk) return s;
  if (current->answer) return *current->answer;
  current->pages.erase(handle);
  current->words[handle] = page.word;
  return Status::kOk;
}

Result<GetAnswer> Engine::get(ClientId client, const Handle& handle, PageBuffer page) {
  note_page("get", client, handle);
  if (current->answer && *current->answer != Status::kOk) return *current->answer;
  if (const auto it = current->words.find(handle); it != current->words.end()) return GetAnswer{true, it->second};
  const auto it = current->pages.find(handle);
  if (it == current->pages.end()) return Status::kMiss;
  std::memcpy(page.data(), it->second.data(), page.size());
  return GetAnswer{};
}

Status Engine::flush_page(ClientId client, const Handle& handle) {
  note_page("flush_page", client, handle);
  const size_t gone = current->pages.erase(handle) + current->words.erase(handle);
  return answer_or(gone > 0 ? Status::kOk : Status::kMiss);
}

Status Engine::flush_object(ClientId client, PoolId pool, const ObjectId& object) {
  note("flush_object", client, pool.value(), text_of(object));
  return answer_or(Status::kOk);
}

void Engine::prefetch(ClientId, const Handle&) const { ++current->prefetches; }

uint32_t Engine::top_up_credits(ClientId, uint32_t want) {
  current->credits_wanted = want;
  current->credits = std::max(current->credits, std::min(want, current->credits_available));
  return current->credits;
}

uint32_t Engine::grant_credits(ClientId client, uint32_t want) { return top_up_credits(client, want); }

uint32_t Engine::revoke_credits(ClientId) {
  ++current->revocations;
  return std::exchange(current->credits, 0);
}

uint64_t Engine::work_done() const { return current->work_done; }
bool Engine::step() {
  ++current->steps;
  if (current->steps_wanted == 0) return false;
  --current->steps_wanted;
  return true;
}

}  // namespace tmem
