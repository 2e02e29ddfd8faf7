// SPDX-License-Identifier: MIT
// What an operator may set, and where it is read from. A small library of its own (tmem_config), so that `xen-tmemctl config
// check` judges with the same parser as the daemon. Knows nothing of the engine.
//
// Files, the later winning over the earlier for each key:
//   /usr/lib/xen-tmem/tmem.conf.d/*.conf   what packages ship
//   /etc/xen/tmem.conf                     what the administrator says
//   /etc/xen/tmem.conf.d/*.conf            drop-ins, in the order of their names
//   /run/xen-tmem/tmem.conf.d/*.conf       until the next boot
// A line is `key = value`, empty, or a comment (# or ;). An unknown key, a value out of range, or a key twice in one file is
// an error that names file and line and says what is allowed. Absent files are no error.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tmem {

enum class XenMode : uint8_t { kAuto, kOn, kOff };

enum class LogLevel : uint8_t { kError, kWarning, kInfo, kDebug };

struct Config {
  uint64_t memory_bytes = 0;      // all shards together; resolved from the percentage of the host's memory
  uint64_t memory_bytes_max = 0;  // address space: what SetMemory may grow to
  uint32_t shards = 0;
  XenMode xen = XenMode::kAuto;   // serve guests over Xen; auto: if this is a Xen domain
  std::string xen_domain;         // dom0's agent: where the service runs
  bool xen_attach = false;        // dom0's agent: attach guests that nothing else speaks of
  // dom0's agent, about the tmem domain:
  bool breathe = false;
  uint64_t breathe_reserve_bytes = 0;
  uint64_t breathe_min_bytes = 0;
  uint64_t breathe_max_bytes = 0;  // 0: none
  uint32_t breathe_interval_seconds = 0;
  std::string memfd_socket;
  std::string control_socket;
  uint32_t recover_grace_seconds = 0;
  uint32_t suspend_grace_seconds = 0;
  uint32_t suspended_clients_max = 0;
  uint32_t suspended_memory_percent = 0;  // of the memory of now
  uint32_t poll_window_us = 0;
  uint32_t ring_order_max = 0;
  uint32_t clients_max = 0;
  bool keep_connections = false;
  bool huge_pages = false;
  bool verify_on_recovery = false;
  LogLevel log_level = LogLevel::kInfo;
  // For clients that come without a policy of their own.
  uint32_t client_weight = 0;
  uint64_t client_cap_bytes = 0;
  uint64_t client_min_bytes = 0;
  bool client_compress = false;
  bool client_dedup = false;
};

// What percentages and defaults are taken of.
struct HostFigures {
  uint64_t memory_bytes;
  uint32_t cpus;
  static HostFigures read();
};

struct ConfigError {
  std::string file;
  unsigned line = 0;  // 0: the file as a whole
  std::string text;
  std::string to_string() const;  // file:line: text
};

struct ConfigKey {
  std::string_view name;
  std::string_view default_value;
  std::string_view allowed;
  std::string_view meaning;
};
std::span<const ConfigKey> config_keys();

// A key as it came out: in file syntax, so that `name = value` of every setting is a file that comes to the same.
struct ConfigSetting {
  std::string_view name;
  std::string value;  // percentages and "auto" resolved
  std::string given;  // as it was written
  std::string file;   // "built-in default", where no file speaks of it
  unsigned line = 0;
};

// The candidate that a misspelt word was most likely meant to be; empty: none is near.
std::string_view nearest_word(std::string_view word, std::span<const std::string_view> candidates);

// Gathers files one after the other; finish() resolves and tests what spans several keys.
class ConfigReader {
 public:
  explicit ConfigReader(const HostFigures& host);
  void add_text(std::string_view text, const std::string& file);
  // False: not there. Unreadable is an error.
  bool add_file(const std::string& path);
  void add_directory(const std::string& path);
  Config finish();
  // One for each key, in the order of config_keys(); config is what finish() gave.
  std::vector<ConfigSetting> settings(const Config& config) const;
  const std::vector<ConfigError>& errors() const { return errors_; }

 private:
  struct Origin {
    std::string file;
    unsigned line = 0;
    std::string value;
  };
  void add_line(std::string_view line, const std::string& file, unsigned number, std::vector<unsigned>& seen);
  void error_at(std::string_view key, std::string text);
  void check_relations(const Config& config);

  HostFigures host_;
  std::vector<Origin> origins_;  // by index into config_keys()
  std::vector<ConfigError> errors_;
};

inline constexpr const char* kConfigPathDefault = "/etc/xen/tmem.conf";

// The standard places when path is empty, else that file (which must exist) and path.d/*.conf.
Config load_config(const std::string& path, const HostFigures& host, std::vector<ConfigError>& errors,
                   std::vector<ConfigSetting>* settings = nullptr);

}  // namespace tmem
