// SPDX-License-Identifier: MIT
#include "daemon/service.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>
#include <set>

#include "daemon/base/clock.h"
#include "daemon/base/supervisor.h"
#include "daemon/sockets.h"
#include "daemon/version.h"
#include "tmem/tmem_xs.h"
#include "tmem/tmemif.h"

namespace tmem {
namespace {

constexpr uint64_t kMemoryPerShardMin = uint64_t{4} << 20;

const std::string kKeptMemory = "memory-";
std::string kept_memory(uint64_t bytes) { return kKeptMemory + std::to_string(bytes); }

ClientPolicy default_policy(const Config& config) {
  ClientPolicy policy;
  policy.weight = config.client_weight;
  policy.cap_pages = config.client_cap_bytes / kPageBytes;
  policy.min_pages = config.client_min_bytes / kPageBytes;
  policy.compress = config.client_compress;
  policy.dedup_group = config.client_dedup ? 1 : 0;  // the registry gives each client a number of its own
  return policy;
}

uint64_t first_epoch() {
  std::random_device random;
  return (uint64_t{random()} << 15) + 1;
}

ClientRegistry::Limits limits(const Config& config) {
  return {config.clients_max, config.suspended_clients_max, config.recover_grace_seconds, config.suspend_grace_seconds};
}

uint32_t restarts_from_environment() {
  const char* text = std::getenv(kEnvRestarts);
  return text != nullptr ? static_cast<uint32_t>(std::strtoul(text, nullptr, 10)) : 0;
}

bool listens_on(int fd, const std::string& path) {
  sockaddr_un address{};
  socklen_t length = sizeof(address);
  return getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0 && path == address.sun_path;
}

std::string huge_pages_of(const Config& config) {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
  std::string text;
  if (!config.huge_pages || !std::getline(file, text)) return "none";
  const bool given = text.find("[always]") != std::string::npos || text.find("[advise]") != std::string::npos ||
                     text.find("[within_size]") != std::string::npos || text.find("[force]") != std::string::npos;
  return given ? "transparent" : "none";
}

// Who pays for a line in the log: a connection is new each time, who makes it is not.
std::string user(uint32_t uid) { return "user-" + std::to_string(uid); }
std::string guest(uint32_t domid) { return "guest-" + std::to_string(domid); }
std::string log_source(const ClientEntry& client) { return client.transport == "memfd" ? user(client.owner) : guest(client.id.value()); }

ShardSample sample(Shard& shard) {
  Engine& engine = shard.engine();
  const EngineStats stats = engine.stats();
  ShardSample out{stats.memory_bytes, stats.memory_bytes_target, engine.freeable_bytes(), {}};
  for (const ClientId id : engine.clients()) {
    const Result<ClientInfo> info = engine.client_info(id);
    if (!info) continue;
    out.clients.push_back({id, info.value().ops.put_no_space, info.value().ops.get_corrupt, shard.queue(id).requests, info.value().epoch,
                           info.value().space.bytes_compressed});
  }
  return out;
}

}  // namespace

Service::Service(const Config& config, std::string config_path)
    : config_(config), config_path_(std::move(config_path)), started_at_seconds_(monotonic_seconds()), restarts_(restarts_from_environment()),
      memory_bytes_(config.memory_bytes), signals_(io_, SIGTERM, SIGINT), tick_(io_), life_sign_(io_),
      registry_(limits(config), default_policy(config), first_epoch()), shards_(io_, [this](ClientId client) { client_broken(client); }),
      life_(registry_, shards_), memfd_(io_, registry_, life_, shards_, notifier_, config_, observer()), xen_(io_, registry_, life_, shards_, config_, xen_observer()),
      control_(*this), control_from_dom0_(io_, control_) {}

Service::~Service() { shards_.stop(); }

int Service::run() {
  std::map<std::string, FileDescriptor> inherited = inherited_fds();
  Listening listening;
  const int sockets = open_sockets(inherited, listening);
  if (sockets != kExitOk) return sockets;
  take_memory(inherited);
  const std::string wrong = shards_.open(config_, inherited, notifier_);
  if (!wrong.empty()) {
    log(LogLevel::kError, wrong);
    return kExitFailure;
  }
  if (!open_xen()) return kExitFailure;
  recover_clients(inherited);
  inherited.clear();
  shards_.start();
  start(std::move(listening));
  io_.run();
  stop();
  return kExitOk;
}

int Service::open_socket(const char* name, const std::string& path, int type, FileDescriptor inherited, FileDescriptor& out) {
  if (inherited.valid() && listens_on(inherited.get(), path)) {
    out = std::move(inherited);
    return kExitOk;
  }
  ListeningSocket made = listen_on(path, type);
  if (!made.fd.valid()) {
    log(LogLevel::kError, made.error);
    return made.in_use ? kExitInUse : kExitFailure;
  }
  notifier_.forget(name);
  notifier_.store(name, made.fd.get());
  out = std::move(made.fd);
  return kExitOk;
}

int Service::open_sockets(std::map<std::string, FileDescriptor>& inherited, Listening& out) {
  // The control socket first: it is what tells a second daemon that it is the second.
  const int control = open_socket("control", config_.control_socket, SOCK_STREAM, std::move(inherited["control"]), out.control);
  if (control != kExitOk) return control;
  return open_socket("memfd", config_.memfd_socket, SOCK_SEQPACKET, std::move(inherited["memfd"]), out.memfd);
}

// What an operator set outlives a crash with the arenas, as the name of a descriptor that the manager keeps; without arenas this
// is a start, and the configuration counts.
void Service::take_memory(std::map<std::string, FileDescriptor>& inherited) {
  const bool crashed = std::any_of(inherited.begin(), inherited.end(), [](const auto& kept) { return kept.first.starts_with("arena-"); });
  for (auto at = inherited.lower_bound(kKeptMemory); at != inherited.end() && at->first.starts_with(kKeptMemory); at = inherited.erase(at)) {
    const uint64_t bytes = std::strtoull(at->first.c_str() + kKeptMemory.size(), nullptr, 10);
    const bool possible = bytes >= kMemoryPerShardMin * config_.shards && bytes <= config_.memory_bytes_max;
    if (crashed && possible) config_.memory_bytes = memory_bytes_ = bytes;
    else notifier_.forget(at->first);
  }
}

// Those that connect anew replay what was unanswered, credited puts too, and no such page may find the store full. In rounds,
// so that where room is short all have some of it; living rings have taken theirs already.
void Service::keep_room_for_awaited(Engine& engine) {
  constexpr uint32_t kRound = kCreditsPerQueueMax / 4;
  for (uint32_t level = kRound; level <= kCreditsPerQueueMax; level += kRound) {
    for (const auto& [id, entry] : registry_.entries()) {
      if (entry.awaited()) engine.top_up_credits(id, level);
    }
  }
}

// Before the shards' threads run, so that engines may be asked from here.
void Service::recover_clients(std::map<std::string, FileDescriptor>& inherited) {
  shards_.each([&](Shard& shard) {
    for (const ClientId id : shard.engine().clients()) {
      const Result<ClientInfo> info = shard.engine().client_info(id);
      if (info) registry_.recovered(info.value());
    }
  });
  for (const ClientId id : registry_.recovery_done(monotonic_seconds())) {
    shards_.each([id](Shard& shard) { [[maybe_unused]] const Status status = shard.engine().detach(id); });
    registry_.erase(id);
  }
  memfd_.adopt(inherited);
  xen_.adopt();
  std::set<ClientId> not_served;
  shards_.each([&](Shard& shard) {
    for (AdoptedChannels* adopted : {&memfd_.adopted(), &xen_.adopted()}) {
      for (const ClientId client : shard.adopt(*adopted)) not_served.insert(client);
    }
  });
  for (const ClientId client : not_served) {
    log(LogLevel::kWarning, "a client's connection cannot be taken up: no descriptors are left; it has to connect anew", {{"client", client.value()}});
    memfd_.give_up(client);
    xen_.give_up(client);
  }
  shards_.each([this](Shard& shard) { keep_room_for_awaited(shard.engine()); });
}

void Service::start(Listening listening) {
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error) return;
    log(LogLevel::kInfo, "stopping", {{"signal", signal}});
    notifier_.stopping();
    io_.stop();
  });
  control_server_ = std::make_unique<ControlServer>(io_, listening.control.release(), control_);
  memfd_.listen(std::move(listening.memfd));
  xen_.listen();
  offer_control_to_dom0();
  const size_t waiting = registry_.count(ClientState::kRecovered);
  log(LogLevel::kInfo, "serving", {{"version", std::string_view(kVersion)}, {"shards", shards_.count()}, {"memory_bytes", memory_bytes_},
       {"recovered", shards_.recovered() ? 1 : 0}, {"clients_connected", registry_.count(ClientState::kConnected)}, {"clients_awaited", waiting},
       {"memfd_socket", std::string_view(config_.memfd_socket)}, {"control_socket", std::string_view(config_.control_socket)}});
  notifier_.ready("serving " + std::to_string(registry_.entries().size()) + " clients on " + std::to_string(shards_.count()) + " shards");
  tick();
  if (notifier_.watchdog_period_ms() != 0) watch_life();
}

