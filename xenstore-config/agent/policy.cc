// SPDX-License-Identifier: MIT
#include "agent/policy.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <sstream>

namespace tmem::agent {
namespace {

constexpr uint64_t kPagesPerMib = 256;
constexpr uint64_t kMibMax = uint64_t{1} << 32;  // 4 PiB, more than any host has
constexpr size_t kSharedMax = 32;                // what fits into a xenstore node

std::string trim(const std::string& s) {
  const auto from = s.find_first_not_of(" \t\r");
  if (from == std::string::npos) return {};
  return s.substr(from, s.find_last_not_of(" \t\r") - from + 1);
}

std::optional<uint64_t> number(const std::string& text, uint64_t max) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty() || value > max) return std::nullopt;
  return value;
}

std::optional<bool> flag(const std::string& text) {
  if (text == "1" || text == "yes" || text == "true" || text == "on") return true;
  if (text == "0" || text == "no" || text == "false" || text == "off") return false;
  return std::nullopt;
}

class Reader {
 public:
  Reader(const PolicyKeys& keys, std::string where, std::vector<PolicyError>& errors) : keys_(keys), where_(std::move(where)), errors_(errors) {}

  void take(const char* key, bool& to) {
    if (const std::string* text = find(key)) set(to, flag(*text), key, *text, "0 or 1");
  }
  template <typename T>
  void take(const char* key, T& to, uint64_t max, const char* allowed) {
    if (const std::string* text = find(key)) set(to, number(*text, max), key, *text, allowed);
  }
  void bad(const std::string& text) { errors_.push_back({where_ + ": " + text}); }
  static std::string full_name(const std::string& key) { return key.empty() ? "tmem" : "tmem_" + key; }

 private:
  const std::string* find(const char* key) const {
    const auto found = keys_.values.find(key);
    return found == keys_.values.end() ? nullptr : &found->second;
  }
  template <typename T, typename V>
  void set(T& to, const std::optional<V>& value, const char* key, const std::string& text, const char* allowed) {
    if (value) to = static_cast<T>(*value);
    else bad(full_name(key) + " = '" + text + "' is not " + allowed);
  }

  const PolicyKeys& keys_;
  std::string where_;
  std::vector<PolicyError>& errors_;
};

}  // namespace

bool is_uuid(const std::string& text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !std::isxdigit(static_cast<unsigned char>(text[i]))) return false;
  }
  return true;
}

std::optional<GuestPolicy> policy_from_keys(const PolicyKeys& keys, const std::string& where, std::vector<PolicyError>& errors, const GuestPolicy& base) {
  static const std::vector<std::string> known = {"", "weight", "cap", "min", "compress", "shared"};
  const size_t before = errors.size();
  Reader reader(keys, where, errors);
  GuestPolicy policy = base;
  reader.take("", policy.enabled);
  reader.take("weight", policy.weight, 65535, "a number from 0 to 65535");
  reader.take("cap", policy.cap_mib, kMibMax, "a number of MiB, 0 for none");
  reader.take("min", policy.min_mib, kMibMax, "a number of MiB");
  reader.take("compress", policy.compress);
  for (const auto& [key, value] : keys.values) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    if (const auto node = tuning_node(key)) {
      if (const auto refused = tuning_refusal(*node, value)) reader.bad(Reader::full_name(key) + ": " + *refused);
      else policy.tuning[*node] = value;
    } else if (const auto flow = flow_node(key)) {
      if (const auto refused = flow_refusal(*flow, value)) reader.bad(Reader::full_name(key) + ": " + *refused);
      else policy.flow[*flow] = value;
    } else {
      reader.bad("unknown key " + Reader::full_name(key) + "; xl-tmem(5) has those that there are");
    }
  }
  for (const std::string& uuid : keys.shared) {
    if (!is_uuid(uuid)) reader.bad("tmem_shared: '" + uuid + "' is not a uuid such as 01234567-89ab-cdef-0123-456789abcdef");
  }
  if (keys.shared.size() > kSharedMax) reader.bad("tmem_shared: more than " + std::to_string(kSharedMax) + " uuids");
  if (policy.cap_mib != 0 && policy.min_mib > policy.cap_mib) reader.bad("tmem_min is above tmem_cap");
  if (!keys.shared.empty()) policy.shared = keys.shared;
  if (errors.size() != before) return std::nullopt;
  return policy;
}

std::optional<GuestPolicy> policy_from_text(const std::string& text, const std::string& file, std::vector<PolicyError>& errors) {
  const size_t before = errors.size();
  PolicyKeys keys;
  std::istringstream lines(text);
  std::string line;
  for (int number_of_line = 1; std::getline(lines, line); ++number_of_line) {
    line = trim(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    const auto equals = line.find('=');
    if (equals == std::string::npos) {
      errors.push_back({file + ":" + std::to_string(number_of_line) + ": '" + line + "' is not KEY = VALUE"});
      continue;
    }
    std::string key = trim(line.substr(0, equals));
    if (key == "tmem") key.clear();
    else if (key.rfind("tmem_", 0) == 0) key.erase(0, 5);
    const std::string value = trim(line.substr(equals + 1));
    if (key == "shared") {
      std::istringstream words(value);
      for (std::string word; words >> word;) keys.shared.push_back(word);
    } else if (!keys.values.emplace(key, value).second) {
      errors.push_back({file + ":" + std::to_string(number_of_line) + ": key given twice"});
    }
  }
  auto policy = policy_from_keys(keys, file, errors);
  if (errors.size() != before) return std::nullopt;
  return policy;
}

std::optional<GuestPolicy> policy_after_wish(const std::string& wish, const GuestPolicy& policy, std::vector<PolicyError>& errors) {
  std::istringstream words(wish);
  std::string verb;
  words >> verb;
  PolicyKeys keys;
  if (verb != "attach" && verb != "detach") {
    errors.push_back({"wish '" + wish + "' is neither attach nor detach"});
    return std::nullopt;
  }
  keys.values[""] = verb == "attach" ? "1" : "0";
  for (std::string word; words >> word;) {
    const size_t equals = std::min(word.find('='), word.size());
    keys.values[word.substr(0, equals)] = equals < word.size() ? word.substr(equals + 1) : "";
  }
  return policy_from_keys(keys, "wish '" + wish + "'", errors, policy);
}

std::string policy_to_text(const GuestPolicy& policy) {
  std::ostringstream out;
  out << "tmem = " << policy.enabled << "\ntmem_weight = " << policy.weight << "\ntmem_cap = " << policy.cap_mib
      << "\ntmem_min = " << policy.min_mib << "\ntmem_compress = " << policy.compress << "\n";
  if (!policy.shared.empty()) {
    out << "tmem_shared =";
    for (const std::string& uuid : policy.shared) out << ' ' << uuid;
    out << "\n";
  }
  for (const auto& [node, value] : policy.tuning) out << "tmem_" << node << " = " << value << "\n";
  for (const auto& [node, value] : policy.flow) out << "tmem_flow_" << node << " = " << value << "\n";
  return out.str();
}

std::string policy_to_node(const GuestPolicy& policy) {
  std::ostringstream out;
  out << "weight=" << policy.weight << " cap-pages=" << policy.cap_mib * kPagesPerMib << " min-pages=" << policy.min_mib * kPagesPerMib
      << " compress=" << policy.compress;
  for (const std::string& uuid : policy.shared) out << " shared=" << uuid;
  return out.str();
}

}  // namespace tmem::agent
