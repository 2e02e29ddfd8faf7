// SPDX-License-Identifier: MIT
#include "tools/tmemctl/selfballoon_view.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

#include "tmem/tmem_selfballoon.h"
#include "tools/tmemctl/failure.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

std::string domain_path(agent::Domid domain) { return "/local/domain/" + std::to_string(domain) + "/"; }
std::string report_path(agent::Domid domain) { return domain_path(domain) + TMEM_SELFBALLOON_REPORT "/"; }

std::optional<uint64_t> to_number(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Words KEY=VALUE; numbers become numbers. reason= takes the rest.
Json words(const std::string& text) {
  Json result = Json::object();
  for (size_t at = 0; at < text.size();) {
    const bool rest = text.compare(at, 7, "reason=") == 0;
    const size_t end = rest ? text.size() : std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    const size_t equals = word.find('=');
    if (equals != std::string::npos) {
      std::string key = printable(word.substr(0, equals));
      std::replace(key.begin(), key.end(), '-', '_');
      const std::string value = word.substr(equals + 1);
      if (const auto number = to_number(value)) result[key] = *number;
      else result[key] = printable(value);
    }
    at = end + 1;
  }
  return result;
}

Json lines(const std::string& text) {
  Json result = Json::array();
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) result.push_back(printable(line));
  return result;
}

// "TIME FROM TO why"
Json moves(const std::string& text) {
  Json result = Json::array();
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    std::istringstream one(line);
    uint64_t time_s = 0, from = 0, to = 0;
    std::string why;
    if (!(one >> time_s >> from >> to) || !std::getline(one >> std::ws, why)) continue;
    result.push_back({{"time_s", time_s}, {"from_kib", from}, {"target_kib", to}, {"reason", printable(why)}});
  }
  return result;
}

}  // namespace

std::vector<agent::Domid> selfballoon_domains(agent::StoreView& store) {
  std::vector<agent::Domid> found;
  for (const std::string& text : store.list("/local/domain")) {
    const auto id = to_number(text);
    if (!id || *id > 32767) continue;
    const auto domain = static_cast<agent::Domid>(*id);
    if (store.read(report_path(domain) + TMEM_SELFBALLOON_STATE) || !store.list(agent::tuning_path(domain)).empty()) found.push_back(domain);
  }
  std::sort(found.begin(), found.end());
  return found;
}

Json selfballoon_of(agent::StoreView& store, agent::Domid domain) {
  const auto report = [&](const char* node) { return store.read(report_path(domain) + node).value_or(""); };
  Json result;
  result["id"] = domain;
  result["name"] = printable(store.read(domain_path(domain) + "name").value_or(""));
  const auto limit = to_number(store.read(domain_path(domain) + "memory/target").value_or(""));
  result["limit_kib"] = limit ? Json(*limit) : Json(nullptr);
  result["keys"] = Json::object();
  for (const std::string& key : store.list(agent::tuning_path(domain)))
    result["keys"][printable(key)] = printable(store.read(agent::tuning_path(domain) + "/" + key).value_or(""));
  result["state"] = words(report(TMEM_SELFBALLOON_STATE));
  result["decision"] = words(report(TMEM_SELFBALLOON_DECISION));
  result["refused"] = lines(report(TMEM_SELFBALLOON_REFUSED));
  result["log"] = moves(report(TMEM_SELFBALLOON_LOG));
  return result;
}

TuningChange tuning_change(const std::vector<std::string>& settings) {
  TuningChange change;
  for (const std::string& setting : settings) {
    const size_t equals = setting.find('=');
    const std::string key = setting.substr(0, equals), value = equals == std::string::npos ? "" : setting.substr(equals + 1);
    const auto node = agent::tuning_node(key);
    if (!node) throw Failure(ExitCode::kUsage, "there is no key '" + printable(key) + "' of self-ballooning; see xen-tmemctl selfballoon set --help");
    if (value.empty()) {
      change.remove.push_back(*node);
    } else if (const auto refused = agent::tuning_refusal(*node, value)) {
      throw Failure(ExitCode::kUsage, "cannot set " + *node + ": " + *refused);
    } else {
      change.write[*node] = value;
    }
  }
  return change;
}

void apply_tuning(agent::Store& store, agent::Domid domain, const TuningChange& change) {
  const std::string path = agent::tuning_path(domain);
  const agent::Permissions readable{0, domain};
  store.transaction([&](agent::StoreView& t) {
    if (!t.read(path)) {
      t.write(path.substr(0, path.rfind('/')), "", readable);
      t.write(path, "", readable);
    }
    for (const auto& [node, value] : change.write) t.write(path + "/" + node, value, readable);
    for (const std::string& node : change.remove) t.remove(path + "/" + node);
  });
}

}  // namespace tmem::tool
