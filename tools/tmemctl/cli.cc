// SPDX-License-Identifier: MIT
#include "tools/tmemctl/cli.h"

#include <cstdlib>

#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

constexpr const char* kProgram = "xen-tmemctl";

constexpr const char* kExamples =
    "Examples:\n"
    "  xen-tmemctl list                              clients and their pools\n"
    "  xen-tmemctl list --json | jq '.clients[].name'\n"
    "  xen-tmemctl set web1 weight=200 cap=2G        twice the usual share, at most 2 GiB\n"
    "  xen-tmemctl set -a compress=on                for every client; nothing else changes\n"
    "  xen-tmemctl freeze -a && xen-tmemctl flush -a 512M && xen-tmemctl thaw -a\n"
    "  xen-tmemctl destroy-pool web1 3 --force       its pages are lost to the guest\n"
    "  xen-tmemctl top -b -i 3 -d 1                  three samples, for a log\n"
    "  xen-tmemctl doctor                            what is wrong, and what to do\n"
    "Exit status: 0 done, 1 failed, 2 usage, 3 no such client or pool, 4 service not reachable,\n"
    "  5 not possible in this state, 6 answer cut off or not understood. See xen-tmemctl(1).";

void add_commands(CLI::App& app, Session& session) {
  add_list_commands(app, session);
  add_info_commands(app, session);
  add_top_command(app, session);
  add_events_command(app, session);
  add_doctor_command(app, session);
  add_policy_commands(app, session);
  add_space_commands(app, session);
  add_shared_commands(app, session);
  add_config_commands(app, session);
}

// The command that was named, for "see xen-tmemctl set --help".
std::string command_path(const CLI::App& app) {
  std::string path = kProgram;
  for (const CLI::App* command = &app; !command->get_subcommands().empty();) {
    command = command->get_subcommands().front();
    path += " " + command->get_name();
  }
  return path;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

int run_tmemctl(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err) {
  Session session{out, err};
  CLI::App app("Steer and watch xen-tmemd, the service that keeps guests' pages", kProgram);
  app.set_version_flag("--version", std::string(kProgram) + " " + TMEM_VERSION);
  app.set_help_all_flag("--help-all", "Help for every command");
  app.add_option("--socket", session.socket_path, "Control socket of the service")->envname("XEN_TMEM_CONTROL")->capture_default_str();
  app.add_option("--timeout", session.timeout_seconds, "Seconds to wait for an answer")->check(CLI::Range(0.001, 86400.0))->capture_default_str();
  app.require_subcommand(1);
  app.footer(kExamples);
  add_commands(app, session);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    return static_cast<int>(session.exit_code);
  } catch (const CLI::Success& asked) {  // help or version
    return app.exit(asked, out, err);
  } catch (const CLI::ParseError& error) {
    err << kProgram << ": " << printable(first_line(error.what())) << "; see " << command_path(app) << " --help\n";
    return static_cast<int>(ExitCode::kUsage);
  } catch (const Failure& failure) {
    err << kProgram << ": " << failure.what() << '\n';
    return static_cast<int>(failure.code());
  }
}

}  // namespace tmem::tool
