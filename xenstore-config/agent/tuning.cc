// SPDX-License-Identifier: MIT
#include "agent/tuning.h"

#include <charconv>

#include "agent/attach.h"
#include "selfballoon/params.h"
#include "tmem/tmem_xs.h"

namespace tmem::agent {
namespace {

const std::map<std::string, std::pair<uint64_t, uint64_t>> kFlowRanges{
    {"min", {1, uint64_t{1} << 32}}, {"max", {1, uint64_t{1} << 32}}, {"weight", {0, 65535}}, {"buffer", {0, 100}}};
constexpr std::string_view kFlowPrefix = "flow_";

bool carry(Store& store, Domid guest, const std::string& path, const Tuning& values, const Permissions& permissions, const Permissions& above) {
  if (values.empty() || !store.list(path).empty()) return false;
  store.transaction([&](StoreView& t) {
    if (!is_there(t, guest)) return;
    t.write(path.substr(0, path.rfind('/')), "", above);
    t.write(path, "", permissions);
    for (const auto& [node, value] : values) t.write(path + "/" + node, value, permissions);
  });
  return true;
}

}  // namespace

std::optional<std::string> tuning_node(const std::string& key) {
  if (key == "selfballoon") return "selfballooning";
  if (selfballoon::is_key(key)) return key;
  return std::nullopt;
}

const std::vector<std::string>& tuning_nodes() {
  static const std::vector<std::string> nodes = [] {
    std::vector<std::string> all{TMEM_SELFBALLOON_POLICY};
    for (const selfballoon::KeyInfo& key : selfballoon::number_keys()) all.emplace_back(key.name);
    return all;
  }();
  return nodes;
}

std::optional<std::string> tuning_refusal(const std::string& node, const std::string& value) {
  selfballoon::Params scratch;
  return selfballoon::set(scratch, node, value);
}

std::string tuning_path(Domid guest) { return "/local/domain/" + std::to_string(guest) + "/" TMEM_SELFBALLOON_KEYS; }

bool carry_tuning(Store& store, Domid guest, const Tuning& tuning) {
  return carry(store, guest, tuning_path(guest), tuning, {0, guest}, {0, guest});
}

std::optional<std::string> flow_node(const std::string& key) {
  if (!key.starts_with(kFlowPrefix) || !kFlowRanges.contains(key.substr(kFlowPrefix.size()))) return std::nullopt;
  return key.substr(kFlowPrefix.size());
}

const std::vector<std::string>& flow_keys() {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> all;
    for (const auto& [node, range] : kFlowRanges) all.push_back(std::string(kFlowPrefix) + node);
    return all;
  }();
  return keys;
}

std::optional<std::string> flow_refusal(const std::string& node, const std::string& value) {
  const auto [least, most] = kFlowRanges.at(node);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (!value.empty() && error == std::errc{} && end == value.data() + value.size() && number >= least && number <= most) return std::nullopt;
  return "'" + value + "' is not a number from " + std::to_string(least) + " to " + std::to_string(most);
}

std::string flow_path(Domid guest) { return "/local/domain/" + std::to_string(guest) + "/" TMEM_XS_FLOW_KEYS; }

// The guest needs to know nothing of it.
bool carry_flow(Store& store, Domid guest, const Tuning& flow) { return carry(store, guest, flow_path(guest), flow, {}, {0, guest}); }

}  // namespace tmem::agent
