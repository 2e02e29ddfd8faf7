// SPDX-License-Identifier: MIT
// config check, config show: the service's configuration, judged by the same parser as the service's. Needs no service.
#include <algorithm>

#include "daemon/config/config.h"
#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/json.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

Json error_list(const std::vector<ConfigError>& errors) {
  Json list = Json::array();
  for (const ConfigError& error : errors) list.push_back({{"file", error.file}, {"line", error.line}, {"text", error.text}});
  return list;
}

// Prints the errors; the exit status is 1 when there is one.
std::vector<ConfigSetting> load(Session& session, const std::string& path, std::vector<ConfigError>& errors) {
  std::vector<ConfigSetting> settings;
  load_config(path, HostFigures::read(), errors, &settings);
  if (!errors.empty()) session.exit_code = ExitCode::kFailed;
  if (!session.json)
    for (const ConfigError& error : errors) session.err << "xen-tmemctl: " << printable(error.to_string()) << '\n';
  return settings;
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

// A file that comes to the same: the keys together that were decided in one place, each place as a comment before them.
void print_file(std::ostream& out, const std::vector<ConfigSetting>& settings) {
  std::vector<std::string> places;
  for (const ConfigSetting& setting : settings)
    if (std::find(places.begin(), places.end(), setting.file) == places.end()) places.push_back(setting.file);
  for (const std::string& place : places) {
    out << "# " << printable(place) << '\n';
    for (const ConfigSetting& setting : settings)
      if (setting.file == place) out << setting.name << " = " << setting.value << '\n';
  }
}

void run_show(Session& session, const std::string& path) {
  std::vector<ConfigError> errors;
  const std::vector<ConfigSetting> settings = load(session, path, errors);
  // Values of files with errors are not what a service would run with, since it would not start.
  const bool good = errors.empty();
  if (!session.json) {
    if (good) print_file(session.out, settings);
    return;
  }
  Json document = schema("config-show", 2);
  document["errors"] = error_list(errors);
  document["keys"] = Json::array();
  for (size_t i = 0; i < settings.size(); i++) {
    const ConfigSetting& setting = settings[i];
    const ConfigKey& key = config_keys()[i];
    document["keys"].push_back({{"name", key.name}, {"value", good ? Json(setting.value) : Json(nullptr)}, {"given", setting.given},
                                {"file", setting.line != 0 ? Json(setting.file) : Json(nullptr)}, {"line", setting.line},
                                {"default", key.default_value}, {"allowed", key.allowed}, {"meaning", key.meaning}});
  }
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
  show->footer("Prints a file that comes to the same, percentages and 'auto' resolved, and says where each value is from.");
  show->callback([path, &session] { run_show(session, *path); });
}

}  // namespace tmem::tool