void Service::stop() {
  memfd_.close();
  xen_.close();
  control_server_->close();
  control_from_dom0_.close();
  shards_.stop();
  notifier_.forget(kept_memory(memory_bytes_));
  // Whoever keeps the sockets removes the files, or serves on with them.
  if (!notifier_.present()) {
    unlink(config_.memfd_socket.c_str());
    unlink(config_.control_socket.c_str());
  }
  client_log_.report(monotonic_seconds());
  log(LogLevel::kInfo, "stopped");
}

void Service::tick() {
  for (const ClientId id : registry_.expired(monotonic_seconds())) {
    log(LogLevel::kWarning, "nobody came back for a client's pages, freeing them", {{"client", id.value()}});
    life_.free(id);
  }
  client_log_.report(monotonic_seconds());
  const auto samples = std::make_shared<std::vector<ShardSample>>(shards_.count());
  shards_.on_shards([samples](Shard& shard) { (*samples)[shard.shard()] = sample(shard); },
                    [this, samples] {
                      take_samples(*samples);
                      tick_.expires_after(std::chrono::seconds(1));
                      tick_.async_wait([this](const boost::system::error_code& error) {
                        if (!error) tick();
                      });
                    });
}

void Service::take_samples(const std::vector<ShardSample>& samples) {
  for (const ShardSample& shard : samples) {
    for (const ClientSample& part : shard.clients) {
      // A request on the connection whose epoch this is: the client has heard of it.
      const ClientEntry* entry = registry_.find(part.id);
      if (entry != nullptr && part.requests != 0 && part.epoch == entry->identity().epoch && registry_.confirm(part.id)) life_.write_identity(part.id);
    }
  }
  free_over_memory(samples);
  using Kind = MonitorEvent::Kind;
  for (const MonitorEvent& seen : monitor_.look(samples)) {
    const ClientEntry* client = registry_.find(seen.client);
    const std::string figure = std::to_string(seen.figure);
    switch (seen.kind) {
      case Kind::kMemoryLow: event(control::Event::MEMORY_LOW, nullptr, figure + "% of the memory cannot be freed; puts will soon be refused: raise the memory, or lower caps"); break;
      case Kind::kMemoryOk: event(control::Event::MEMORY_OK, nullptr, figure + "% of the memory cannot be freed"); break;
      case Kind::kPutRefused: event(control::Event::PUT_REFUSED, client, figure + " puts refused for want of space"); break;
      case Kind::kPageCorrupt: event(control::Event::PAGE_CORRUPT, client, figure + " pages failed their checksum and were dropped; test the host's memory"); break;
    }
  }
}

