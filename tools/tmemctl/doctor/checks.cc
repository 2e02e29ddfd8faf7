// SPDX-License-Identifier: MIT
#include "tools/tmemctl/doctor/checks.h"

#include <functional>

#include "tools/tmemctl/commands/figures.h"
#include "tools/tmemctl/session.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

using Findings = std::vector<Finding>;

// Memory that cannot be had back by dropping ephemeral pages, as a share of all: from here on refusals are near.
constexpr uint64_t kMemoryWarnPercent = 90;
constexpr uint64_t kMemoryProblemPercent = 97;
// Pages are spread over the shards by a hash: one that is so much fuller than another refuses while there is room.
constexpr uint64_t kShardsApartPercent = 50;
constexpr uint64_t kShardRoundingBytes = uint64_t{1} << 20;

Findings service(const DoctorFacts& facts) {
  if (!facts.unreachable.empty()) return {{Level::kProblem, facts.unreachable}};
  return {{Level::kOk, "xen-tmemd " + printable(facts.info->version()) + " answers, pid " + std::to_string(facts.info->pid()) + ", up " +
                           std::to_string(facts.info->uptime_seconds()) + " s, " + std::to_string(facts.info->shards_size()) + " shards"}};
}

Findings socket_permissions(const DoctorFacts& facts) {
  if (!facts.socket.exists) return {{Level::kSkipped, "there is no socket to look at"}};
  if (!facts.socket.is_socket)
    return {{Level::kProblem, printable(facts.socket_path) + " is not a socket", "remove it and restart the service: systemctl restart xen-tmemd"}};
  if (facts.socket.mode & 0007)
    return {{Level::kProblem, "every user of this machine may steer the service: others have rights on " + printable(facts.socket_path),
             "chmod o= " + printable(facts.socket_path)}};
  return {};
}

Findings version(const DoctorFacts& facts) {
  Findings findings;
  if (facts.info->abi_version() != TMEMIF_VERSION)
    findings.push_back({Level::kProblem, "the service speaks version " + std::to_string(facts.info->abi_version()) + " of the guests' interface, this tool knows " +
                                             std::to_string(TMEMIF_VERSION), "install the tools and the service from one release"});
  if (facts.info->version() != TMEM_VERSION)
    findings.push_back({Level::kWarning, "the service is version " + printable(facts.info->version()) + ", this tool is " TMEM_VERSION,
                        "after an upgrade restart the service: systemctl restart xen-tmemd (guests keep their pages)"});
  return findings;
}

Findings memory(const DoctorFacts& facts) {
  uint64_t used = 0, target = 0;
  for (const control::Shard& shard : facts.info->shards()) {
    used += shard.memory_bytes();
    target += shard.memory_bytes_target();
  }
  if (target == 0) return {{Level::kProblem, "the service has no memory to keep pages in", "xen-tmemctl set-memory SIZE"}};
  uint64_t kept = used > facts.freeable_bytes ? used - facts.freeable_bytes : 0;
  uint64_t percent = kept / (target / 100 + 1);
  std::string text = format_bytes_unit(kept, true) + " of " + format_bytes_unit(target, true) + " (" + std::to_string(percent) +
                     " %) hold pages that cannot be dropped";
  const char* remedy = "give the service more memory (xen-tmemctl set-memory SIZE), or cap clients (xen-tmemctl set CLIENT cap=SIZE)";
  if (percent >= kMemoryProblemPercent) return {{Level::kProblem, text + "; puts are refused", remedy}};
  if (percent >= kMemoryWarnPercent) return {{Level::kWarning, text + "; puts will soon be refused", remedy}};
  return {{Level::kOk, text}};
}

