// SPDX-License-Identifier: MIT
// The service on one machine: a worker and a client on a processor each, rings in a memfd. Puts on credit go through the real
// front; gets and what is pipelined through a bare ring. Only shards.two_over_one has each client in its shard's thread, and rings
// in ordinary memory. docs/performance.md says what was reached and what each line means.
//
// A figure and its baseline are measured in turns, on the same processors, with the other processor busy polling in both: what
// neighbours do to one they do to the other, and where a virtual processor is moved meanwhile only one turn is spoilt. Of
// all turns the one with the median ratio is told.
#include <lz4.h>

#include <array>
#include <atomic>
#include <thread>

#include "bench/bench_report.h"
#include "bench/shard_service.h"
#include "bench/zram_baseline.h"
#include "capture.h"
#include "store/codec.h"
#include "support/heap_memory.h"
#include "tmem_front.h"
#include "transport/test_front.h"

namespace tmem {
namespace {

using bench::cpu_seconds;
using bench::median;
using bench::seconds;
using bench::kClient;
using bench::kOrder;
using bench::make_engine;
using bench::must_be_ok;
using bench::pin;
using bench::request_for;
using bench::start_on;

constexpr uint32_t kSegments = 1024;

// With memory of the heap.
struct HeapOfService {
  test::HeapMemory memory{kSegments};
};
class Service : HeapOfService, public bench::ShardService {
 public:
  Service() : ShardService(memory) {}
};

constexpr int kRepeats = 7;
constexpr size_t kTurns = 15;  // of what takes milliseconds

// What was measured in one turn, seconds.
struct Turn {
  double ours, baseline;
  double ratio() const { return ours / baseline; }
};
Turn median_turn(std::vector<Turn> turns) {
  std::ranges::sort(turns, {}, &Turn::ratio);
  return turns[turns.size() / 2];
}
// Of count pages those of a turn.
std::pair<size_t, size_t> part_of(size_t count, size_t turn) { return {count * turn / kTurns, count * (turn + 1) / kTurns}; }

// Pages of the corpus that are not one repeated word: those are a case of their own.
struct Pages {
  std::vector<std::array<std::byte, kPageBytes>> page;
  std::string source;
};

Pages load_pages() {
  const PageCorpus corpus = PageCorpus::capture(12288);
  Pages pages;
  pages.source = corpus.source();
  for (size_t i = 0; i < corpus.count(); ++i) {
    if (same_filled_word(corpus.page(i))) continue;
    std::ranges::copy(corpus.page(i), pages.page.emplace_back().begin());
  }
  return pages;
}

void put_all(Service& service, const Pages& pages) {
  service.pipeline(pages.page.size(), [&](tmemif_request& r, size_t n, uint16_t slot) {
    std::memcpy(service.front->slot(slot), pages.page[n].data(), kPageBytes);
    r = request_for(TMEMIF_OP_PUT, n, slot);
  }, must_be_ok);
}

// ---- baselines ----

// What any store in the same process must do for a put: look for one word, compress, keep the bytes. Seconds per page.
double in_process_put(const Pages& pages, std::vector<std::byte>& arena) {
  std::vector<char> state(static_cast<size_t>(LZ4_sizeofState()));
  std::array<char, LZ4_COMPRESSBOUND(kPageBytes)> packed;
  size_t at = 0;
  const double start = cpu_seconds();
  for (const auto& page : pages.page) {
    if (same_filled_word(PageView(page))) continue;
    const int bytes = LZ4_compress_fast_extState(state.data(), reinterpret_cast<const char*>(page.data()), packed.data(),
                                                 kPageBytes, static_cast<int>(packed.size()), 1);
    const size_t kept = std::min<size_t>(static_cast<size_t>(bytes), kPageBytes);
    std::memcpy(&arena[at], kept < kPageBytes ? static_cast<const void*>(packed.data()) : page.data(), kept);
    at += kept;
  }
  return (cpu_seconds() - start) / static_cast<double>(pages.page.size());
}

// Decoding each page of a part, median seconds. Packed once, lies in memory as whoever put it left it.
class DecodeBaseline {
 public:
  explicit DecodeBaseline(const Pages& pages) {
    for (const auto& page : pages.page) {
      std::vector<char> out(LZ4_COMPRESSBOUND(kPageBytes));
      out.resize(static_cast<size_t>(LZ4_compress_default(reinterpret_cast<const char*>(page.data()), out.data(), kPageBytes,
                                                          static_cast<int>(out.size()))));
      out.shrink_to_fit();
      packed_.push_back(std::move(out));
    }
  }
  double run(size_t from, size_t to) const {
    std::vector<double> times;
    std::array<char, kPageBytes> page;
    for (size_t n = from; n < to; ++n) {
      const std::vector<char>& p = packed_[n];
      const double start = seconds();
      if (LZ4_decompress_safe(p.data(), page.data(), static_cast<int>(p.size()), kPageBytes) != int{kPageBytes}) std::abort();
      times.push_back(seconds() - start);
    }
    return median(times);
  }