void Service::free_over_memory(const std::vector<ShardSample>& samples) {
  std::map<ClientId, uint64_t> bytes;
  for (const ShardSample& shard : samples) {
    for (const ClientSample& part : shard.clients) bytes[part.id] += part.bytes;
  }
  for (const ClientId id : registry_.over_memory(bytes, memory_bytes_ / 100 * config_.suspended_memory_percent)) {
    log(LogLevel::kWarning, "pages of suspended clients take more than suspend-memory, freeing a client's", {{"client", id.value()}, {"bytes", bytes[id]}});
    life_.free(id);
  }
}

// A sign of life means that every shard answers, not only that this thread runs.
void Service::watch_life() {
  shards_.on_shards([](Shard&) {}, [this] {
    notifier_.alive();
    life_sign_.expires_after(std::chrono::milliseconds(notifier_.watchdog_period_ms()));
    life_sign_.async_wait([this](const boost::system::error_code& error) {
      if (!error) watch_life();
    });
  });
}

MemfdServer::Observer Service::observer() {
  return {
      [this](const ClientEntry& client, const MemfdPeer& peer, bool resumed) {
        client_log_.write(log_source(client), monotonic_seconds(), LogLevel::kInfo, resumed ? "client resumed" : "client attached",
                          {{"client", client.id.value()}, {"name", std::string_view(client.name)}, {"queues", client.queues}, {"uid", peer.uid}, {"pid", peer.pid}});
        event_attached(client, resumed);
      },
      [this](const ClientEntry& client) {
        client_log_.write(log_source(client), monotonic_seconds(), LogLevel::kInfo, "client detached",
                          {{"client", client.id.value()}, {"name", std::string_view(client.name)}});
        event(control::Event::CLIENT_DETACHED, &client, "its pools are freed");
      },
      [this](uid_t uid, const char* why) {
        ++clients_refused_;
        client_log_.write(user(uid), monotonic_seconds(), LogLevel::kWarning, "connection refused", {{"uid", uid}, {"reason", why}});
      },
  };
}

