// SPDX-License-Identifier: MIT
// config check, config show: the service's configuration, judged by the same parser as the service's. Needs no service.
#include "daemon/config.h"

#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/json.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

const char* to_string(LogLevel level) {
  switch (level) {
    case LogLevel::kError: return "error";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kInfo: return "info";
    case LogLevel::kDebug: return "debug";
  }
  return "";
}

Json values(const Config& config) {
  return {{"memory_bytes", config.memory_bytes},
          {"memory_bytes_max", config.memory_bytes_max},
          {"shards", config.shards},
          {"memfd_socket", config.memfd_socket},
          {"control_socket", config.control_socket},
          {"recover_grace_seconds", config.recover_grace_seconds},
          {"suspend_grace_seconds", config.suspend_grace_seconds},
          {"suspended_clients_max", config.suspended_clients_max},
          {"poll_window_us", config.poll_window_us},
          {"ring_order_max", config.ring_order_max},
          {"clients_max", config.clients_max},
          {"huge_pages", config.huge_pages},
          {"verify_on_recovery", config.verify_on_recovery},
          {"log_level", to_string(config.log_level)},
          {"client_weight", config.client_weight},
          {"client_cap_bytes", config.client_cap_bytes},
          {"client_min_bytes", config.client_min_bytes},
          {"client_compress", config.client_compress},
          {"client_dedup", config.client_dedup}};
}

Json error_list(const std::vector<ConfigError>& errors) {
  Json list = Json::array();
  for (const ConfigError& error : errors) list.push_back({{"file", error.file}, {"line", error.line}, {"text", error.text}});
  return list;
}

// Prints the errors; the exit status is 1 when there is one.
Config load(Session& session, const std::string& path, std::vector<ConfigError>& errors) {
  Config config = load_config(path, HostFigures::read(), errors);
  if (!errors.empty()) session.exit_code = ExitCode::kFailed;
  if (!session.json)
    for (const ConfigError& error : errors) session.err << "xen-tmemctl: " << printable(error.to_string()) << '\n';
  return config;
}

void run_check(Session& session, const std::string& path) {
  std::vector<ConfigError> errors;
  load(session, path, errors);
  if (session.json) {
    Json document = schema("config-check");
    document["errors"] = error_list(errors);
    print_json(session.out, document);
  } else if (errors.empty()) {
    session.out << "the configuration is good\n";
  }
}

void run_show(Session& session, const std::string& path) {
  std::vector<ConfigError> errors;
  Config config = load(session, path, errors);
  if (!session.json) {
    // Values of a file with errors are not what a service would run with, since it would not start.
    if (errors.empty()) print_tree(session.out, values(config), session.human);
    return;
  }
  Json document = schema("config-show");
  document["errors"] = error_list(errors);
  document["values"] = errors.empty() ? values(config) : Json(nullptr);
  document["keys"] = Json::array();
  for (const ConfigKey& key : config_keys())
    document["keys"].push_back({{"name", key.name}, {"default", key.default_value}, {"allowed", key.allowed}, {"meaning", key.meaning}});
  print_json(session.out, document);
}

}  // namespace

void add_config_commands(CLI::App& app, Session& session) {
  CLI::App* config = app.add_subcommand("config", "Check or show the configuration of the service");
  config->fallthrough();
  config->require_subcommand(1);
  auto path = std::make_shared<std::string>();
  CLI::App* check = add_reading(*config, session, "check", "Find errors, naming file and line");
  check->add_option("FILE", *path, std::string("Instead of ") + kConfigPathDefault + "; FILE.d/*.conf is read too");
  check->footer("Exit status 1 when there is an error. Example: xen-tmemctl config check");
  check->callback([path, &session] { run_check(session, *path); });
  CLI::App* show = add_reading(*config, session, "show", "Print what the files and the defaults come to");
  show->add_option("FILE", *path, std::string("Instead of ") + kConfigPathDefault + "; FILE.d/*.conf is read too");
  show->callback([path, &session] { run_show(session, *path); });
}

}  // namespace tmem::tool