Findings shards(const DoctorFacts& facts) {
  const control::Shard *fullest = nullptr, *emptiest = nullptr;
  auto percent = [](const control::Shard& shard) { return shard.memory_bytes() / (shard.memory_bytes_target() / 100 + 1); };
  for (const control::Shard& shard : facts.info->shards()) {
    if (fullest == nullptr || percent(shard) > percent(*fullest)) fullest = &shard;
    if (emptiest == nullptr || percent(shard) < percent(*emptiest)) emptiest = &shard;
  }
  if (fullest == nullptr || percent(*fullest) < percent(*emptiest) + kShardsApartPercent) return {};
  return {{Level::kWarning,
           "shard " + std::to_string(fullest->id()) + " is " + std::to_string(percent(*fullest)) + " % full, shard " + std::to_string(emptiest->id()) +
               " only " + std::to_string(percent(*emptiest)) + " %: puts to the one may be refused while the other has room",
           "give more memory (xen-tmemctl set-memory SIZE); if it stays so, lower 'shards' in " + printable(facts.info->config_path())}};
}

// What the service runs with and what it would run with after its next start are told apart by what it says of itself.
Findings configuration(const DoctorFacts& facts) {
  if (facts.elsewhere) return {{Level::kSkipped, "the service has a domain of its own, and its configuration is there"}};
  Findings findings;
  for (const ConfigError& error : facts.config_errors)
    findings.push_back({Level::kProblem, printable(error.to_string()) + "; the service would not start with it", "mend it, then: xen-tmemctl config check"});
  if (!facts.config_errors.empty() || !facts.info) return findings;
  const auto shards_count = static_cast<uint64_t>(facts.info->shards_size());
  if (facts.config.shards != shards_count)
    findings.push_back({Level::kWarning, "there are " + std::to_string(shards_count) + " shards, the configuration says " + std::to_string(facts.config.shards),
                        "it takes a full stop, which frees all pages: systemctl stop xen-tmemd && systemctl start xen-tmemd"});
  uint64_t target = 0;
  for (const control::Shard& shard : facts.info->shards()) target += shard.memory_bytes_target();
  // Each shard's part is in whole segments.
  const uint64_t apart = target > facts.config.memory_bytes ? target - facts.config.memory_bytes : facts.config.memory_bytes - target;
  if (apart > shards_count * kShardRoundingBytes)
    findings.push_back({Level::kNote, "memory was set to " + format_bytes_unit(target, true) + ", the configuration says " + format_bytes_unit(facts.config.memory_bytes, true),
                        "change 'memory' in " + printable(facts.info->config_path()) + " if it is to stay, or: xen-tmemctl set-memory " +
                            std::to_string(facts.config.memory_bytes >> 20) + "M"});
  return findings;
}

// One finding for each client of which figure() is not zero.
Findings each_client(const DoctorFacts& facts, Level level, const std::function<uint64_t(const control::Client&)>& figure,
                     const std::string& text, const std::string& remedy) {
  Findings findings;
  for (const control::Client& client : facts.clients->clients())
    if (uint64_t count = figure(client); count > 0) findings.push_back({level, describe(client) + ": " + std::to_string(count) + " " + text, remedy});
  return findings;
}

Findings refused_puts(const DoctorFacts& facts) {
  return each_client(facts, Level::kNote, [](const control::Client& c) { return c.ops().put_no_space(); },
                     "puts were refused for want of space since the service started", "give the service more memory: xen-tmemctl set-memory SIZE");
}

Findings corrupt_pages(const DoctorFacts& facts) {
  return each_client(facts, Level::kProblem, [](const control::Client& c) { return c.ops().get_corrupt(); },
                     "pages failed their checksum and were lost", "test the memory of this machine; the guest was told, and got no wrong bytes");
}

Findings misbehaved(const DoctorFacts& facts) {
  const char* remedy = "its driver is broken or hostile; only it is affected. See: xen-tmemctl events";
  Findings findings = each_client(facts, Level::kWarning, [](const control::Client& c) { return c.requests_malformed(); }, "requests were malformed", remedy);
  uint64_t broken = 0;
  for (const control::Shard& shard : facts.info->shards()) broken += shard.channels_broken();
  if (broken > 0) findings.push_back({Level::kWarning, std::to_string(broken) + " channels were closed for nonsense in their rings", remedy});
  return findings;
}