XenServer::Observer Service::xen_observer() {
  return {
      [this](const ClientEntry& client, uint32_t domid, bool resumed) {
        client_log_.write(log_source(client), monotonic_seconds(), LogLevel::kInfo, resumed ? "guest resumed" : "guest attached",
                          {{"client", client.id.value()}, {"name", std::string_view(client.name)}, {"queues", client.queues}, {"domid", domid}});
        event_attached(client, resumed);
      },
      [this](const ClientEntry& client, bool suspended) {
        client_log_.write(log_source(client), monotonic_seconds(), LogLevel::kInfo, suspended ? "guest suspended" : "guest detached",
                          {{"client", client.id.value()}, {"name", std::string_view(client.name)}});
        event(control::Event::CLIENT_DETACHED, &client, suspended ? "suspended; its pools wait for it" : "its pools are freed");
      },
      [this](uint32_t domid, const std::string& why) {
        ++clients_refused_;
        client_log_.write(guest(domid), monotonic_seconds(), LogLevel::kWarning, "guest refused", {{"domid", domid}, {"reason", std::string_view(why)}});
      },
      [] { log(LogLevel::kError, "xenstored ended the connection or fails: guests that are connected stay so, others cannot come until a restart"); },
  };
}

bool Service::open_xen() {
  std::string why;
  if (config_.xen == XenMode::kOff || xen_.open(why)) return true;
  if (config_.xen == XenMode::kAuto) {
    log(LogLevel::kInfo, "no Xen guests are served", {{"reason", std::string_view(why)}});
    return true;
  }
  log(LogLevel::kError, "cannot serve Xen guests (xen = on): " + why);
  return false;
}

void Service::offer_control_to_dom0() {
  VchanServer::Offer offer = config_.xen == XenMode::kOff ? nullptr : VchanServer::offer_to_dom0();
  if (offer && !control_from_dom0_.open(std::move(offer), TMEM_XS_CONTROL_STREAMS)) {
    log(LogLevel::kWarning, "dom0 cannot steer this service: no page can be shared with it (is xen-gntalloc loaded?)");
  }
}

void Service::client_broken(ClientId client) {
  const ClientEntry* entry = registry_.find(client);
  if (entry == nullptr || entry->state != ClientState::kConnected) return;
  client_log_.write(log_source(*entry), monotonic_seconds(), LogLevel::kWarning, "client misbehaved, its channels are closed",
                    {{"client", client.value()}, {"name", std::string_view(entry->name)}, {"reason", "ring indexes are nonsense"}});
  event(control::Event::CLIENT_MISBEHAVED, entry, "its ring indexes are nonsense; its channels are closed and its pools freed");
  memfd_.drop(client);
  xen_.drop(client);
}

