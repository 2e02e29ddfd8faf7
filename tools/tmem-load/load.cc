// SPDX-License-Identifier: MIT
#include "load.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>

namespace tmem::load {

namespace {

constexpr uint32_t kNothing = ~uint32_t{0};
constexpr uint32_t kPagesPerObject = 1024;
constexpr uint32_t kOperationsPerLook = 256;  // at the clock of the whole run

using Clock = std::chrono::steady_clock;

uint64_t ns_since(Clock::time_point start) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count());
}

class Worker {
 public:
  Worker(tmem_front* front, const PageCorpus& pages, const LoadOptions& options, uint32_t number)
      : front_(front), pages_(pages), options_(options), number_(number), random_(options.seed * 1000003 + number),
        stored_(options.working_set_pages / options.threads + 1, kNothing) {}

  void run(Clock::time_point since) {
    const uint64_t operations = options_.operations_max / options_.threads;
    for (uint64_t i = 0; operations == 0 || i < operations; ++i) {
      if (options_.seconds_max > 0 && i % kOperationsPerLook == 0 &&
          static_cast<double>(ns_since(since)) > options_.seconds_max * 1e9)
        break;
      step();
    }
    for (const uint32_t page : stored_) result_.pages_held += page != kNothing;
  }
  const LoadResult& result() const { return result_; }

 private:
  void step() {
    const auto slot = static_cast<uint32_t>(random_() % stored_.size());
    const tmem_front_handle handle{options_.pool, slot % kPagesPerObject, {slot / kPagesPerObject, number_, 0}};
    const auto pick = static_cast<uint32_t>(random_() % (options_.put_weight + options_.get_weight + options_.flush_weight));
    if (pick < options_.put_weight) put(handle, slot);
    else if (pick < options_.put_weight + options_.get_weight) get(handle, slot);
    else flush(handle, slot);
  }

  void put(const tmem_front_handle& handle, uint32_t slot) {
    const auto page = static_cast<uint32_t>(random_() % pages_.count());
    const auto start = Clock::now();
    const uint32_t status = tmem_front_put(front_, &handle, const_cast<std::byte*>(pages_.page(page).data()));
    result_.put.add(ns_since(start));
    stored_[slot] = status == TMEMIF_OK ? page : kNothing;
    ++(status == TMEMIF_OK ? result_.put_stored : result_.put_refused);
  }

  void get(const tmem_front_handle& handle, uint32_t slot) {
    const auto start = Clock::now();
    const uint32_t status = tmem_front_get(front_, &handle, buffer_.data());
    result_.get.add(ns_since(start));
    const uint32_t expected = stored_[slot];
    if (status == TMEMIF_OK) {
      ++result_.get_hit;
      if (options_.verify) result_.get_wrong += expected == kNothing || std::memcmp(buffer_.data(), pages_.page(expected).data(), buffer_.size()) != 0;
    } else if (status == TMEMIF_MISS) {
      ++result_.get_miss;
      result_.get_lost += options_.persistent && expected != kNothing;
    } else {
      ++result_.get_failed;
    }
    if (!options_.persistent) stored_[slot] = kNothing;  // an ephemeral get is exclusive
  }

  void flush(const tmem_front_handle& handle, uint32_t slot) {
    const auto start = Clock::now();
    tmem_front_flush_page(front_, &handle);
    result_.flush.add(ns_since(start));
    stored_[slot] = kNothing;
  }

  tmem_front* const front_;
  const PageCorpus& pages_;
  const LoadOptions& options_;
  const uint32_t number_;
  std::mt19937_64 random_;
  std::vector<uint32_t> stored_;  // of each handle: which page of the corpus it has
  std::array<std::byte, TMEMIF_PAGE_BYTES> buffer_{};
  LoadResult result_;
};

}  // namespace

void Histogram::add(uint64_t ns) {
  const auto log = static_cast<uint32_t>(std::bit_width(ns | 1) - 1);
  const uint64_t sub = log >= 4 ? (ns >> (log - 4)) & (kSub - 1) : (ns << (4 - log)) & (kSub - 1);
  ++bucket_[log * kSub + sub];
  ++count_;
  most_ = std::max(most_, ns);
}

void Histogram::add(const Histogram& other) {
  for (size_t i = 0; i < bucket_.size(); ++i) bucket_[i] += other.bucket_[i];
  count_ += other.count_;
  most_ = std::max(most_, other.most_);
}

double Histogram::percentile(double p) const {
  const auto wanted = static_cast<uint64_t>(static_cast<double>(count_) * p / 100);
  uint64_t seen = 0;
  for (uint32_t i = 0; i < bucket_.size(); ++i) {
    seen += bucket_[i];
    if (seen > wanted || (seen == count_ && seen > 0))
      return static_cast<double>(uint64_t{1} << (i / kSub)) * (1 + (i % kSub + 0.5) / kSub);
  }
  return 0;
}

LoadResult run_load(tmem_front* front, const PageCorpus& pages, const LoadOptions& options) {
  std::vector<Worker> workers;
  for (uint32_t i = 0; i < options.threads; ++i) workers.emplace_back(front, pages, options, i);
  const auto since = Clock::now();
  std::vector<std::thread> threads;
  for (Worker& worker : workers) threads.emplace_back([&worker, since] { worker.run(since); });
  for (std::thread& thread : threads) thread.join();
  LoadResult sum;
  sum.seconds = static_cast<double>(ns_since(since)) / 1e9;
  for (const Worker& worker : workers) {
    const LoadResult& one = worker.result();
    sum.put.add(one.put);
    sum.get.add(one.get);
    sum.flush.add(one.flush);
    sum.put_stored += one.put_stored;
    sum.put_refused += one.put_refused;
    sum.get_hit += one.get_hit;
    sum.get_miss += one.get_miss;
    sum.get_failed += one.get_failed;
    sum.get_lost += one.get_lost;
    sum.get_wrong += one.get_wrong;
    sum.pages_held += one.pages_held;
  }
  return sum;
}

}  // namespace tmem::load