 private:
  std::vector<std::vector<char>> packed_;
};

// Two spinning threads, 4 KiB copied in and 4 KiB copied out, nothing else: the least that crossing to another processor and
// back with a page can cost. What is copied in are the pages from .. to, as they lie in memory; none: one that is in the cache.
// Median seconds.
double spin_round_trip(const Pages& pages, size_t from, size_t to) {
  struct alignas(4096) Shared {
    std::array<std::byte, kPageBytes> page;
    alignas(64) uint32_t request = 0;
    alignas(64) uint32_t response = 0;
  };
  auto shared = std::make_unique<Shared>();
  const uint32_t trips = from < to ? static_cast<uint32_t>(to - from) : 1000;
  std::thread server = start_on(1, [&shared, trips] {
    std::array<std::byte, kPageBytes> own;
    for (uint32_t i = 1; i <= trips; ++i) {
      while (tmem_load_acquire(&shared->request) != i) tmem_os_relax();
      std::memcpy(own.data(), shared->page.data(), kPageBytes);
      own[i % kPageBytes] ^= std::byte{1};
      std::memcpy(shared->page.data(), own.data(), kPageBytes);
      tmem_store_release(&shared->response, i);
    }
  });
  std::array<std::byte, kPageBytes> own{};
  std::vector<double> times;
  for (uint32_t i = 1; i <= trips; ++i) {
    const std::byte* page = from < to ? pages.page[from + i - 1].data() : own.data();
    const double start = seconds();
    std::memcpy(shared->page.data(), page, kPageBytes);
    tmem_store_release(&shared->request, i);
    while (tmem_load_acquire(&shared->response) != i) tmem_os_relax();
    std::memcpy(own.data(), shared->page.data(), kPageBytes);
    times.push_back(seconds() - start);
  }
  server.join();
  return median(times);
}

// ---- what is measured ----

using ZramTimes = std::optional<bench::Zram::PerPage>;

ZramTimes measure_zram(const Pages& pages) {
  auto zram = bench::Zram::claim(pages.page.size() * kPageBytes);
  const ZramTimes times = zram ? zram->run(pages.page) : std::nullopt;
  if (!times) std::fprintf(stderr, "zram: skipped, there is no idle device that we may set up\n");
  return times;
}

void bench_put_pipelined(bench::Report& report, const Pages& pages, const ZramTimes& zram) {
  Service service;
  std::vector<std::byte> arena(pages.page.size() * kPageBytes);
  std::vector<Turn> turns;
  put_all(service, pages);
  for (int i = 0; i < kRepeats; ++i) {
    Turn turn{};
    service.call([&] { turn.baseline = in_process_put(pages, arena); });
    const double start = service.worker_cpu();
    put_all(service, pages);
    turn.ours = (service.worker_cpu() - start) / static_cast<double>(pages.page.size());
    turns.push_back(turn);
  }
  const Turn told = median_turn(turns);
  report.line("put.sync_pipelined", told.ours * 1e9, "ns/page", told.baseline * 1e9, 1.05, true, kRepeats);
  if (zram) report.line("put.over_zram", told.ours * 1e9, "ns/page", zram->put * 1e9, 0, true, kRepeats);
}

double get_as_client(Service& service, const Pages& pages, size_t from, size_t to) {
  std::vector<double> times;
  std::array<std::byte, kPageBytes> own;
  for (size_t n = from; n < to; ++n) {
    const double start = seconds();
    service.pipeline(1, [&](tmemif_request& r, size_t, uint16_t) { r = request_for(TMEMIF_OP_GET, n, 0); }, must_be_ok);
    std::memcpy(own.data(), service.front->slot(0), kPageBytes);
    times.push_back(seconds() - start);
    if (own != pages.page[n]) std::abort();
  }
  return median(times);
}

void bench_get(bench::Report& report, const Pages& pages, const ZramTimes& zram) {
  Service service;
  const DecodeBaseline decode(pages);
  put_all(service, pages);
  std::vector<double> rates;
  for (int i = 0; i < kRepeats; ++i) {
    const double start = service.worker_cpu();
    service.pipeline(pages.page.size(), [&](tmemif_request& r, size_t n, uint16_t slot) {
      r = request_for(TMEMIF_OP_GET, n, slot);
    }, must_be_ok);
    rates.push_back(static_cast<double>(pages.page.size()) * kPageBytes / (service.worker_cpu() - start) / (1u << 30));
  }
  std::vector<Turn> turns;
  for (size_t i = 0; i < kTurns; ++i) {
    const auto [from, to] = part_of(pages.page.size(), i);
    Turn turn{};
    service.call([&, from = from, to = to] { turn.baseline = decode.run(from, to); });
    turn.baseline += spin_round_trip(pages, 0, 0);
    turn.ours = get_as_client(service, pages, from, to);
    turns.push_back(turn);
  }
  const Turn told = median_turn(turns);
  report.line("get.p50", told.ours * 1e9, "ns", told.baseline * 1e9, 1.15, true, kTurns);
  report.line("get.pipelined", median(rates), "GiB/s", 0, 2.5, false, kRepeats);
  const double per_page = kPageBytes / (median(rates) * (1u << 30));
  if (zram) report.line("get.over_zram", per_page * 1e9, "ns/page", zram->get * 1e9, 0, true, kRepeats);
}

void bench_same_filled(bench::Report& report) {
  Service service;
  constexpr size_t kCount = 200000;
  std::vector<double> times;
  for (int i = 0; i < kRepeats; ++i) {
    const double start = seconds();
    service.pipeline(kCount, [&](tmemif_request& r, size_t n, uint16_t) {
      r = request_for(TMEMIF_OP_PUT, n, TMEMIF_NO_SLOT);
      r.flags = TMEMIF_REQUEST_SAME_FILLED;
      r.value[0] = n;
    }, must_be_ok);
    times.push_back((seconds() - start) / kCount);
  }
  report.line("put.same_filled_pipelined", median(times) * 1e6, "us", 0, 0.25, true, kRepeats);
}

double put_on_credit(tmem_front& front, const Pages& pages, size_t from, size_t to) {
  std::vector<double> times;
  for (size_t n = from; n < to; ++n) {
    auto* page = const_cast<std::byte*>(pages.page[n].data());
    const tmem_front_handle handle{0, static_cast<uint32_t>(n & 0xffff), {n >> 16, 0, 0}};
    const double start = seconds();
    if (tmem_front_put(&front, &handle, page) != TMEMIF_OK) std::abort();
    times.push_back(seconds() - start);
    // A client that reclaims memory has other work between two puts; it does not outrun the compressor for long.
    const double pause = seconds() + 6e-6;
    while (seconds() < pause) tmem_os_relax();
    tmem_front_poll(&front, 0);
  }
  return median(times);
}

// The client's view, through the real front: a put that finds a credit is done when its page lies in a slot.
void bench_put_credit(bench::Report& report, const Pages& pages) {
  Service service;
  struct Owner {
    Service* service;
  } owner{&service};
  static const tmem_front_owner_ops ops = {[](void* o, uint32_t) { static_cast<Owner*>(o)->service->ring(); },
                                           [](void*, uint32_t) { sched_yield(); }, nullptr, [](void*) { std::abort(); }};
  tmem_front_config config{};
  config.queues_max = 1;
  config.ring_order_max = kOrder;
  config.pools_max = 1;
  config.poll_ns = 1000000000;
  config.ops = &ops;
  config.owner = &owner;
  tmem_front front;
  const size_t bytes = (tmem_front_memory_bytes(&config) + 63) / 64 * 64;
  const std::unique_ptr<void, decltype(&std::free)> memory(std::aligned_alloc(64, bytes), &std::free);
  tmem_front_init(&front, &config, memory.get());
  tmem_front_attachment attachment{};
  attachment.queues = 1;
  attachment.ring_order = kOrder;
  attachment.memory[0] = service.queue();
  if (tmem_front_attach(&front, &attachment) != 0) std::abort();
  if (tmem_front_new_pool(&front, 0, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT), nullptr) != TMEMIF_OK) std::abort();

