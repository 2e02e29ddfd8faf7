// SPDX-License-Identifier: MIT
// tmem-load: options, connection, and how the result is told. The load is in load.h, the pages come from capture.h.
// Density is the service's own account of its space, which only an operator may ask for: with --control.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "connection.h"
#include "load.h"
#include "tools/tmemctl/control_client.h"

namespace {

using namespace tmem::load;
using tmem::PageCorpus;

enum Exit { kRight = 0, kWrong = 1, kCannotStart = 2 };

struct Options {
  LoadOptions load;
  std::string socket = TMEM_MEMFD_SOCKET;
  std::string control;
  std::string name = "load";
  size_t capture_pages = 16384;
  uint32_t queues = 0;
  uint32_t ring_order = TMEMIF_RING_ORDER_DEFAULT;
  bool ephemeral = false, json = false, hold = false;
};

Options parse(int argc, char** argv) {
  Options o;
  CLI::App app{"Loads the service with pages of real processes, and measures."};
  app.add_option("--socket", o.socket, "socket of the service")->capture_default_str();
  app.add_option("--control", o.control, "control socket of the service, to ask what its pages take");
  app.add_option("--name", o.name, "name shown by the service")->capture_default_str();
  app.add_option("--threads", o.load.threads, "threads that load at the same time")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--queues", o.queues, "queues to ask for; default: one for each shard");
  app.add_option("--ring-order", o.ring_order, "a queue has two to the power of this requests")->check(CLI::Range(TMEMIF_RING_ORDER_MIN, TMEMIF_RING_ORDER_MAX))->capture_default_str();
  app.add_option("--pages", o.load.working_set_pages, "handles in use")->check(CLI::Range(1u, 1u << 28))->capture_default_str();
  app.add_option("--capture", o.capture_pages, "page contents to take from processes")->check(CLI::Range(1u, 1u << 20))->capture_default_str();
  app.add_option("--put", o.load.put_weight, "weight of puts in the mix")->check(CLI::Range(0u, 1000u))->capture_default_str();
  app.add_option("--get", o.load.get_weight, "weight of gets")->check(CLI::Range(0u, 1000u))->capture_default_str();
  app.add_option("--flush", o.load.flush_weight, "weight of flushes")->check(CLI::Range(0u, 1000u))->capture_default_str();
  app.add_option("--operations", o.load.operations_max, "end after so many; default: after --seconds");
  app.add_option("--seconds", o.load.seconds_max, "end after so long; default 10 without --operations");
  app.add_option("--seed", o.load.seed, "seed of handles, operations and pages")->capture_default_str();
  app.add_flag("--ephemeral", o.ephemeral, "an ephemeral pool instead of a persistent one");
  app.add_flag("--verify", o.load.verify, "compare the bytes of every get");
  app.add_flag("--hold", o.hold, "keep the pages after the result was printed, until standard input ends");
  app.add_flag("--json", o.json, "the result as JSON on standard output");
  app.set_version_flag("--version", "tmem-load " TMEM_VERSION);
  app.footer("Exit status: 0 right; 1 a page was lost or wrong; 2 wrong arguments or cannot start.");
  try {
    app.parse(argc, argv);
    if (o.load.put_weight + o.load.get_weight + o.load.flush_weight == 0)
      throw CLI::ValidationError("--put, --get, --flush", "at least one weight must be above zero");
    if (!(o.load.seconds_max >= 0)) throw CLI::ValidationError("--seconds", "no time below zero");
  } catch (const CLI::Success& asked) {  // help or version
    std::exit(app.exit(asked));
  } catch (const CLI::ParseError& error) {
    const std::string text = error.what();
    std::fprintf(stderr, "tmem-load: %s; see tmem-load --help\n", text.substr(0, text.find('\n')).c_str());
    std::exit(kCannotStart);
  }
  o.load.persistent = !o.ephemeral;
  if (o.load.operations_max == 0 && o.load.seconds_max == 0) o.load.seconds_max = 10;
  return o;
}

nlohmann::json latency(const Histogram& h) {
  return {{"count", h.count()}, {"p50_ns", h.percentile(50)}, {"p90_ns", h.percentile(90)}, {"p99_ns", h.percentile(99)},
          {"p999_ns", h.percentile(99.9)}, {"max_ns", h.most()}};
}

// Bytes of all pages that the service keeps, of whichever client, over the memory that it takes for them.
double density(const std::string& socket) {
  using namespace tmem::tool;
  constexpr Milliseconds kTimeout{10'000};
  ControlClient client(connect_socket(socket, kTimeout), kTimeout);
  tmem::control::Request clients, info;
  clients.mutable_list_clients();
  info.mutable_info();
  const tmem::control::Reply listed = client.call(clients), told = client.call(info);
  uint64_t pages = 0, memory_bytes = 0;
  for (const tmem::control::Client& each : listed.list_clients().clients()) pages += each.space().pages_ephemeral() + each.space().pages_persistent();
  for (const tmem::control::Shard& shard : told.info().shards()) memory_bytes += shard.memory_bytes();
  return static_cast<double>(pages) * TMEMIF_PAGE_BYTES / static_cast<double>(memory_bytes);
}

nlohmann::json to_json(const Options& o, const PageCorpus& corpus, const LoadResult& r, tmem_front* front) {
  tmem_front_stats s;
  tmem_front_read_stats(front, &s);
  const double operations = static_cast<double>(r.put.count() + r.get.count() + r.flush.count());
  return {{"schema", "tmem-load/1"}, {"seed", o.load.seed}, {"threads", o.load.threads}, {"persistent", o.load.persistent},
          {"working_set_pages", o.load.working_set_pages}, {"pages_wanted", o.capture_pages}, {"pages_captured", corpus.count()}, {"sources", corpus.source()}, {"seconds", r.seconds},
          {"operations_per_second", operations / r.seconds},
          {"page_bytes_per_second", static_cast<double>(r.put_stored + r.get_hit) * 4096 / r.seconds},
          {"put", latency(r.put)}, {"get", latency(r.get)}, {"flush", latency(r.flush)},
          {"put_stored", r.put_stored}, {"put_refused", r.put_refused}, {"put_credited", s.put_credited},
          {"put_same_filled", s.put_same_filled}, {"get_hit", r.get_hit}, {"get_miss", r.get_miss}, {"get_failed", r.get_failed},
          {"get_lost", r.get_lost}, {"get_wrong", r.get_wrong}, {"put_lost", s.put_lost}, {"pages_held", r.pages_held},
          {"verified", o.load.verify}, {"requests_replayed", s.requests_replayed}, {"doorbells_sent", s.doorbells_sent},
          {"sleeps", s.sleeps}};
}

void print_latency(const char* name, const Histogram& h) {
  if (h.count() == 0) return;
  std::printf("  %-6s %10llu  p50 %7.2f  p90 %7.2f  p99 %7.2f  p99.9 %8.2f  max %9.1f us\n", name,
              static_cast<unsigned long long>(h.count()), h.percentile(50) / 1e3, h.percentile(90) / 1e3, h.percentile(99) / 1e3,
              h.percentile(99.9) / 1e3, static_cast<double>(h.most()) / 1e3);
}

void print_result(const nlohmann::json& j, const LoadResult& r) {
  std::printf("pages from %s\n  %.1f s, %.0f operations/s, %.2f GiB/s of pages\n", j["sources"].get<std::string>().c_str(), r.seconds, j["operations_per_second"].get<double>(),
              j["page_bytes_per_second"].get<double>() / (1 << 30));
  print_latency("put", r.put);
  print_latency("get", r.get);
  print_latency("flush", r.flush);
  std::printf("  puts: %llu stored (%llu by credit), %llu refused; gets: %llu hit, %llu miss, %llu failed; lost %llu, wrong %llu%s\n",
              static_cast<unsigned long long>(r.put_stored), j["put_credited"].get<unsigned long long>(),
              static_cast<unsigned long long>(r.put_refused), static_cast<unsigned long long>(r.get_hit),
              static_cast<unsigned long long>(r.get_miss), static_cast<unsigned long long>(r.get_failed),
              static_cast<unsigned long long>(r.get_lost), static_cast<unsigned long long>(r.get_wrong),
              j["verified"].get<bool>() ? "" : " (not looked at: --verify)");
  if (!j["density"].is_null()) std::printf("  density %.2f: pages that the service keeps over the memory that it takes\n", j["density"].get<double>());
}

}  // namespace

int main(int argc, char** argv) {
  const Options o = parse(argc, argv);
  tmem::sim::ConnectionOptions wanted;
  wanted.socket = o.socket;
  wanted.name = o.name;
  wanted.queues = o.queues;
  wanted.ring_order = o.ring_order;
  std::string error;
  const auto connection = tmem::sim::Connection::open(wanted, error);
  if (!connection) {
    std::fprintf(stderr, "tmem-load: %s\n", error.c_str());
    return kCannotStart;
  }
  const PageCorpus corpus = PageCorpus::capture(o.capture_pages);
  const uint32_t flags = TMEMIF_POOL_FLAGS(o.load.persistent ? TMEMIF_POOL_PERSISTENT : 0u);
  if (corpus.count() == 0 || tmem_front_new_pool(connection->front(), o.load.pool, flags, nullptr) != TMEMIF_OK) {
    std::fprintf(stderr, "tmem-load: %s\n", corpus.count() == 0 ? "no page contents to be had, neither of processes nor of files under /usr; is /tmp writable?"
                                                              : "the service refuses a pool; see xen-tmemctl doctor");
    return kCannotStart;
  }
  if (corpus.count() < o.capture_pages)
    std::fprintf(stderr, "tmem-load: only %zu of %zu page contents could be had (%s); the load repeats them\n", corpus.count(), o.capture_pages, corpus.source().c_str());
  const LoadResult result = run_load(connection->front(), corpus, o.load);
  nlohmann::json json = to_json(o, corpus, result, connection->front());
  json["density"] = nullptr;
  try {
    if (!o.control.empty()) json["density"] = density(o.control);
  } catch (const tmem::tool::Failure& failure) {
    std::fprintf(stderr, "tmem-load: no density: %s\n", failure.what());
  }
  if (o.json) std::printf("%s\n", json.dump(2).c_str());
  else print_result(json, result);
  std::fflush(stdout);
  char byte;
  while (o.hold && ::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return result.get_lost || result.get_wrong || result.get_failed ? kWrong : kRight;
}