void Service::event_attached(const ClientEntry& client, bool resumed) {
  event(resumed ? control::Event::CLIENT_RECOVERED : control::Event::CLIENT_ATTACHED, &client,
        resumed ? "came back and has its pools" : "attached with " + std::to_string(client.queues) + " queues");
}

void Service::event(control::Event::Kind kind, const ClientEntry* client, const std::string& text) {
  control::Event out;
  out.set_kind(kind);
  out.set_time_ms(wall_ms());
  if (client != nullptr) {
    out.set_client(client->id.value());
    out.set_client_name(client->name);
  }
  out.set_text(text);
  const bool grave = kind == control::Event::MEMORY_LOW || kind == control::Event::PAGE_CORRUPT;
  if (grave) log(LogLevel::kWarning, text, {{"client", out.client()}});
  if (control_server_) control_server_->publish(out);
  control_from_dom0_.publish(out);
}

// ---- ControlHost ----

ServiceFigures Service::figures() const {
  ServiceFigures out;
  out.version = kVersion;
  out.abi_version = TMEMIF_VERSION;
  out.generation = shards_.generation();
  out.uptime_seconds = monotonic_seconds() - started_at_seconds_;
  out.restarts = restarts_;
  out.pid = static_cast<uint32_t>(getpid());
  out.config_path = config_path_;
  out.memory_bytes_max = shards_.memory_bytes_max();
  out.clients_refused = clients_refused_;
  out.arenas_refused = shards_.arenas_refused();
  const ControlCounters& local = control_server_->counters();
  const ControlCounters& from_dom0 = control_from_dom0_.counters();
  out.control_frames_malformed = local.frames_malformed + from_dom0.frames_malformed;
  out.control_connections_cut = local.connections_cut + from_dom0.connections_cut;
  out.huge_pages = huge_pages_of(config_);
  return out;
}

std::vector<ControlClient> Service::clients() const {
  std::vector<ControlClient> out;
  for (const auto& [id, entry] : registry_.entries()) {
    out.push_back({id, entry.name, entry.uuid, static_cast<ControlClientState>(entry.state), entry.transport, entry.queues, entry.policy, entry.dedup_group});
  }
  return out;
}

void Service::on_shards(std::function<void(ShardAccess&)> work, std::function<void()> done) {
  shards_.on_shards([work = std::move(work)](Shard& shard) { work(shard); }, std::move(done));
}

void Service::set_policy(ClientId client, const ClientPolicy& policy, const std::string& dedup_group, std::function<void(bool)> done) {
  const ClientEntry* entry = registry_.find(client);
  if (entry == nullptr) return done(true);
  ClientPolicy wanted = policy;
  wanted.dedup_group = dedup_group != entry->dedup_group ? dedup_number(client, dedup_group) : entry->policy.dedup_group;
  life_.set_policy(client, wanted, dedup_group, [this, client, done = std::move(done)](bool written) {
    const ClientEntry* now = registry_.find(client);
    if (written && now != nullptr) event(control::Event::POLICY_CHANGED, now, "policy changed");
    done(written);
  });
}

bool Service::forget(ClientId client) {
  if (!registry_.forget(client)) return false;
  life_.free(client);
  return true;
}

std::optional<uint64_t> Service::set_memory(uint64_t bytes) {
  if (bytes < kMemoryPerShardMin * shards_.count() || bytes > shards_.memory_bytes_max()) return std::nullopt;
  log(LogLevel::kInfo, "memory changes", {{"bytes", bytes}, {"bytes_before", memory_bytes_}});
  const FileDescriptor kept(eventfd(0, EFD_CLOEXEC));
  if (bytes != memory_bytes_ && kept.valid()) {
    notifier_.store(kept_memory(bytes), kept.get());
    notifier_.forget(kept_memory(memory_bytes_));
  }
  shards_.on_shards([share = bytes / shards_.count()](Shard& shard) { shard.engine().set_memory_target(share); }, [] {});
  return std::exchange(memory_bytes_, bytes);
}

}  // namespace tmem