  std::vector<Turn> turns, alike;
  uint64_t wakeups = 0;
  for (size_t i = 0; i < kTurns; ++i) {
    const auto [from, to] = part_of(pages.page.size(), i);
    // The round trip's page is in the cache, the put's is not: a trip with pages as they lie in memory is told beside.
    const double spin = spin_round_trip(pages, 0, 0);
    const auto [far_from, far_to] = part_of(pages.page.size(), (i + kTurns / 2) % kTurns);  // touched as long ago as the others
    const double with_pages = spin_round_trip(pages, far_from, far_to);
    const uint64_t before = service.stats().wakeups_doorbell;  // asking has ended the sleep of the idle worker
    turns.push_back({put_on_credit(front, pages, from, to), spin});
    alike.push_back({turns.back().ours, with_pages});
    wakeups += service.stats().wakeups_doorbell - before;
  }
  tmem_front_stats stats;
  tmem_front_read_stats(&front, &stats);
  tmem_front_close(&front);
  const auto count = static_cast<double>(pages.page.size());
  const Turn told = median_turn(turns), like = median_turn(alike);
  report.line("put.credit_p50", told.ours * 1e9, "ns", told.baseline * 1e9, 0.8, true, kTurns);
  report.line("put.credit_over_same_pages", like.ours * 1e9, "ns", like.baseline * 1e9, 0, true, kTurns);
  report.line("put.credit_share", static_cast<double>(stats.put_credited) / count, "of puts", 0, 0, false, 1);
  report.line("put.wakeups_per_page", static_cast<double>(wakeups) / count, "per page", 0, 0.001, true, 1);
}

// A shard whose client is in the same thread, so that what is counted is serving and nothing else: the time of drain().
double served_alone(const Pages& pages, std::atomic<int>& ready, int threads) {
  test::HeapMemory memory(kSegments);
  const std::unique_ptr<Engine> engine = make_engine(memory);
  const auto queue = SimulatedChannel::memory(kOrder);
  SimulatedChannel channel(kClient, queue, kOrder);
  TestFront front(queue->data(), kOrder);
  Backend backend(channel, *engine, 1, RingState::kNew);
  ready.fetch_add(1);
  while (ready.load() < threads) tmem_os_relax();
  double busy = 0;
  for (size_t n = 0; n < pages.page.size();) {
    for (uint16_t slot = 0; slot < front.entries() && n < pages.page.size(); ++slot, ++n) {
      std::memcpy(front.slot(slot), pages.page[n].data(), kPageBytes);
      front.write(request_for(TMEMIF_OP_PUT, n, slot));
    }
    front.publish();
    const double start = cpu_seconds();
    while (backend.drain(kDrainRequestsMax) == Backend::Progress::kWorked) {}
    busy += cpu_seconds() - start;
    for (const tmemif_response& r : front.responses()) must_be_ok(r, 0);
  }
  return busy / static_cast<double>(pages.page.size());
}

void bench_two_shards(bench::Report& report, const Pages& pages) {
  std::vector<double> ratios;
  for (int i = 0; i < kRepeats; ++i) {
    std::atomic<int> ready{0};
    double alone = 0, first = 0, second = 0;
    alone = served_alone(pages, ready, 1);
    ready = 0;
    std::thread other = start_on(1, [&] { second = served_alone(pages, ready, 2); });
    first = served_alone(pages, ready, 2);
    other.join();
    ratios.push_back(alone / first + alone / second);
  }
  report.line("shards.two_over_one", median(ratios), "x", 0, 1.8, false, kRepeats);
}

}  // namespace
}  // namespace tmem

int main(int argc, char** argv) {
  using namespace tmem;
  bench::Report report(argc, argv);
  const Pages pages = load_pages();
  if (pages.page.empty()) {
    std::fprintf(stderr, "bench_service: no pages could be captured\n");
    return 2;
  }
  std::fprintf(stderr, "%zu pages: %s\n", pages.page.size(), pages.source.c_str());
  pin(0);
  const ZramTimes zram = measure_zram(pages);
  bench_put_pipelined(report, pages, zram);
  bench_put_credit(report, pages);
  bench_get(report, pages, zram);
  bench_same_filled(report);
  bench_two_shards(report, pages);
  return report.exit_status();
}
