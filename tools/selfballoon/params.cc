// SPDX-License-Identifier: MIT
#include "selfballoon/params.h"

#include <algorithm>
#include <charconv>

namespace tmem::selfballoon {
namespace {

struct Field {
  KeyInfo info;
  uint32_t Params::*place;
};

#define TMEM_ROW(name, standard, lowest, highest, meaning) {{#name, standard, lowest, highest, meaning}, &Params::name},
constexpr Field kFields[] = {TMEM_SELFBALLOON_NUMBERS(TMEM_ROW)};
#undef TMEM_ROW

const Field* find(std::string_view key) {
  const auto* found = std::find_if(std::begin(kFields), std::end(kFields), [&](const Field& f) { return f.info.name == key; });
  return found == std::end(kFields) ? nullptr : found;
}

// What came from elsewhere, short and without bytes that a terminal or a log would act on.
std::string quoted(std::string_view text) {
  constexpr size_t kShown = 40;
  std::string result = "'";
  for (const char c : text.substr(0, kShown)) result += c >= ' ' && c <= '~' ? c : '?';
  return result + (text.size() > kShown ? "...'" : "'");
}

std::optional<uint64_t> to_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

const char* to_string(Policy policy) {
  return policy == Policy::kPressure ? TMEM_SELFBALLOON_POLICY_PRESSURE : TMEM_SELFBALLOON_POLICY_COMMITTED;
}

const std::vector<KeyInfo>& number_keys() {
  static const std::vector<KeyInfo> keys = [] {
    std::vector<KeyInfo> all;
    for (const Field& field : kFields) all.push_back(field.info);
    return all;
  }();
  return keys;
}

bool is_key(std::string_view name) { return name == TMEM_SELFBALLOON_POLICY || find(name) != nullptr; }

std::optional<std::string> set(Params& params, std::string_view key, std::string_view value) {
  while (!value.empty() && (value.back() == '\n' || value.back() == ' ' || value.back() == '\0')) value.remove_suffix(1);
  if (key == TMEM_SELFBALLOON_POLICY) {
    for (const Policy policy : {Policy::kPressure, Policy::kCommitted}) {
      if (value == to_string(policy)) {
        params.policy = policy;
        return std::nullopt;
      }
    }
    return quoted(value) + " is neither pressure nor committed";
  }
  const Field* field = find(key);
  if (!field) return "there is no such key";
  const auto number = to_number(value);
  if (!number || *number < field->info.lowest || *number > field->info.highest)
    return quoted(value) + " is not a number from " + std::to_string(field->info.lowest) + " to " + std::to_string(field->info.highest);
  params.*(field->place) = static_cast<uint32_t>(*number);
  return std::nullopt;
}

bool reset(Params& params, std::string_view key) {
  if (key == TMEM_SELFBALLOON_POLICY) {
    params.policy = Params{}.policy;
    return true;
  }
  const Field* field = find(key);
  if (field) params.*(field->place) = field->info.standard;
  return field != nullptr;
}

std::string get(const Params& params, std::string_view key) {
  if (key == TMEM_SELFBALLOON_POLICY) return to_string(params.policy);
  const Field* field = find(key);
  return field ? std::to_string(params.*(field->place)) : std::string();
}

}  // namespace tmem::selfballoon
