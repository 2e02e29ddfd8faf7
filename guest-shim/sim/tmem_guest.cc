// SPDX-License-Identifier: MIT
// tmem-guest: a guest in user space. Works on a tree of files in memory larger than its budget; page faults are served by
// tmem (or a swap file), and what its file cache drops goes to tmem too. See workload.h, pager.h, file_cache.h.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cinttypes>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "connection.h"
#include "file_cache.h"
#include "pager.h"
#include "workload.h"

namespace {

using namespace tmem::sim;
using Clock = std::chrono::steady_clock;

enum Exit { kRight = 0, kWrong = 1, kCannotStart = 2, kPageLost = 3, kTreeChanged = 4 };

constexpr uint32_t kSwapPool = 0;
constexpr uint32_t kFilePool = 1;
constexpr double kMiB = 1 << 20;

struct Options {
  uint64_t budget = uint64_t{32} << 20;
  uint64_t bytes = 0;       // of files; 0: so many that the memory is four times the budget
  uint64_t file_cache = 0;  // 0: a quarter of the budget
  std::string tree = "/usr";
  uint64_t seed = 1;
  std::string name = "guest";
  std::string socket;
  std::string swap_file;
  bool verify = false, json = false, progress = false;
};

struct Guest {
  std::unique_ptr<Connection> connection;
  std::unique_ptr<TmemStore> pool;
  std::unique_ptr<FileStore> file;
  std::unique_ptr<OverflowStore> overflow;
  PageStore* store = nullptr;
  std::unique_ptr<FileCache> cache;
  std::unique_ptr<Pager> pager;
  tmem_front* front() const { return connection ? connection->front() : nullptr; }
};

Options parse(int argc, char** argv) {
  Options o;
  CLI::App app{"A guest in user space: real work on real files, in memory that is larger than what it may use."};
  app.add_option("--budget", o.budget, "memory it may use, at least 1M")->transform(CLI::AsSizeValue(false))->check(CLI::Range(uint64_t{1} << 20, uint64_t{1} << 40))->capture_default_str();
  app.add_option("--bytes", o.bytes, "files to work on; default: memory becomes four times the budget")->transform(CLI::AsSizeValue(false));
  app.add_option("--file-cache", o.file_cache, "size of the cache for file reads; default: a quarter of the budget")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--tree", o.tree, "directory to work on")->capture_default_str();
  app.add_option("--seed", o.seed, "order of the second reading")->capture_default_str();
  app.add_option("--name", o.name, "name shown by the service")->capture_default_str();
  app.add_option("--socket", o.socket, "socket of the service; default: " TMEM_MEMFD_SOCKET);
  app.add_option("--swap-file", o.swap_file,
                 "swap to this file instead of tmem; with --socket: only what tmem refuses, or all when it is away");
  app.add_flag("--verify", o.verify, "do the work again in plenty of memory, and compare");
  app.add_flag("--progress", o.progress, "a line each second on standard error");
  app.add_flag("--json", o.json, "the result as JSON on standard output");
  app.footer("Exit status: 0 right; 1 wrong bytes; 2 wrong arguments or cannot start; 3 a page was lost; 4 the tree changed meanwhile.");
  app.set_version_flag("--version", "tmem-guest " TMEM_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // help or version
    std::exit(app.exit(asked));
  } catch (const CLI::ParseError& error) {
    const std::string text = error.what();
    std::fprintf(stderr, "tmem-guest: %s; see tmem-guest --help\n", text.substr(0, text.find('\n')).c_str());
    std::exit(kCannotStart);
  }
  if (o.socket.empty() && o.swap_file.empty()) o.socket = TMEM_MEMFD_SOCKET;
  if (o.bytes == 0) {
    while (Workload::memory_bytes(o.bytes + (1 << 20)) <= 4 * o.budget) o.bytes += 1 << 20;
    o.bytes = std::max<uint64_t>(o.bytes, 1 << 20);
  }
  o.bytes = std::min<uint64_t>(o.bytes, UINT32_MAX);
  if (o.file_cache == 0) o.file_cache = o.budget / 4;
  return o;
}

bool open_stores(const Options& o, uint64_t memory_bytes, Guest& guest, std::string& error) {
  if (!o.socket.empty()) {
    ConnectionOptions options;
    options.socket = o.socket;
    options.name = o.name;
    guest.connection = Connection::open(options, error);
    if (guest.connection) guest.pool = std::make_unique<TmemStore>(guest.front(), kSwapPool);
    if (guest.pool && !guest.pool->ok()) {
      error = o.socket + ": the service refuses a persistent pool";
      guest.pool.reset();
    }
    guest.store = guest.pool.get();
    if (!guest.store && o.swap_file.empty()) return false;
    if (!guest.store) std::fprintf(stderr, "%s: %s; swapping to %s\n", o.name.c_str(), error.c_str(), o.swap_file.c_str());
  }
  if (!o.swap_file.empty()) {
    guest.file = FileStore::create(o.swap_file, error);
    if (!guest.file) return false;
    if (guest.store) {
      guest.overflow = std::make_unique<OverflowStore>(*guest.store, *guest.file, static_cast<uint32_t>(memory_bytes / kPageBytes));
      guest.store = guest.overflow.get();
    } else {
      guest.store = guest.file.get();
    }
  }
  return true;
}

bool start(const Options& o, uint64_t memory_bytes, Guest& guest, std::string& error) {
  if (!open_stores(o, memory_bytes, guest, error)) return false;
  guest.cache = std::make_unique<FileCache>(static_cast<uint32_t>(o.file_cache / kPageBytes), guest.front(), kFilePool);
  guest.pager = Pager::create(memory_bytes, o.budget, *guest.store, [name = o.name](uint32_t page) {
    std::fprintf(stderr, "%s: page %" PRIu32 " of its memory is lost (the service has forgotten it, or is gone): stopping\n",
                 name.c_str(), page);
    ::_exit(kPageLost);
  }, error);
  return guest.pager != nullptr;
}

void print_progress(const Options& o, const Guest& guest, const Workload& work, double seconds) {
  static constexpr const char* kWords[] = {"loading", "sorting", "hashing", "comparing", "done"};
  const PagerStats& p = guest.pager->stats();
  std::fprintf(stderr, "%-10s %6.1f s  %-9s  resident %5.1f MiB  faults served %9" PRIu64 "  evictions %9" PRIu64 "%s\n",
               o.name.c_str(), seconds, kWords[work.phase()], static_cast<double>(guest.pager->resident_pages() * kPageBytes) / kMiB,
               p.faults_stored.load(), p.evictions.load(),
               guest.connection && tmem_front_read_state(guest.front()) != TMEM_FRONT_STATE_CONNECTED ? "  (reconnecting)" : "");
}

WorkResult run_with_progress(const Options& o, const Guest& guest, Workload& work, Clock::time_point since) {
  if (!o.progress) return work.run();
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::thread printer([&] {
    std::unique_lock lock(mutex);
    while (!changed.wait_for(lock, std::chrono::seconds(1), [&] { return done; }))
      print_progress(o, guest, work, std::chrono::duration<double>(Clock::now() - since).count());
  });
  const WorkResult result = work.run();
  {
    const std::lock_guard lock(mutex);
    done = true;
  }
  changed.notify_all();
  printer.join();
  return result;
}

// The same work in plenty of memory, with an ordinary cache.
WorkResult run_in_plenty(const std::vector<CachedFile>& files, uint64_t memory_bytes, const Options& o) {
  std::vector<std::byte> memory(memory_bytes);
  FileCache cache(static_cast<uint32_t>(o.file_cache / kPageBytes), nullptr, 0);
  return Workload(memory, cache, files, o.seed).run();
}

nlohmann::json front_json(const Guest& guest) {
  if (!guest.connection) return nullptr;
  tmem_front_stats s;
  tmem_front_read_stats(guest.front(), &s);
  return {{"put_credited", s.put_credited}, {"put_answered", s.put_answered}, {"put_same_filled", s.put_same_filled},
          {"put_refused", s.put_refused}, {"put_lost", s.put_lost}, {"get_hit", s.get_hit}, {"get_miss", s.get_miss},
          {"get_failed", s.get_failed}, {"requests_replayed", s.requests_replayed}, {"doorbells_sent", s.doorbells_sent},
          {"sleeps", s.sleeps}, {"reconnects", guest.connection->reconnects()}, {"client", guest.connection->client()}};
}

nlohmann::json to_json(const Options& o, const Guest& guest, const WorkResult& result, double seconds) {
  const PagerStats& p = guest.pager->stats();
  const FileCacheStats& c = guest.cache->stats();
  const uint64_t asked = c.hits_pool + c.misses;
  return {{"schema", "tmem-guest/1"}, {"name", o.name}, {"mode", guest.pool ? "tmem" : "swap-file"},
          {"swap_file_direct", guest.file ? nlohmann::json(guest.file->direct()) : nlohmann::json(nullptr)},
          {"tree", o.tree}, {"seed", o.seed}, {"budget_bytes", o.budget}, {"memory_bytes", guest.pager->bytes()},
          {"seconds", seconds},
          {"work", {{"files", result.files}, {"bytes", result.bytes}, {"lines", result.lines},
                    {"words_distinct", result.words_distinct}, {"files_changed", result.files_changed},
                    {"pages_different", result.pages_different}, {"digest", result.digest}}},
          {"pager", {{"faults_zero", p.faults_zero.load()}, {"faults_stored", p.faults_stored.load()},
                     {"faults_inactive", p.faults_inactive.load()}, {"faults_write", p.faults_write.load()},
                     {"evictions", p.evictions.load()}, {"evictions_refused", p.evictions_refused.load()},
                     {"overflowed", guest.overflow ? guest.overflow->overflowed() : 0},
                     {"fault_stored_ns_mean", p.faults_stored ? p.nanoseconds_stored / p.faults_stored : 0}}},
          {"file_cache", {{"hits", c.hits}, {"hits_pool", c.hits_pool}, {"misses", c.misses}, {"victims_put", c.victims_put},
                          {"victims_refused", c.victims_refused},
                          {"hit_rate_pool", asked ? static_cast<double>(c.hits_pool) / static_cast<double>(asked) : 0.0}}},
          {"front", front_json(guest)}};
}

void print_result(const nlohmann::json& j) {
  std::printf("%s: %" PRIu64 " files, %.1f MiB, %" PRIu64 " lines sorted in %.1f s by %s, in %.1f MiB of memory with a budget of %.1f\n",
              j["name"].get<std::string>().c_str(), j["work"]["files"].get<uint64_t>(), j["work"]["bytes"].get<double>() / kMiB,
              j["work"]["lines"].get<uint64_t>(), j["seconds"].get<double>(), j["mode"].get<std::string>().c_str(),
              j["memory_bytes"].get<double>() / kMiB, j["budget_bytes"].get<double>() / kMiB);
  std::printf("  faults: %" PRIu64 " served from the store (%.1f us each), %" PRIu64 " from inactive pages, %" PRIu64
              " first touches; %" PRIu64 " evictions\n",
              j["pager"]["faults_stored"].get<uint64_t>(), j["pager"]["fault_stored_ns_mean"].get<double>() / 1000,
              j["pager"]["faults_inactive"].get<uint64_t>(), j["pager"]["faults_zero"].get<uint64_t>(),
              j["pager"]["evictions"].get<uint64_t>());
  std::printf("  file cache: %" PRIu64 " hits, %" PRIu64 " from the pool (%.0f %% of its misses), %" PRIu64 " read from files\n",
              j["file_cache"]["hits"].get<uint64_t>(), j["file_cache"]["hits_pool"].get<uint64_t>(),
              j["file_cache"]["hit_rate_pool"].get<double>() * 100, j["file_cache"]["misses"].get<uint64_t>());
  if (j["front"].is_object() && j["front"]["reconnects"] > 0)
    std::printf("  connections: %u lost and made again, %" PRIu64 " requests replayed\n", j["front"]["reconnects"].get<uint32_t>(),
                j["front"]["requests_replayed"].get<uint64_t>());
}

}  // namespace

