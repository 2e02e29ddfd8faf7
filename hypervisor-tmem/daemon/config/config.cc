// SPDX-License-Identifier: MIT
#include "daemon/config/config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "daemon/config/config_values.h"
#include "tmem/limits.h"

namespace tmem {
namespace {

constexpr size_t kFileBytesMax = size_t{1} << 20;
constexpr size_t kErrorsMax = 64;  // enough to mend a file, not enough to drown a log
constexpr uint64_t kShardBytesMin = uint64_t{4} << 20;

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\v\f";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// What is echoed into an error stays on one line and short.
std::string shown(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, 60)) out += c >= 0x20 && c < 0x7f ? c : '?';
  return out + (text.size() > 60 ? "...'" : "'");
}

size_t find_key(std::string_view name) {
  const auto values = config_values();
  const auto found = std::find_if(values.begin(), values.end(), [&](const ConfigValue& v) { return v.key.name == name; });
  return static_cast<size_t>(found - values.begin());
}

std::string suggestion(std::string_view name) {
  std::vector<std::string_view> names;
  for (const ConfigValue& value : config_values()) names.push_back(value.key.name);
  const std::string_view near = nearest_word(name, names);
  return near.empty() ? std::string("see xen-tmem.conf(5) for the keys") : "did you mean '" + std::string(near) + "'?";
}

// Letters to insert, remove, replace, or swap with their neighbour, to make one word of the other.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(last);
    last.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view nearest_word(std::string_view word, std::span<const std::string_view> candidates) {
  constexpr size_t kWordMax = 64;  // longer ones are no misspelt names
  if (word.empty() || word.size() > kWordMax) return {};
  std::string_view best;
  // A word of which more than a third is wrong was meant to be another; a beginning that only one has is meant to be that one.
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  size_t beginnings = 0;
  std::string_view begun;
  for (const std::string_view candidate : candidates) {
    if (candidate.starts_with(word) && ++beginnings == 1) begun = candidate;
    const size_t distance = edit_distance(word, candidate);
    if (distance >= best_distance) continue;
    best = candidate;
    best_distance = distance;
  }
  return best.empty() && beginnings == 1 ? begun : best;
}

HostFigures HostFigures::read() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  return {pages > 0 && page_bytes > 0 ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes) : 0,
          std::max(1U, std::thread::hardware_concurrency())};
}

std::string ConfigError::to_string() const {
  return file + (line != 0 ? ":" + std::to_string(line) : std::string()) + ": " + text;
}

std::span<const ConfigKey> config_keys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> out;
    for (const ConfigValue& value : config_values()) out.push_back(value.key);
    return out;
  }();
  return keys;
}

ConfigReader::ConfigReader(const HostFigures& host) : host_(host), origins_(config_values().size()) {
  for (size_t i = 0; i < origins_.size(); ++i) {
    origins_[i] = {"built-in default", 0, std::string(config_values()[i].key.default_value)};
  }
}

void ConfigReader::add_text(std::string_view text, const std::string& file) {
  std::vector<unsigned> seen(origins_.size(), 0);
  unsigned number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    add_line(trim(text.substr(0, end)), file, ++number, seen);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (errors_.size() >= kErrorsMax) return;
  }
}

void ConfigReader::add_line(std::string_view line, const std::string& file, unsigned number, std::vector<unsigned>& seen) {
  if (line.empty() || line.front() == '#' || line.front() == ';') return;
  const size_t equals = line.find('=');
  if (equals == std::string_view::npos) {
    errors_.push_back({file, number, "expected 'key = value', found " + shown(line)});
    return;
  }
  const std::string_view name = trim(line.substr(0, equals));
  const std::string_view value = trim(line.substr(equals + 1));
  const size_t key = find_key(name);
  if (key == origins_.size()) {
    errors_.push_back({file, number, "unknown key " + shown(name) + ": " + suggestion(name)});
    return;
  }
  if (seen[key] != 0) {
    errors_.push_back({file, number, shown(name) + " was given in line " + std::to_string(seen[key]) + " already; remove one"});
    return;
  }
  seen[key] = number;
  const ConfigValue& known = config_values()[key];
  Config scratch;
  if (!known.set(scratch, value, host_)) {
    errors_.push_back({file, number, shown(value) + " is no value for '" + std::string(name) + "'; allowed: " + std::string(known.key.allowed)});
    return;
  }
  origins_[key] = {file, number, std::string(value)};
}

