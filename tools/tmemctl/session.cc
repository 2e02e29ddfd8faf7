// SPDX-License-Identifier: MIT
#include "tools/tmemctl/session.h"

#include <algorithm>

#include "tools/tmemctl/text.h"

namespace tmem::tool {

const Place& Session::place() {
  if (!found) found = find_service(wish);
  return *found;
}

ControlClient& Session::service() {
  if (!connection) {
    auto timeout = std::chrono::milliseconds(static_cast<int64_t>(timeout_seconds * 1000));
    connection = std::make_unique<ControlClient>(connect_to(place(), timeout), timeout);
  }
  return *connection;
}

CLI::App* add_reading(CLI::App& app, Session& session, const std::string& name, const std::string& description) {
  CLI::App* command = app.add_subcommand(name, description);
  command->fallthrough();
  command->add_flag("--json", session.json, "Print JSON with a schema field; sizes are bytes");
  command->add_flag("-H,--human", session.human, "Print sizes in the unit that fits instead of MiB");
  return command;
}

CLI::App* add_changing(CLI::App& app, Session& session, const std::string& name, const std::string& description) {
  CLI::App* command = app.add_subcommand(name, description);
  command->fallthrough();
  command->add_flag("-n,--dry-run", session.dry_run, "Say what would be done, and do nothing");
  return command;
}

void add_target(CLI::App& command, Target& target) {
  command.add_option("CLIENT", target.client, "Name or id of a client");
  command.add_flag("-a,--all", target.all, "All clients");
}

void require_target(const Target& target) {
  if (target.all && !target.client.empty())
    throw Failure(ExitCode::kUsage, "both -a and client '" + printable(target.client) + "' were given; one of them is needed");
  if (!target.all && target.client.empty())
    throw Failure(ExitCode::kUsage, "no client was given; name one (see: xen-tmemctl list) or say -a for all");
}

std::string describe(const Target& target) { return target.all ? "all clients" : "'" + printable(target.client) + "'"; }

std::string describe(const control::Client& client) { return "'" + printable(client.name()) + "' (" + std::to_string(client.id()) + ")"; }

control::ClientSelector selector(const std::string& client) {
  control::ClientSelector chosen;
  if (std::all_of(client.begin(), client.end(), [](unsigned char c) { return c >= '0' && c <= '9'; }))
    chosen.set_id(static_cast<uint32_t>(parse_number(client, "the id of a client", UINT32_MAX)));
  else
    chosen.set_name(client);
  return chosen;
}

control::ListClients::Reply list_clients(Session& session, const Target& target, bool pools) {
  control::Request request;
  auto& body = *request.mutable_list_clients();
  select(body, target);
  body.set_pools(pools);
  control::Reply reply = session.call(std::move(request));
  return std::move(*reply.mutable_list_clients());
}

}  // namespace tmem::tool
