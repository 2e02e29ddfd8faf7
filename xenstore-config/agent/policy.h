// SPDX-License-Identifier: MIT
// What dom0 says about one guest, and the three texts that can say it: a file KEY = VALUE per guest, the guest's xl.cfg, and
// the record that the agent keeps per UUID. docs/man/xl-tmem.5 has the keys.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/tuning.h"

namespace tmem::agent {

struct GuestPolicy {
  bool enabled = false;
  uint32_t weight = 100;
  uint64_t cap_mib = 0;  // 0: none
  uint64_t min_mib = 0;
  bool compress = true;
  std::vector<std::string> shared;  // uuids whose shared pools the guest may join, 36 characters each
  Tuning tuning{};                  // of its self-ballooning; carried to xenstore once, when the guest starts
  Tuning flow{};                    // its part in the host's policy of memory; carried likewise
  friend bool operator==(const GuestPolicy&, const GuestPolicy&) = default;
};

// A text that could not be understood: "FILE:LINE: what, and what is allowed" or "FILE: ...".
struct PolicyError {
  std::string text;
};

// Policy from keys without their tmem_ prefix ("" is tmem itself). Unknown keys and bad values are errors at where.
struct PolicyKeys {
  std::map<std::string, std::string> values;
  std::vector<std::string> shared;
};
// Keys that are absent leave base as it is.
std::optional<GuestPolicy> policy_from_keys(const PolicyKeys& keys, const std::string& where, std::vector<PolicyError>& errors, const GuestPolicy& base = {});

// "key = value" lines, '#' comments; keys tmem, tmem_weight, ... with or without the prefix tmem_. nullopt: errors say why.
std::optional<GuestPolicy> policy_from_text(const std::string& text, const std::string& file, std::vector<PolicyError>& errors);

// An operator's word for one running guest, left in xenstore: "detach", or "attach" and words key=value that change its policy
// for good (weight, cap, min, compress; as in xl.cfg). nullopt: errors say why.
std::optional<GuestPolicy> policy_after_wish(const std::string& wish, const GuestPolicy& policy, std::vector<PolicyError>& errors);
std::string policy_to_text(const GuestPolicy& policy);

// The value of the backend's policy node (tmem_xs.h), in pages.
std::string policy_to_node(const GuestPolicy& policy);

// An xl.cfg as xl itself parses it, with the extra lines given on xl's command line.
struct XlConfig {
  std::string name;
  std::string uuid;                   // empty: none in the file
  uint64_t memory_mib = 0;            // at start
  std::optional<GuestPolicy> policy;  // none: no key of ours, or errors
};
std::optional<XlConfig> read_xl_config(const std::string& path, const std::vector<std::string>& extra_lines, std::vector<PolicyError>& errors);

bool is_uuid(const std::string& text);

}  // namespace tmem::agent
