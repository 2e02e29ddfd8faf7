// SPDX-License-Identifier: MIT
#include "transport/shard_worker.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace tmem {

namespace {

constexpr uint64_t kRequestsPerStep = 256;  // while busy: one piece of background work for so many requests

// While idle: the clock and the engine's background work take longer than looking at the rings, where the next request of a
// front that waits for each answer is about to appear.
constexpr uint32_t kIdleRounds = 8;

using Clock = std::chrono::steady_clock;

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void add(RefusalStats& sum, const RefusalStats& part) {
  constexpr uint64_t RefusalStats::* kAll[] = {
      &RefusalStats::no_pool,       &RefusalStats::pool_exists, &RefusalStats::no_pool_slots,  &RefusalStats::bad_version,
      &RefusalStats::bad_page_size, &RefusalStats::bad_flags,   &RefusalStats::not_authorised, &RefusalStats::not_all_queues,
      &RefusalStats::bad_object,    &RefusalStats::no_credit};
  static_assert(sizeof(kAll) / sizeof(kAll[0]) == sizeof(RefusalStats) / sizeof(uint64_t));
  for (const auto counter : kAll) sum.*counter += part.*counter;
}

void add(BackendStats& sum, const BackendStats& part) {
  sum.requests += part.requests;
  sum.requests_malformed += part.requests_malformed;
  add(sum.refused, part.refused);
  sum.doorbells_sent += part.doorbells_sent;
  sum.doorbells_saved += part.doorbells_saved;
  sum.credits_not_kept += part.credits_not_kept;
}

}  // namespace

struct ShardWorker::Served {
  Served(std::unique_ptr<Channel> c, Engine& engine, uint32_t shards, RingState state)
      : channel(std::move(c)), backend(*channel, engine, shards, state) {}

  std::unique_ptr<Channel> channel;
  Backend backend;
  bool broken = false;
};

ShardWorker::ShardWorker(Engine& engine, const ShardWorkerConfig& config, std::function<void(ClientId)> on_broken)
    : engine_(engine), config_(config), on_broken_(std::move(on_broken)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)), mailbox_bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // the mailbox; every other event carries its channel
  ready_ = epoll_.valid() && mailbox_bell_.valid() &&
           ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, mailbox_bell_.get(), &event) == 0;
}

ShardWorker::~ShardWorker() = default;

void ShardWorker::run() {
  bool step_wanted = true;
  uint32_t idle_rounds = 0;
  Clock::time_point poll_end{};  // of the idle phase we are in; zero: we are not idle
  while (!stopping_.load(std::memory_order_relaxed)) {
    ++stats_.rounds;
    const bool called = run_mailbox();
    const bool drained = drain_all();
    if (called || drained) {
      step_wanted = true;
      poll_end = {};
      idle_rounds = 0;
      continue;
    }
    relax();
    if (++idle_rounds % kIdleRounds != 0) continue;
    if (step_wanted) {
      step_wanted = step();
      continue;
    }
    const Clock::time_point now = Clock::now();
    if (poll_end == Clock::time_point{}) poll_end = now + config_.poll_window;
    if (now < poll_end) continue;
    if (arm_all()) sleep();
    poll_end = {};
  }
  run_mailbox();  // what was posted before stop()
  stopping_.store(false);
}

// A round of all, cut short by a letter: it waits for one bounded drain, not for every client's. The next round goes on there.
bool ShardWorker::drain_all() {
  bool worked = false;
  bool broken = false;
  for (size_t left = served_.size(); left > 0; --left) {
    if (worked && mailbox_full_.load(std::memory_order_relaxed)) break;
    if (turn_ >= served_.size()) turn_ = 0;
    Served* const served = served_[turn_++].get();
    const uint64_t before = served->backend.stats().requests;
    switch (served->backend.drain(kDrainRequestsMax)) {
      case Backend::Progress::kIdle: continue;
      case Backend::Progress::kWorked: worked = true; break;
      case Backend::Progress::kBroken: served->broken = broken = true; break;
    }
    requests_since_step_ += served->backend.stats().requests - before;
  }
  if (broken) drop_broken();
  if (requests_since_step_ >= kRequestsPerStep) step();
  return worked || broken;
}

