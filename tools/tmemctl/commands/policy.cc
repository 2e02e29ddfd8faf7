// SPDX-License-Identifier: MIT
// set, freeze, thaw: only what is named changes. With -a the service applies that to each client on its own, so a weight
// given to all leaves every other setting of every client as it was.
#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/commands/figures.h"
#include "tools/tmemctl/json.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

struct SetOptions {
  Target target;
  std::vector<std::string> words;  // [CLIENT] key=value...
  std::string weight, cap, compress;
};

uint64_t parse_pages(const std::string& value, const std::string& what) {
  uint64_t bytes = value == "none" ? 0 : parse_size(value, what);
  if (bytes > 0 && bytes < kPageBytes)
    throw Failure(ExitCode::kUsage, "cannot use '" + printable(value) + "' as " + what + ": it is less than a page of 4 KiB; none is 0");
  return bytes / kPageBytes;
}

std::string dedup_group(const std::string& value) {
  if (value == "off") return "";
  return value == "on" ? "self" : value;
}

void apply(control::Policy& policy, const std::string& key, const std::string& value) {
  if (key == "weight")
    policy.set_weight(static_cast<uint32_t>(parse_number(value, "a weight", UINT32_MAX)));
  else if (key == "cap")
    policy.set_cap_pages(parse_pages(value, "a cap"));
  else if (key == "min")
    policy.set_min_pages(parse_pages(value, "a minimum"));
  else if (key == "compress")
    policy.set_compress(parse_switch(value, "compress"));
  else if (key == "dedup")
    policy.set_dedup_group(dedup_group(value));
  else
    throw Failure(ExitCode::kUsage, "there is no setting '" + printable(key) + "'; there are weight, cap, min, compress and dedup");
}

// A policy as lines of what differs, for -n. The names are those of the JSON.
void print_plan(Session& session, const Target& target, const control::Policy& wanted) {
  Json changes = to_json(wanted);
  control::ListClients::Reply reply = list_clients(session, target, false);
  for (const control::Client& client : reply.clients()) {
    Json now = to_json(client.policy());
    for (const auto& [name, value] : changes.items()) {
      std::string old = now.contains(name) ? now[name].dump() : "unset";
      session.out << "would set " << name << " of " << describe(client) << ": " << printable(old) << " -> " << printable(value.dump()) << '\n';
    }
  }
}

void run_set(Session& session, const Target& target, const control::Policy& policy) {
  if (session.dry_run) return print_plan(session, target, policy);
  control::Request request;
  auto& body = *request.mutable_set_policy();
  select(body, target);
  *body.mutable_policy() = policy;
  control::Reply reply = session.call(std::move(request));
  if (reply.set_policy().clients_changed() == 0) session.err << "xen-tmemctl: there is no client, so nothing was changed\n";
}

void parse_words(SetOptions& options, control::Policy& policy) {
  for (const std::string& word : options.words) {
    size_t equals = word.find('=');
    if (equals != std::string::npos)
      apply(policy, word.substr(0, equals), word.substr(equals + 1));
    else if (options.target.client.empty())
      options.target.client = word;
    else
      throw Failure(ExitCode::kUsage, "cannot use '" + printable(word) + "' as a setting: KEY=VALUE is needed");
  }
}

void add_set(CLI::App& app, Session& session) {
  auto options = std::make_shared<SetOptions>();
  CLI::App* set = add_changing(app, session, "set", "Change the policy of a client; what is not named stays");
  set->add_option("CLIENT KEY=VALUE", options->words, "Name or id of a client, and settings")->type_name("")->option_text("...");
  set->add_flag("-a,--all", options->target.all, "All clients, each on its own");
  set->footer(
      "Settings:\n"
      "  weight=N               share of ephemeral space under pressure; 100 is usual, 0 is first to be evicted\n"
      "  cap=SIZE|none          most pages, ephemeral and persistent together\n"
      "  min=SIZE|none          ephemeral pages below this are not evicted for others\n"
      "  compress=on|off\n"
      "  dedup=off|self|GROUP   share equal ephemeral pages: not at all, inside the client, with clients of that group\n"
      "SIZE: 512M, 2G, 65536k; a bare number is MiB.\n"
      "Examples: xen-tmemctl set web1 weight=200 cap=2G; xen-tmemctl set -a weight=100; xen-tmemctl set -n 7 min=64M");
  set->callback([options, &session] {
    control::Policy policy;
    parse_words(*options, policy);
    require_target(options->target);
    if (to_json(policy).empty()) throw Failure(ExitCode::kUsage, "no setting was given for " + describe(options->target) + "; see xen-tmemctl set --help");
    run_set(session, options->target, policy);
  });
}

void add_tmem_set(CLI::App& app, Session& session) {
  auto options = std::make_shared<SetOptions>();
  CLI::App* set = add_changing(app, session, "tmem-set", "xl's name for set");
  add_target(*set, options->target);
  set->add_option("-w", options->weight, "Weight");
  set->add_option("-c", options->cap, "Cap, in MiB or with a unit; 0: none");
  set->add_option("-p", options->compress, "Compress: 0 or 1");
  set->callback([options, &session] {
    require_target(options->target);
    control::Policy policy;
    if (!options->weight.empty()) apply(policy, "weight", options->weight);
    if (!options->cap.empty()) apply(policy, "cap", options->cap);
    if (!options->compress.empty()) apply(policy, "compress", options->compress);
    if (to_json(policy).empty()) throw Failure(ExitCode::kUsage, "one of -w, -c and -p is needed");
    run_set(session, options->target, policy);
  });
}

void add_frozen(CLI::App& app, Session& session, const std::string& name, bool frozen, const std::string& description) {
  for (const std::string& verb : {name, "tmem-" + name}) {
    auto target = std::make_shared<Target>();
    CLI::App* command = add_changing(app, session, verb, verb == name ? description : "xl's name for " + name);
    add_target(*command, *target);
    command->callback([target, frozen, &session] {
      require_target(*target);
      control::Policy policy;
      policy.set_frozen(frozen);
      run_set(session, *target, policy);
    });
  }
}

}  // namespace

void add_policy_commands(CLI::App& app, Session& session) {
  add_set(app, session);
  add_tmem_set(app, session);
  add_frozen(app, session, "freeze", true, "Take no new pages from a client; gets and flushes go on");
  add_frozen(app, session, "thaw", false, "Take new pages again");
}

}  // namespace tmem::tool
