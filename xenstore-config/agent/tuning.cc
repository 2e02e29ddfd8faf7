// SPDX-License-Identifier: MIT
#include "agent/tuning.h"

#include "selfballoon/params.h"

namespace tmem::agent {

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
  const std::string path = tuning_path(guest);
  if (tuning.empty() || !store.list(path).empty()) return false;
  const Permissions readable{0, guest};
  store.transaction([&](StoreView& t) {
    t.write(path.substr(0, path.rfind('/')), "", readable);
    t.write(path, "", readable);
    for (const auto& [node, value] : tuning) t.write(path + "/" + node, value, readable);
  });
  return true;
}

}  // namespace tmem::agent
