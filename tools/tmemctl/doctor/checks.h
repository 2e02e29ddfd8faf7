// SPDX-License-Identifier: MIT
// What doctor looks at. A check is a function from the facts to its findings, and a line in the table of checks.cc; nothing
// else has to know it. Facts are gathered once, before any check runs, so that a check is tested with made-up ones.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/config/config.h"
#include "tmem/control.pb.h"

namespace tmem::tool {

enum class Level { kOk, kNote, kWarning, kProblem, kSkipped };
const char* to_string(Level level);

struct Finding {
  Level level;
  std::string text;
  std::string remedy{};  // empty when there is nothing to do
};

struct SocketFacts {
  bool exists = false;
  bool is_socket = false;
  uint32_t mode = 0;  // permission bits
  uint32_t owner = 0;
};

struct DoctorFacts {
  bool elsewhere = false;  // in another domain, not behind a socket
  std::string socket_path;
  SocketFacts socket;
  std::string unreachable;  // why the service does not answer; empty: it does, and the next two are there
  std::optional<control::Info::Reply> info;
  std::optional<control::ListClients::Reply> clients;
  uint64_t freeable_bytes = 0;
  // What the files say that the service would read at its next start.
  Config config;
  std::vector<ConfigError> config_errors;
};

struct Check {
  const char* name;
  bool needs_service;
  // No finding: all is well.
  std::vector<Finding> (*run)(const DoctorFacts& facts);
};
std::span<const Check> checks();

}  // namespace tmem::tool
