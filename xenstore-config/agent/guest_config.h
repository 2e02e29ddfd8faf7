// SPDX-License-Identifier: MIT
// Where a guest's policy comes from, first match wins:
//   1. ETC/tmem.d/NAME.conf
//   2. the xl.cfg that the guest was started from: found in the command line of the xl that waits for it (a relative path
//      only while xl has not yet left its directory, that is during creation), else by name and uuid among ETC/*.cfg, ETC/auto
//   3. the record kept for its UUID, so that reboot, restore and rename keep it; also what attach and detach leave
//   4. the default
// What 1 to 3 find is written to the record. An unreadable or wrong text is an error and counts as no match.
//
// Thread rule: one thread. Reads files only; never xenstore.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/policy.h"

namespace tmem::agent {

struct ConfigPlaces {
  std::filesystem::path etc = "/etc/xen";
  std::filesystem::path records = "/var/lib/xen-tmem";
  std::filesystem::path proc = "/proc";
};

struct GuestName {
  std::string name;
  std::string uuid;
};

enum class PolicySource { kGuestFile, kXlConfig, kRecord, kDefault };
const char* to_string(PolicySource source);

struct FoundPolicy {
  GuestPolicy policy;
  PolicySource source = PolicySource::kDefault;
  std::string file;  // empty for the default
};

// A running "xl create" or "xl restore": files it may have read, and the lines given on its command line.
struct XlCommand {
  std::vector<std::filesystem::path> files;
  std::vector<std::string> lines;
};
// words: the command line, its first word the program. nullopt: not an xl that starts a guest.
std::optional<XlCommand> parse_xl_command(const std::vector<std::string>& words, const std::filesystem::path& directory);

FoundPolicy find_policy(const ConfigPlaces& places, const GuestName& guest, const GuestPolicy& fallback, std::vector<PolicyError>& errors);

// Throws std::runtime_error naming the file.
void write_record(const ConfigPlaces& places, const std::string& uuid, const GuestPolicy& policy);

}  // namespace tmem::agent
