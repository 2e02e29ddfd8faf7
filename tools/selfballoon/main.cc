// SPDX-License-Identifier: MIT
// xen-selfballoond: see xen-selfballoond(8). Command line, checks whether there is anything to do here, and the loop.
#include <sys/mman.h>
#include <syslog.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "selfballoon/daemon.h"

namespace {
using namespace tmem::selfballoon;

struct Arguments {
  std::vector<std::string> settings;
  std::string run_file = "/run/xen-selfballoond";
  bool release = false;
  bool dry_run = false;
  bool debug = false;
};

std::string key_help() {
  std::string text = "Keys, with their default (dom0's memory/tmem/selfballoon/KEY wins):\n  " TMEM_SELFBALLOON_POLICY " (pressure): pressure or committed\n";
  for (const KeyInfo& key : number_keys()) text += std::string("  ") + key.name + " (" + std::to_string(key.standard) + "): " + key.meaning + "\n";
  return text;
}

// Settings of the command line; an error is said and false.
bool apply_settings(const std::vector<std::string>& settings, Params& params) {
  for (const std::string& setting : settings) {
    const size_t equals = setting.find('=');
    const auto reason = equals == std::string::npos ? std::optional<std::string>("KEY=VALUE is needed")
                                                    : set(params, setting.substr(0, equals), setting.substr(equals + 1));
    if (!reason) continue;
    std::fprintf(stderr, "xen-selfballoond: --set %s: %s\n", setting.c_str(), reason->c_str());
    return false;
  }
  return true;
}

int serve(const Arguments& arguments, const Params& own) {
  const auto log = [&](int priority, const std::string& text) {
    if (priority <= LOG_INFO || arguments.debug) std::fprintf(stderr, "<%d>xen-selfballoond: %s\n", priority, text.c_str());
  };
  System system;
  if (const char* why = system.nothing_to_do()) {
    std::fprintf(stderr, "xen-selfballoond: %s; does nothing\n", why);
    return 0;
  }
  tmem::agent::XenStore store;
  Daemon daemon(system, store, own, arguments.run_file, arguments.dry_run, log);
  if (arguments.release) {
    daemon.release();
    return 0;
  }
  // It has to run when memory is short.
  if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) log(LOG_WARNING, "its own memory cannot be locked; it may be slow when memory is short");
  log(LOG_INFO, "serves; " + std::string(to_string(daemon.params().policy)) + " policy");
  return run(daemon, store, system, log);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Gives memory that this Xen guest does not need to others, and takes it back when it does."};
  Arguments arguments;
  app.add_option("-s,--set", arguments.settings, "a default of this guest's own; repeatable")->type_name("KEY=VALUE");
  app.add_option("--run-file", arguments.run_file, "where to note what the balloon looked like at the first start")->capture_default_str();
  app.add_flag("--release", arguments.release, "let the balloon go and end");
  app.add_flag("-n,--dry-run", arguments.dry_run, "decide and report, but move nothing");
  app.add_flag("--debug", arguments.debug, "say every decision");
  app.footer(key_help());
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // help
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    const std::string text = error.what();
    std::fprintf(stderr, "xen-selfballoond: %s; see xen-selfballoond --help\n", text.substr(0, text.find('\n')).c_str());
    return 2;
  }
  Params own;
  if (!apply_settings(arguments.settings, own)) return 2;
  try {
    return serve(arguments, own);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "xen-selfballoond: %s\n", error.what());
    return 1;
  }
}