bool ShardWorker::step() {
  requests_since_step_ = 0;
  ++stats_.engine_steps;
  return engine_.step();
}

// Asks every front for a doorbell. False: one of them has written meanwhile, so that we do not sleep.
bool ShardWorker::arm_all() {
  for (const std::unique_ptr<Served>& served : served_)
    if (!served->backend.arm()) return false;
  return true;
}

void ShardWorker::sleep() {
  // post() fills, then looks whether we sleep; we say that we sleep, then look whether it filled. Both are sequentially
  // consistent, so that one of us sees the other.
  sleeping_.store(true);
  if (mailbox_full_.load() || stopping_.load()) {
    sleeping_.store(false);
    return;
  }
  ++stats_.sleeps;
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
  sleeping_.store(false);
  bool doorbell = false;
  for (int i = 0; i < count; ++i) {
    if (events[i].data.ptr != nullptr) {
      static_cast<Channel*>(events[i].data.ptr)->acknowledge();
      doorbell = true;
      continue;
    }
    uint64_t rings;
    if (::read(mailbox_bell_.get(), &rings, sizeof(rings)) == sizeof(rings)) ++stats_.wakeups_mailbox;
  }
  if (doorbell) ++stats_.wakeups_doorbell;
}

bool ShardWorker::run_mailbox() {
  if (!mailbox_full_.load(std::memory_order_relaxed)) return false;
  std::vector<std::function<void()>> letters;
  {
    const std::lock_guard lock(mailbox_mutex_);
    letters.swap(mailbox_);
    mailbox_full_.store(false);
  }
  for (const std::function<void()>& letter : letters) letter();
  return !letters.empty();
}

void ShardWorker::post(std::function<void()> closure) {
  {
    const std::lock_guard lock(mailbox_mutex_);
    mailbox_.push_back(std::move(closure));
    mailbox_full_.store(true);
  }
  wake();
}

void ShardWorker::stop() {
  stopping_.store(true);
  wake();
}

void ShardWorker::wake() {
  const uint64_t one = 1;
  // Our own eventfd, not shared with anybody: full means that it is readable, which is all we want.
  if (sleeping_.load() && ::write(mailbox_bell_.get(), &one, sizeof(one)) < 0) return;
}

bool ShardWorker::add_channel(std::unique_ptr<Channel> channel, RingState state) {
  const ClientId client = channel->client();
  const bool present = std::ranges::any_of(served_, [&](const auto& s) { return s->channel->client() == client; });
  if (present || !ready_) return false;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = channel.get();
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, channel->wait_fd(), &event) != 0) return false;
  served_.push_back(std::make_unique<Served>(std::move(channel), engine_, config_.shards, state));
  return true;
}

bool ShardWorker::remove_channel(ClientId client) {
  const auto it = std::ranges::find_if(served_, [&](const auto& s) { return s->channel->client() == client; });
  if (it == served_.end()) return false;
  forget(**it);
  served_.erase(it);
  return true;
}

// The client may hold the open file of the doorbell longer than we do: closing our descriptor would not take it out of epoll.
void ShardWorker::forget(const Served& served) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, served.channel->wait_fd(), nullptr);
  add(past_, served.backend.stats());
}

void ShardWorker::drop_broken() {
  std::vector<ClientId> clients;
  for (const std::unique_ptr<Served>& served : served_) {
    if (!served->broken) continue;
    clients.push_back(served->channel->client());
    forget(*served);
    ++stats_.channels_broken;
  }
  std::erase_if(served_, [](const auto& served) { return served->broken; });
  for (ClientId client : clients) on_broken_(client);
}

const BackendStats* ShardWorker::channel_stats(ClientId client) const {
  for (const std::unique_ptr<Served>& served : served_)
    if (served->channel->client() == client) return &served->backend.stats();
  return nullptr;
}

WorkerStats ShardWorker::stats() const {
  WorkerStats stats = stats_;
  stats.backends = past_;
  for (const std::unique_ptr<Served>& served : served_) add(stats.backends, served->backend.stats());
  return stats;
}

}  // namespace tmem
