// SPDX-License-Identifier: MIT
#include "daemon/shards.h"

#include <pthread.h>
#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/notify.h"
#include "tmem/limits.h"

namespace tmem {
namespace {

std::string arena_name(uint32_t shard) { return "arena-" + std::to_string(shard); }

// Room for the largest part that the shard may be asked to hold.
uint32_t segments_max(const Config& config, uint32_t shards) {
  return static_cast<uint32_t>(std::min<uint64_t>(kSegmentsMax, config.memory_bytes_max / shards / kSegmentBytes + 1));
}

// An arena is kept as arena-SHARD-INSTANCE; the instance is random, new with each arena made from nothing.
std::string kept_name(uint32_t shard, uint64_t instance) { return arena_name(shard) + "-" + std::to_string(instance); }

struct KeptArena {
  FileDescriptor fd;
  uint64_t instance = 0;
};

KeptArena take_arena(std::map<std::string, FileDescriptor>& inherited, uint32_t shard) {
  const std::string prefix = arena_name(shard) + "-";
  const auto at = inherited.lower_bound(prefix);
  if (at == inherited.end() || !at->first.starts_with(prefix)) return {};
  KeptArena out{std::move(at->second), std::strtoull(at->first.c_str() + prefix.size(), nullptr, 10)};
  inherited.erase(at);
  return out;
}

uint64_t random_instance() {
  uint64_t value = 0;
  if (getrandom(&value, sizeof(value), 0) != static_cast<ssize_t>(sizeof(value))) value = monotonic_ns();
  return value;
}

}  // namespace

QueueFigures Shard::queue(ClientId client) const {
  const BackendStats* stats = worker_->channel_stats(client);
  return stats != nullptr ? QueueFigures{stats->requests, stats->requests_malformed, stats->doorbells_sent, stats->refused} : QueueFigures{};
}

std::vector<ClientId> Shard::adopt(AdoptedChannels& channels) {
  std::vector<ClientId> not_taken;
  for (auto& [client, of_client] : channels) {
    if (number_ >= of_client.size()) continue;
    if (!worker_->add_channel(std::move(of_client[number_]), RingState::kLiving)) not_taken.push_back(client);
  }
  return not_taken;
}

ShardSet::ShardSet(boost::asio::io_context& io, std::function<void(ClientId)> on_broken) : io_(io), on_broken_(std::move(on_broken)) {}

ShardSet::~ShardSet() { stop(); }

std::string ShardSet::open(const Config& config, std::map<std::string, FileDescriptor>& inherited, Notifier& notifier) {
  set_engine_hash_key({random_instance(), random_instance()});
  std::vector<KeptArena> kept;
  while (kept.size() < kShardsMax) {
    KeptArena arena = take_arena(inherited, static_cast<uint32_t>(kept.size()));
    if (!arena.fd.valid()) break;
    kept.push_back(std::move(arena));
  }
  if (!kept.empty() && kept.size() != config.shards) {
    log(LogLevel::kWarning, "the number of shards changes at the next full stop only", {{"shards", kept.size()}, {"configured", config.shards}});
  }
  Config divided = config;
  if (!kept.empty()) divided.shards = static_cast<uint32_t>(kept.size());
  const uint32_t count = divided.shards;
  kept.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    const std::string wrong = open_arena(i, divided, std::move(kept[i].fd), kept[i].instance, notifier);
    if (!wrong.empty()) return wrong;
  }
  std::vector<Status> opened(count, Status::kOk);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < count; ++i) threads.emplace_back([&, i] { opened[i] = make_engine(*shards_[i], divided); });
  for (std::thread& thread : threads) thread.join();
  for (uint32_t i = 0; i < count; ++i) {
    if (opened[i] == Status::kBadArena) {
      ++arenas_refused_;
      log(LogLevel::kError, "a kept arena cannot be read, starting empty", {{"shard", i}, {"reason", to_string(opened[i])}});
      const std::string wrong = replace_arena(i, divided, notifier);
      if (!wrong.empty()) return wrong;
      opened[i] = make_engine(*shards_[i], divided);
    }
    if (opened[i] != Status::kOk) return "shard " + std::to_string(i) + " cannot start: " + to_string(opened[i]) + "; lower 'memory' or 'shards'";
  }
  memory_bytes_max_ = 0;
  for (const auto& shard : shards_) {
    generation_ = (generation_ ^ shard->instance_) * 0x9e3779b97f4a7c15;
    memory_bytes_max_ += uint64_t{shard->arena_->segments_max()} * kSegmentBytes;
  }
  memory_bytes_max_ = std::min(memory_bytes_max_, config.memory_bytes_max);
  return {};
}

