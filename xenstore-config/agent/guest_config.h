// SPDX-License-Identifier: MIT
// Where a guest's policy comes from, first match wins:
//   1. ETC/tmem.d/NAME.conf
//   2. the xl.cfg that the guest was started from: found in the command line of the xl that waits for it (a relative path
//      only while xl has not yet left its directory, that is during creation), else by name and uuid among ETC/*.cfg, ETC/auto
//   3. the record kept for its UUID, so that reboot, restore and rename keep it; also what attach and detach leave
//   4. the default
// What 1 to 3 find is written to the record. xl gives a guest whose xl.cfg names no uuid a new one each time, so records would pile
// up: kept are those of living guests, those of a uuid that an xl.cfg in ETC names, and the latest kRecordsMax of the rest, counted
// from the end of their guest; so a record outlives a reboot, and any save that so many other guests do not outlive. An unreadable or wrong text is an error and counts as no match.
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
  friend bool operator==(const GuestName&, const GuestName&) = default;
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

inline constexpr size_t kRecordsMax = 512;  // of guests that are gone
// The guest is gone; its record counts as the latest of those.
void age_record(const ConfigPlaces& places, const std::string& uuid);
// Removes what the rule above does not keep. Returns how many.
size_t drop_old_records(const ConfigPlaces& places, const std::vector<std::string>& living_uuids, size_t records_max = kRecordsMax);

// Throws std::runtime_error naming the file.
void write_record(const ConfigPlaces& places, const std::string& uuid, const GuestPolicy& policy);

}  // namespace tmem::agent
