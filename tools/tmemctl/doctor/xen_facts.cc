// SPDX-License-Identifier: MIT
#include "tools/tmemctl/doctor/xen_facts.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "agent/attach.h"
#include "tmem/tmem_xs.h"

namespace tmem::tool {
namespace {

namespace fs = std::filesystem;

// What a guest costs the service's domain (nodes.md), for a xenstored that does not count for us.
constexpr uint64_t kWatchesOfGuest = 1, kWatchesOfService = 2;

std::string first_line(const fs::path& path) {
  std::string line;
  std::getline(std::ifstream(path), line);
  return line;
}

std::string whole(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string running_store() {
  std::error_code error;
  for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    const std::string name = first_line(it->path() / "comm");
    if (name == "xenstored" || name == "oxenstored") return name;
  }
  return {};
}

uint64_t count_nodes(agent::StoreView& store, const std::string& path) {
  uint64_t nodes = 1;
  for (const std::string& name : store.list(path)) nodes += count_nodes(store, path + "/" + name);
  return nodes;
}

void gather_quotas(agent::XenStore& store, XenFacts& facts) {
  const std::string domid = std::to_string(facts.service_domid);
  const std::string most = store.control("quota", {}), used = store.control("quota", {domid});
  if (const auto nodes = figure_of(most, "nodes")) {
    facts.nodes = {figure_of(used, "nodes").value_or(0), *nodes};
    facts.watches = {figure_of(used, "watches").value_or(0), figure_of(most, "watches").value_or(0)};
    return;
  }
  const std::string conf = whole("/etc/xen/oxenstored.conf");
  const std::string own = "/local/domain/" + domid;
  facts.nodes = {count_nodes(store, own + "/backend/" TMEM_XS_DEVICE) + count_nodes(store, own + "/data"), figure_of(conf, "quota-maxentity").value_or(0)};
  facts.watches = {kWatchesOfService + kWatchesOfGuest * facts.guests.size(), figure_of(conf, "quota-maxwatch").value_or(0)};
}

void gather_guests(agent::StoreView& store, XenFacts& facts) {
  const std::string all = "/local/domain/" + std::to_string(facts.service_domid) + "/backend/" TMEM_XS_DEVICE;
  for (const std::string& text : store.list(all)) {
    const auto domid = agent::find_domain(store, text);
    if (!domid || std::to_string(*domid) != text) {
      facts.stale.push_back(all + "/" + text);
      continue;
    }
    facts.guests.push_back({*domid, agent::guest_name(store, *domid).name, store.read(all + "/" + text + "/0/" TMEM_XS_STATE).value_or(""),
                            store.read(agent::frontend_path(*domid) + "/" TMEM_XS_STATE).value_or("")});
  }
}

}  // namespace

std::optional<uint64_t> figure_of(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (!line.starts_with(name)) continue;
    line.remove_prefix(name.size());
    const size_t sign = line.find_first_not_of(' ');
    if (sign == std::string_view::npos || (line[sign] != ':' && line[sign] != '=')) continue;
    const size_t digit = line.find_first_not_of(' ', sign + 1);
    if (digit == std::string_view::npos) continue;
    uint64_t value = 0;
    if (std::from_chars(line.data() + digit, line.data() + line.size(), value).ec == std::errc{}) return value;
  }
  return std::nullopt;
}

std::optional<XenFacts> gather_xen() {
  if (whole("/proc/xen/capabilities").find("control_d") == std::string::npos) return std::nullopt;
  XenFacts facts;
  facts.store = running_store();
  try {
    agent::XenStore store;
    facts.agent_runs = first_line("/proc/" + store.read(agent::kAgentNode).value_or("-") + "/comm") == "xen-tmem-agent";
    const auto domid = agent::find_domain(store, store.read(TMEM_XS_SERVICE_DOMAIN).value_or(""));
    if (!domid) return facts;
    facts.service_published = true;
    facts.service_domid = *domid;
    facts.service_name = agent::guest_name(store, *domid).name;
    gather_guests(store, facts);
    gather_quotas(store, facts);
  } catch (const agent::StoreError&) {
    facts.store.clear();
  }
  return facts;
}

}  // namespace tmem::tool