std::string ShardSet::open_arena(uint32_t number, const Config& config, FileDescriptor inherited, uint64_t instance, Notifier& notifier) {
  shards_.push_back(std::make_unique<Shard>(number, nullptr));
  shards_.back()->instance_ = instance;
  if (!inherited.valid()) return replace_arena(number, config, notifier);
  auto adopted = ArenaFile::adopt(std::move(inherited), config.huge_pages);
  if (!adopted) {
    ++arenas_refused_;
    log(LogLevel::kError, "a kept arena is none, starting empty", {{"shard", number}, {"reason", to_string(adopted.status())}});
    return replace_arena(number, config, notifier);
  }
  shards_.back()->arena_ = std::move(adopted.value());
  shards_.back()->arena_->set_shard(number, config.shards);
  recovered_ = true;
  return {};
}

std::string ShardSet::replace_arena(uint32_t number, const Config& config, Notifier& notifier) {
  auto created = ArenaFile::create("tmem-" + arena_name(number), segments_max(config, config.shards), config.huge_pages);
  if (!created) return "shard " + std::to_string(number) + " gets no memory from the system; lower 'memory'";
  shards_[number]->arena_ = std::move(created.value());
  shards_[number]->arena_->set_shard(number, config.shards);
  notifier.forget(kept_name(number, shards_[number]->instance_));
  shards_[number]->instance_ = random_instance();
  notifier.store(kept_name(number, shards_[number]->instance_), shards_[number]->arena_->fd());
  return {};
}

Status ShardSet::make_engine(Shard& shard, const Config& config) {
  EngineConfig engine_config;
  engine_config.memory_bytes_target = config.memory_bytes / config.shards;
  auto engine = Engine::create(*shard.arena_, engine_config, config.verify_on_recovery);
  if (!engine) return engine.status();
  shard.engine_ = std::move(engine.value());
  ShardWorkerConfig worker_config;
  worker_config.shards = config.shards;
  worker_config.poll_window = std::chrono::microseconds(config.poll_window_us);
  shard.worker_ = std::make_unique<ShardWorker>(*shard.engine_, worker_config, [this](ClientId client) {
    boost::asio::post(io_, [this, client] { on_broken_(client); });
  });
  return shard.worker_->ready() ? Status::kOk : Status::kNoSpace;
}

void ShardSet::each(const std::function<void(Shard&)>& work) {
  for (const auto& shard : shards_) work(*shard);
}

void ShardSet::start() {
  // Signals are the main thread's.
  sigset_t all;
  sigset_t old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  for (const auto& shard : shards_) {
    shard->thread_ = std::thread([&worker = *shard->worker_] { worker.run(); });
    pthread_setname_np(shard->thread_.native_handle(), ("shard-" + std::to_string(shard->number_)).c_str());
  }
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  running_ = true;
}

void ShardSet::stop() {
  if (!std::exchange(running_, false)) return;
  for (const auto& shard : shards_) shard->worker_->stop();
  for (const auto& shard : shards_) shard->thread_.join();
}

void ShardSet::on_shards(std::function<void(Shard&)> work, std::function<void()> done) {
  struct Gathering {
    std::function<void(Shard&)> work;
    std::function<void()> done;
    std::atomic<size_t> left;
  };
  const auto gathering = std::make_shared<Gathering>();
  gathering->work = std::move(work);
  gathering->done = std::move(done);
  gathering->left = shards_.size();
  for (const auto& shard : shards_) {
    shard->worker_->post([this, gathering, &own = *shard] {
      gathering->work(own);
      if (gathering->left.fetch_sub(1) == 1) boost::asio::post(io_, [gathering] { gathering->done(); });
    });
  }
}

}  // namespace tmem