Findings refused_clients(const DoctorFacts& facts) {
  uint64_t count = facts.info->clients_refused();
  if (count == 0) return {};
  return {{Level::kWarning, std::to_string(count) + " connections were turned away since the service started",
           "see why: journalctl -u xen-tmemd; a limit is raised in the configuration: xen-tmemctl config show"}};
}

Findings waiting_clients(const DoctorFacts& facts) {
  Findings findings;
  for (const control::Client& client : facts.clients->clients()) {
    bool recovered = client.state() == control::Client::RECOVERED;
    if (!recovered && client.state() != control::Client::SUSPENDED) continue;
    findings.push_back({recovered ? Level::kWarning : Level::kNote,
                        describe(client) + (recovered ? " has not come back since the service restarted" : " is suspended") + "; its " +
                            std::to_string(pages(client.space())) + " pages are kept for it",
                        "when it will not come back: xen-tmemctl forget " + std::to_string(client.id())});
  }
  return findings;
}

Findings frozen_clients(const DoctorFacts& facts) {
  Findings findings;
  for (const control::Client& client : facts.clients->clients())
    if (client.policy().frozen())
      findings.push_back({Level::kNote, describe(client) + " is frozen and stores nothing new", "xen-tmemctl thaw " + std::to_string(client.id())});
  return findings;
}

Findings huge_pages(const DoctorFacts& facts) {
  if (facts.info->huge_pages().empty()) return {{Level::kSkipped, "the service does not say which pages its memory lies on"}};
  if (facts.info->huge_pages() != "none") return {{Level::kOk, "memory lies on huge pages (" + printable(facts.info->huge_pages()) + ")"}};
  return {{Level::kNote, "memory lies on small pages, which costs each page's access a little",
           "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled, and restart the service"}};
}

Findings restarts(const DoctorFacts& facts) {
  if (facts.info->restarts() == 0) return {};
  return {{Level::kWarning, "the service died and was started again " + std::to_string(facts.info->restarts()) + " times",
           "see why: journalctl -u xen-tmemd; please report it"}};
}

Findings recovery(const DoctorFacts& facts) {
  uint64_t torn = 0, unknown = 0, segments = 0;
  for (const control::Shard& shard : facts.info->shards()) {
    torn += shard.records_skipped_torn();
    unknown += shard.records_skipped_unknown();
    segments += shard.segments_damaged();
  }
  Findings findings;
  if (const uint64_t arenas = facts.info->arenas_refused(); arenas > 0)
    findings.push_back({Level::kProblem, std::to_string(arenas) + " kept arenas could not be read at the service's start; their pages are lost",
                        "see why: journalctl -u xen-tmemd; after a change of the arena's version restart the guests that used them"});
  if (torn + unknown + segments > 0)
    findings.push_back({Level::kWarning, "at its start the service left out " + std::to_string(torn) + " torn and " + std::to_string(unknown) +
                            " unknown records and " + std::to_string(segments) + " damaged segments",
                        "one of a kind is normal after a crash in the middle of a put; many are not: test the memory of this machine"});
  return findings;
}

constexpr Check kChecks[] = {
    {"service", false, service},
    {"socket", false, socket_permissions},
    {"version", true, version},
    {"configuration", false, configuration},
    {"memory", true, memory},
    {"shards", true, shards},
    {"refused-puts", true, refused_puts},
    {"corrupt-pages", true, corrupt_pages},
    {"misbehaved-clients", true, misbehaved},
    {"refused-clients", true, refused_clients},
    {"waiting-clients", true, waiting_clients},
    {"frozen-clients", true, frozen_clients},
    {"huge-pages", true, huge_pages},
    {"restarts", true, restarts},
    {"recovery", true, recovery},
};

}  // namespace

std::span<const Check> checks() { return kChecks; }

const char* to_string(Level level) {
  switch (level) {
    case Level::kOk: return "ok";
    case Level::kNote: return "note";
    case Level::kWarning: return "warning";
    case Level::kProblem: return "problem";
    case Level::kSkipped: return "skipped";
  }
  return "";
}

}  // namespace tmem::tool
