// SPDX-License-Identifier: MIT
#include "agent/guest_config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>

namespace tmem::agent {
namespace fs = std::filesystem;
namespace {

std::optional<std::string> slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();  // a process that ends meanwhile has said nothing, and is no exception
  if (!in) return std::nullopt;
  return std::move(text).str();
}

// A name or uuid becomes part of a path: nothing that could leave the directory.
bool safe_file_name(const std::string& name) { return !name.empty() && name[0] != '.' && name.find('/') == std::string::npos; }

bool same_guest(const XlConfig& config, const GuestName& guest, bool name_is_enough) {
  return config.name == guest.name && ((config.uuid.empty() && name_is_enough) || config.uuid == guest.uuid);
}

std::vector<std::string> command_line(const fs::path& process) {
  std::vector<std::string> words;
  const std::string text = slurp(process / "cmdline").value_or("");
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\0', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

// Of root, who alone can start guests; what other users call xl names files of their choice.
bool is_roots_process(const fs::path& path) {
  const std::string name = path.filename().string();
  struct stat found;
  return !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) { return c >= '0' && c <= '9'; }) &&
         stat(path.c_str(), &found) == 0 && (found.st_uid == 0 || found.st_uid == geteuid());
}

// The policy that a configuration of this guest states, if it states one. nullopt: another guest's, or not readable.
std::optional<std::optional<FoundPolicy>> match(const fs::path& file, const std::vector<std::string>& lines, const GuestName& guest,
                                                std::vector<PolicyError>& errors, bool name_is_enough = true) {
  const auto config = read_xl_config(file.string(), lines, errors);
  if (!config || !same_guest(*config, guest, name_is_enough)) return std::nullopt;
  if (!config->policy) return std::optional<FoundPolicy>{};
  return FoundPolicy{*config->policy, PolicySource::kXlConfig, file.string()};
}

// As match(): with a file that xl was given for this guest the search is over, even if that file says nothing of tmem. Files that
// were named from a directory that xl has left since, as it does when it goes into the background, are added to `lost` by name.
std::optional<std::optional<FoundPolicy>> from_running_xl(const ConfigPlaces& places, const GuestName& guest, std::vector<fs::path>& lost,
                                                          std::vector<PolicyError>& errors) {
  std::error_code ignored;
  std::vector<PolicyError> of_others;  // a broken file of another guest is not this guest's error
  for (const auto& entry : fs::directory_iterator(places.proc, ignored)) {
    if (!is_roots_process(entry.path())) continue;
    const auto command = parse_xl_command(command_line(entry.path()), fs::read_symlink(entry.path() / "cwd", ignored));
    if (!command) continue;
    for (const fs::path& file : command->files) {
      auto& to = file.stem() == guest.name ? errors : of_others;
      if (auto found = match(file, command->lines, guest, to)) return found;
      if (!fs::exists(file, ignored)) lost.push_back(file.filename());
    }
  }
  return std::nullopt;
}

std::vector<fs::path> config_files(const fs::path& directory) {
  std::error_code ignored;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    if (entry.is_regular_file(ignored) && (directory.filename() == "auto" || entry.path().extension() == ".cfg")) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// While xl runs with a file that cannot be found, a file of another name is this guest's only if it names its uuid.
std::optional<FoundPolicy> from_config_files(const ConfigPlaces& places, const GuestName& guest, const std::vector<fs::path>& lost,
                                             std::vector<PolicyError>& errors) {
  std::vector<PolicyError> of_others;
  for (const fs::path& directory : {places.etc, places.etc / "auto"}) {
    for (const fs::path& file : config_files(directory)) {
      const bool name_is_enough = lost.empty() || std::find(lost.begin(), lost.end(), file.filename()) != lost.end();
      auto& to = file.stem() == guest.name ? errors : of_others;
      if (auto found = match(file, {}, guest, to, name_is_enough); found && *found) return *found;
    }
  }
  return std::nullopt;
}

std::optional<FoundPolicy> from_xl_config(const ConfigPlaces& places, const GuestName& guest, std::vector<PolicyError>& errors) {
  std::vector<fs::path> lost;
  if (auto started_from = from_running_xl(places, guest, lost, errors)) return *started_from;
  return from_config_files(places, guest, lost, errors);
}

fs::path record_path(const ConfigPlaces& places, const std::string& uuid) { return places.records / (uuid + ".conf"); }

std::optional<FoundPolicy> from_text_file(const fs::path& path, PolicySource source, std::vector<PolicyError>& errors) {
  const auto text = slurp(path);
  if (!text) return std::nullopt;
  const auto policy = policy_from_text(*text, path.string(), errors);
  if (!policy) return std::nullopt;
  return FoundPolicy{*policy, source, path.string()};
}

std::set<std::string> uuids_of_config_files(const ConfigPlaces& places) {
  std::set<std::string> uuids;
  std::vector<PolicyError> ignored;
  for (const fs::path& directory : {places.etc, places.etc / "auto"}) {
    for (const fs::path& file : config_files(directory)) {
      if (const auto config = read_xl_config(file.string(), {}, ignored)) uuids.insert(config->uuid);
    }
  }
  return uuids;
}

}  // namespace

