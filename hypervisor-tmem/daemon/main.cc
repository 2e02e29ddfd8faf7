// SPDX-License-Identifier: MIT
// xen-tmemd: arguments, configuration, then either the supervisor or the service.
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "daemon/base/failpoint.h"
#include "daemon/base/init.h"
#include "daemon/base/log.h"
#include "daemon/base/supervisor.h"
#include "daemon/config/config.h"
#include "daemon/service.h"
#include "daemon/version.h"

namespace {

struct Arguments {
  std::string config_path;
  std::string check_path;
  bool supervise = false;
  bool no_supervisor = false;
};

std::string footer() {
  std::string text =
      "Keeps guests' pages compressed in memory and serves them over shared rings. Without options: reads\n"
      "/etc/xen/tmem.conf and its drop-ins, starts a small supervisor and under it the service, which is started\n"
      "again after a crash with all pages. Under a service manager that keeps descriptors (NOTIFY_SOCKET is set)\n"
      "there is no supervisor of our own. As process 1 under the name init it is all of a tmem domain's user space.\n\n"
      "Signals: SIGTERM, SIGINT: stop; all memory is freed. SIGHUP (to the supervisor): start the service anew, pages stay.\n"
      "Exit status: 0 stopped cleanly; 1 failure; 2 wrong arguments; 3 wrong configuration; 4 another one serves the sockets.\n\n"
      "Keys of the configuration:\n";
  for (const tmem::ConfigKey& key : tmem::config_keys()) {
    text += "  " + std::string(key.name) + " = " + std::string(key.default_value) + "\n      " + std::string(key.meaning) + "; " + std::string(key.allowed) + "\n";
  }
  return text + "\nManual pages: xen-tmemd(8), xen-tmem.conf(5), xen-tmemctl(1).";
}

void declare(CLI::App& app, Arguments& arguments) {
  app.add_option("-c,--config", arguments.config_path, "Read this file and FILE.d/*.conf instead of the standard places")->type_name("FILE");
  app.add_option("--check-config", arguments.check_path, "Judge the configuration (of FILE, or of the standard places) and end")
      ->type_name("[FILE]")
      ->expected(0, 1);
  app.add_flag("--supervise", arguments.supervise, "Run under a supervisor of our own, also under a service manager");
  app.add_flag("--no-supervisor", arguments.no_supervisor, "Serve in this process; a crash loses pages unless a service manager keeps them")
      ->excludes("--supervise");
  app.set_version_flag("--version", std::string("xen-tmemd ") + tmem::kVersion);
  app.footer(footer());
}

bool print_errors(const std::vector<tmem::ConfigError>& errors) {
  for (const tmem::ConfigError& error : errors) std::fprintf(stderr, "xen-tmemd: %s\n", error.to_string().c_str());
  return !errors.empty();
}

// Rings, doorbells and sockets of thousands of clients are descriptors.
void raise_descriptor_limit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int supervise(const Arguments& arguments) {
  std::vector<std::string> command{"/proc/self/exe", "--no-supervisor"};
  if (!arguments.config_path.empty()) command.insert(command.end(), {"--config", arguments.config_path});
  return tmem::Supervisor(std::move(command)).run();
}

int run(int argc, char** argv) {
  CLI::App app("xen-tmemd: transcendent memory for Xen guests and local processes");
  Arguments arguments;
  declare(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // help or version
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    const std::string text = error.what();
    std::fprintf(stderr, "xen-tmemd: %s; see xen-tmemd --help\n", text.substr(0, text.find('\n')).c_str());
    return tmem::kExitUsage;
  }
  const bool check = app.count("--check-config") != 0;
  const std::string path = check && !arguments.check_path.empty() ? arguments.check_path : arguments.config_path;
  std::vector<tmem::ConfigError> errors;
  const tmem::Config config = tmem::load_config(path, tmem::HostFigures::read(), errors);
  if (print_errors(errors)) return tmem::kExitConfig;
  if (check) {
    std::puts("the configuration is good");
    return tmem::kExitOk;
  }
  tmem::set_log_level(config.log_level);
  signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  if (!arguments.no_supervisor && (arguments.supervise || std::getenv("NOTIFY_SOCKET") == nullptr)) return supervise(arguments);
  tmem::set_failpoint_from_environment();
  return tmem::Service(config, path.empty() ? tmem::kConfigPathDefault : path).run();
}

}  // namespace

int main(int argc, char** argv) {
  switch (tmem::role_of(argc > 0 ? argv[0] : "", getpid() == 1)) {
    case tmem::Role::kInit:
      tmem::prepare_machine();
      tmem::power_off(run(1, argv));  // words of the kernel's command line are no arguments of ours
    case tmem::Role::kPoweroff:
      return tmem::ask_for_power_off();
    case tmem::Role::kProgram:
      break;
  }
  return run(argc, argv);
}