bool ConfigReader::add_file(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    errors_.push_back({path, 0, std::string("cannot be read: ") + std::strerror(errno)});
    return true;
  }
  std::ifstream stream;
  if (S_ISREG(info.st_mode)) stream.open(path, std::ios::binary);  // a pipe's opening would wait for its writer
  if (!stream.is_open() || static_cast<uint64_t>(info.st_size) > kFileBytesMax) {
    errors_.push_back({path, 0, "cannot be read: not a readable regular file of at most 1 MiB"});
    return true;
  }
  std::ostringstream text;
  text << stream.rdbuf();
  add_text(text.str(), path);
  return true;
}

void ConfigReader::add_directory(const std::string& path) {
  std::error_code error;
  std::vector<std::string> files;
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".conf") files.push_back(it->path().string());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    errors_.push_back({path, 0, "cannot be read: " + error.message()});
  }
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) add_file(file);
}

void ConfigReader::error_at(std::string_view key, std::string text) {
  const Origin& origin = origins_[find_key(key)];
  errors_.push_back({origin.file, origin.line, std::move(text)});
}

void ConfigReader::check_relations(const Config& config) {
  if (config.memory_bytes / config.shards < kShardBytesMin) {
    error_at("shards", std::to_string(config.shards) + " shards need a memory of at least " +
                           std::to_string(config.shards * (kShardBytesMin >> 20)) + "M; raise 'memory' or lower 'shards'");
  }
  if (config.memory_bytes_max < config.memory_bytes && origins_[find_key("memory-max")].line != 0) {
    error_at("memory-max", "'memory' is above 'memory-max'; raise 'memory-max' or lower 'memory'");
  }
  if (config.memory_bytes / config.shards > kShardBytesMax) {
    error_at("memory", "a shard has at most 64G; raise 'shards' or lower 'memory'");
  }
  if (config.memfd_socket == config.control_socket) {
    error_at("control-socket", "'memfd-socket' and 'control-socket' must differ");
  }
  if (config.client_cap_bytes != 0 && config.client_min_bytes > config.client_cap_bytes) {
    error_at("client-min", "'client-min' is above 'client-cap'; lower one or raise the other");
  }
}

Config ConfigReader::finish() {
  Config config;
  for (size_t i = 0; i < origins_.size(); ++i) {
    // Only a percentage of a tiny host can fail here: everything else was tested when its line was read.
    if (!config_values()[i].set(config, origins_[i].value, host_)) {
      const ConfigKey& key = config_values()[i].key;
      error_at(key.name, shown(origins_[i].value) + " is no value for '" + std::string(key.name) + "'; allowed: " + std::string(key.allowed));
    }
  }
  if (errors_.empty()) check_relations(config);
  config.memory_bytes_max = std::clamp(config.memory_bytes_max, config.memory_bytes, std::max(config.memory_bytes, config.shards * kShardBytesMax));
  return config;
}

std::vector<ConfigSetting> ConfigReader::settings(const Config& config) const {
  std::vector<ConfigSetting> out;
  for (size_t i = 0; i < origins_.size(); ++i) {
    const ConfigValue& known = config_values()[i];
    out.push_back({known.key.name, known.show(config), origins_[i].value, origins_[i].file, origins_[i].line});
  }
  return out;
}

Config load_config(const std::string& path, const HostFigures& host, std::vector<ConfigError>& errors,
                   std::vector<ConfigSetting>* settings) {
  ConfigReader reader(host);
  bool found = true;
  if (path.empty()) {
    reader.add_directory("/usr/lib/xen-tmem/tmem.conf.d");
    reader.add_file(kConfigPathDefault);
    reader.add_directory(std::string(kConfigPathDefault) + ".d");
    reader.add_directory("/run/xen-tmem/tmem.conf.d");
  } else {
    found = reader.add_file(path);
    reader.add_directory(path + ".d");
  }
  Config config = reader.finish();
  if (settings != nullptr) *settings = reader.settings(config);
  errors = reader.errors();
  if (!found) errors.push_back({path, 0, "no such file"});
  return config;
}

}  // namespace tmem