const char* to_string(PolicySource source) {
  switch (source) {
    case PolicySource::kGuestFile: return "guest file";
    case PolicySource::kXlConfig: return "xl configuration";
    case PolicySource::kRecord: return "record";
    case PolicySource::kDefault: return "default";
  }
  return "?";
}

std::optional<XlCommand> parse_xl_command(const std::vector<std::string>& words, const fs::path& directory) {
  if (words.size() < 2 || fs::path(words[0]).filename() != "xl") return std::nullopt;
  // Global options of xl stand before the verb.
  size_t verb = 1;
  while (verb < words.size() && !words[verb].empty() && words[verb][0] == '-') ++verb;
  if (verb == words.size() || (words[verb] != "create" && words[verb] != "restore")) return std::nullopt;

  XlCommand command;
  for (size_t i = verb + 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    std::string file;
    if (word == "-f" && i + 1 < words.size()) file = words[++i];
    else if (word.rfind("-f=", 0) == 0) file = word.substr(3);
    else if (word.rfind("--defconfig=", 0) == 0) file = word.substr(12);
    else if (word == "--defconfig" && i + 1 < words.size()) file = words[++i];
    else if (!word.empty() && word[0] == '-') continue;
    else if (word.find('=') != std::string::npos) command.lines.push_back(word);
    else file = word;
    if (!file.empty()) command.files.push_back(fs::path(file).is_absolute() ? fs::path(file) : directory / file);
  }
  // The image that is restored comes last, and is no configuration.
  if (words[verb] == "restore" && !command.files.empty()) command.files.pop_back();
  return command;
}

FoundPolicy find_policy(const ConfigPlaces& places, const GuestName& guest, const GuestPolicy& fallback, std::vector<PolicyError>& errors) {
  std::optional<FoundPolicy> found;
  if (safe_file_name(guest.name)) found = from_text_file(places.etc / "tmem.d" / (guest.name + ".conf"), PolicySource::kGuestFile, errors);
  if (!found) found = from_xl_config(places, guest, errors);
  if (!found && is_uuid(guest.uuid)) found = from_text_file(record_path(places, guest.uuid), PolicySource::kRecord, errors);
  if (!found) return {fallback, PolicySource::kDefault, {}};
  return *found;
}

void age_record(const ConfigPlaces& places, const std::string& uuid) {
  std::error_code ignored;
  if (is_uuid(uuid)) fs::last_write_time(record_path(places, uuid), fs::file_time_type::clock::now(), ignored);
}

size_t drop_old_records(const ConfigPlaces& places, const std::vector<std::string>& living_uuids, size_t records_max) {
  std::error_code ignored;
  std::vector<std::pair<fs::file_time_type, fs::path>> records;
  for (const auto& entry : fs::directory_iterator(places.records, ignored)) {
    const std::string uuid = entry.path().stem().string();
    const bool lives = std::find(living_uuids.begin(), living_uuids.end(), uuid) != living_uuids.end();
    if (entry.path().extension() == ".conf" && is_uuid(uuid) && !lives) records.emplace_back(entry.last_write_time(ignored), entry.path());
  }
  if (records.size() <= records_max) return 0;
  const std::set<std::string> named = uuids_of_config_files(places);
  std::erase_if(records, [&](const auto& record) { return named.contains(record.second.stem().string()); });
  std::sort(records.begin(), records.end());
  size_t dropped = 0;
  for (; dropped + records_max < records.size(); ++dropped) fs::remove(records[dropped].second, ignored);
  return dropped;
}

void write_record(const ConfigPlaces& places, const std::string& uuid, const GuestPolicy& policy) {
  if (!is_uuid(uuid)) throw std::runtime_error("'" + uuid + "' is not a uuid");
  std::error_code ignored;
  fs::create_directories(places.records, ignored);
  // Written beside and renamed: a record is whole or the old one.
  const fs::path path = record_path(places, uuid), beside = path.string() + ".new";
  {
    std::ofstream out(beside, std::ios::trunc);
    out << "# kept by xen-tmem-agent\n" << policy_to_text(policy);
    if (!out.flush()) throw std::runtime_error("cannot write " + beside.string());
  }
  std::error_code error;
  fs::rename(beside, path, error);
  if (error) throw std::runtime_error("cannot write " + path.string() + ": " + error.message());
}

}  // namespace tmem::agent
