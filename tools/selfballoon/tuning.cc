// SPDX-License-Identifier: MIT
#include "selfballoon/tuning.h"

namespace tmem::selfballoon {
namespace {

constexpr size_t kRefusedMax = 16;  // that fit into a node

std::string printable(const std::string& text) {
  std::string result;
  for (const char c : text.substr(0, 60)) result += c > ' ' && c <= '~' ? c : '?';
  return result;
}

}  // namespace

bool Tuning::refresh(agent::StoreView& store) {
  Params next = own_;
  std::map<std::string, std::string> refused;
  for (const std::string& key : store.list(TMEM_SELFBALLOON_KEYS)) {
    const auto value = store.read(std::string(TMEM_SELFBALLOON_KEYS) + "/" + key);
    if (!value) continue;
    const auto reason = set(next, key, *value);
    if (!reason) continue;
    if (is_key(key)) set(next, key, get(params_, key));
    if (refused.size() < kRefusedMax) refused[printable(key)] = *reason;
  }
  const bool changed = !(next == params_) || refused != refused_;
  params_ = next;
  refused_ = std::move(refused);
  return changed;
}

std::string Tuning::refused_text() const {
  std::string text;
  for (const auto& [key, reason] : refused_) text += (text.empty() ? "" : "\n") + key + ": " + reason;
  return text;
}

std::string Tuning::text() const {
  std::string text = std::string(TMEM_SELFBALLOON_POLICY "=") + to_string(params_.policy);
  for (const KeyInfo& key : number_keys()) text += std::string(" ") + key.name + "=" + get(params_, key.name);
  return text;
}

}  // namespace tmem::selfballoon
