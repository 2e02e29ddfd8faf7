// SPDX-License-Identifier: MIT
// What can be tuned, with the bounds of each key. The table is the contract with dom0: proto/tmem/tmem_selfballoon.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tmem/tmem_selfballoon.h"

namespace tmem::selfballoon {

enum class Policy { kPressure, kCommitted };
const char* to_string(Policy policy);

struct Params {
  Policy policy = Policy::kPressure;
#define TMEM_FIELD(name, standard, lowest, highest, meaning) uint32_t name = standard;
  TMEM_SELFBALLOON_NUMBERS(TMEM_FIELD)
#undef TMEM_FIELD
  friend bool operator==(const Params&, const Params&) = default;
};

struct KeyInfo {
  const char* name;
  uint32_t standard, lowest, highest;
  const char* meaning;
};
const std::vector<KeyInfo>& number_keys();  // in the order of the table
bool is_key(std::string_view name);         // a number key, or the policy

// Sets one key. A refusal is its reason in one line, and params stay as they are.
std::optional<std::string> set(Params& params, std::string_view key, std::string_view value);
// Back to the default; false: there is no such key.
bool reset(Params& params, std::string_view key);
std::string get(const Params& params, std::string_view key);  // empty: no such key

}  // namespace tmem::selfballoon
