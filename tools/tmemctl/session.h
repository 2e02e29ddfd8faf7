// SPDX-License-Identifier: MIT
// One run of the tool: what was said on the command line for all commands, where output goes, and the connection, which is
// made when a command first needs it.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "tools/tmemctl/control_client.h"
#include "tools/tmemctl/place.h"

namespace tmem::tool {

struct Session {
  std::ostream& out;
  std::ostream& err;
  PlaceWish wish{};
  double timeout_seconds = 10;
  bool json = false;
  bool human = false;
  bool dry_run = false;
  ExitCode exit_code = ExitCode::kOk;  // what a command that did not throw wants
  std::optional<Place> found{};
  std::unique_ptr<ControlClient> connection{};

  const Place& place();  // found when first asked for
  ControlClient& service();
  control::Reply call(control::Request request) { return service().call(std::move(request)); }
};

// Which client a command is for: exactly one of CLIENT and -a.
struct Target {
  std::string client;
  bool all = false;
};

// A command that reads gets --json and -H; one that changes gets -n.
CLI::App* add_reading(CLI::App& app, Session& session, const std::string& name, const std::string& description);
CLI::App* add_changing(CLI::App& app, Session& session, const std::string& name, const std::string& description);

void add_target(CLI::App& command, Target& target);
// Refuses neither and both.
void require_target(const Target& target);
std::string describe(const Target& target);  // "'web1'" or "all clients"
// All digits: an id, as xl takes a domain; else a name.
control::ClientSelector selector(const std::string& client);
template <typename Message>
void select(Message& message, const Target& target) {
  if (!target.all) *message.mutable_client() = selector(target.client);
}

// The clients of the target. One that does not exist is the service's error, with its exit code.
control::ListClients::Reply list_clients(Session& session, const Target& target, bool pools);
// "'web1' (7)"
std::string describe(const control::Client& client);

}  // namespace tmem::tool