int main(int argc, char** argv) {
  const Options o = parse(argc, argv);
  const std::vector<CachedFile> files = list_tree(o.tree, o.bytes);
  if (files.empty()) {
    std::fprintf(stderr, "tmem-guest: no readable file of 1 to %" PRIu64 " bytes under %s; give another --tree, or more --bytes\n", o.bytes, o.tree.c_str());
    return kCannotStart;
  }
  const uint64_t memory_bytes = Workload::memory_bytes(o.bytes);
  Guest guest;
  std::string error;
  if (!start(o, memory_bytes, guest, error)) {
    std::fprintf(stderr, "tmem-guest: %s\n", error.c_str());
    return kCannotStart;
  }
  const auto since = Clock::now();
  Workload work({guest.pager->base(), guest.pager->bytes()}, *guest.cache, files, o.seed);
  const WorkResult result = run_with_progress(o, guest, work, since);
  nlohmann::json json = to_json(o, guest, result, std::chrono::duration<double>(Clock::now() - since).count());

  Exit status = result.pages_different ? kWrong : kRight;
  if (o.verify) {
    const WorkResult expected = run_in_plenty(files, memory_bytes, o);
    const bool same = expected.digest == result.digest;
    const bool changed = result.files_changed || expected.files_changed || list_tree(o.tree, o.bytes) != files;
    if (!same) status = changed && !result.pages_different ? kTreeChanged : kWrong;
    json["verified"] = same;
  }
  json["exit_status"] = static_cast<int>(status);
  if (o.json) std::printf("%s\n", json.dump(2).c_str());
  else print_result(json);
  if (status == kWrong) std::fprintf(stderr, "%s: WRONG: the bytes are not what was stored\n", o.name.c_str());
  if (status == kTreeChanged) std::fprintf(stderr, "%s: %s changed meanwhile: nothing can be said\n", o.name.c_str(), o.tree.c_str());
  if (status == kRight && o.verify && !o.json) std::printf("  verified: the same work in plenty of memory gives the same result\n");
  return status;
}
