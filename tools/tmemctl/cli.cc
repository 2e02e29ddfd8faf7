// SPDX-License-Identifier: MIT
#include "tools/tmemctl/cli.h"

#include <string_view>
#include <vector>

#include "daemon/config/config.h"
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
  add_attach_commands(app, session);
  add_space_commands(app, session);
  add_room_command(app, session);
  add_shared_commands(app, session);
  add_selfballoon_commands(app, session);
  add_config_commands(app, session);
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// The command that was named, as far as it is one.
const CLI::App& named_command(const CLI::App& app) {
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  return *command;
}

// For "see xen-tmemctl set --help".
std::string command_path(const CLI::App& command) {
  return command.get_parent() == nullptr ? kProgram : command_path(*command.get_parent()) + " " + command.get_name();
}

// What may stand where the wrong word does: commands, or options with their dashes.
std::vector<std::string> expected_words(const CLI::App& command, bool options) {
  std::vector<std::string> words;
  if (!options)
    for (const CLI::App* one : command.get_subcommands([](const CLI::App* each) { return !each->get_group().empty(); })) words.push_back(one->get_name());
  for (const CLI::App* place = options ? &command : nullptr; place != nullptr; place = place->get_parent())
    for (const CLI::Option* option : place->get_options())
      for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  return words;
}

// CLI11 says of a misspelt command only that one is required, and of a misspelt option only that it is not expected.
std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = named_command(app);
  const std::string help = "see " + command_path(command) + " --help";
  for (const std::string& word : app.remaining(true)) {
    const bool is_option = word.starts_with("-");
    const std::vector<std::string> words = expected_words(command, is_option);
    if (words.empty()) break;
    const std::string_view near = nearest_word(word, std::vector<std::string_view>(words.begin(), words.end()));
    if (near == word) return "option '" + printable(word) + "' stands behind its command: " + command_path(command) + " " + printable(word);
    return std::string("unknown ") + (is_option ? "option '" : "command '") + printable(word) + "'; " +
           (near.empty() ? help : "did you mean '" + std::string(near) + "'?");
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && !command.get_subcommands({}).empty()) return "no command was given; " + help;
  return printable(first_line(error.what())) + "; " + help;
}

}  // namespace

int run_tmemctl(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err) {
  Session session{out, err};
  CLI::App app("Steer and watch xen-tmemd, the service that keeps guests' pages", kProgram);
  app.set_version_flag("--version", std::string(kProgram) + " " + TMEM_VERSION);
  app.set_help_all_flag("--help-all", "Help for every command");
  CLI::Option* socket = app.add_option("--socket", session.wish.socket_path, "Control socket of a service on this machine");
  socket->envname("XEN_TMEM_CONTROL")->capture_default_str();
  socket->each([&session](const std::string&) { session.wish.socket_given = true; });
  app.add_option("--domain", session.wish.domain, "Domain in which the service runs: name or number; else the one that xen-tmem-agent knows")->type_name("DOM");
  app.add_option("--timeout", session.timeout_seconds, "Seconds to wait for an answer")->check(seconds_within(0.001, 86400))->capture_default_str();
  app.require_subcommand(1);
  app.footer(kExamples);
  add_commands(app, session);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    return static_cast<int>(session.exit_code);
  } catch (const CLI::Success& asked) {  // help or version
    return app.exit(asked, out, err);
  } catch (const CLI::ParseError& error) {
    err << kProgram << ": " << explain(app, error) << '\n';
    return static_cast<int>(ExitCode::kUsage);
  } catch (const Failure& failure) {
    err << kProgram << ": " << failure.what() << '\n';
    return static_cast<int>(failure.code());
  }
}

}  // namespace tmem::tool
