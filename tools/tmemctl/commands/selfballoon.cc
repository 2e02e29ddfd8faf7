// SPDX-License-Identifier: MIT
// selfballoon list, show, set, log: the tuning and the reports of guests' own ballooning. They speak to xenstore in dom0, and
// to no service.
#include "agent/attach.h"
#include "tmem/tmem_selfballoon.h"
#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/selfballoon_view.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

using Domains = std::vector<std::string>;

std::unique_ptr<agent::Store> open_store() {
  try {
    return std::make_unique<agent::XenStore>();
  } catch (const agent::StoreError& error) {
    throw Failure(ExitCode::kUnreachable, std::string(error.what()) + "; this command is for dom0");
  }
}

agent::Domid find(agent::StoreView& store, const std::string& name) {
  if (const auto id = agent::find_domain(store, name)) return *id;
  throw Failure(ExitCode::kNotFound, "there is no domain '" + printable(name) + "'; see xl list");
}

Json collect(agent::StoreView& store, const Domains& names) {
  Json domains = Json::array();
  if (names.empty()) {
    for (const agent::Domid id : selfballoon_domains(store)) domains.push_back(selfballoon_of(store, id));
  }
  for (const std::string& name : names) domains.push_back(selfballoon_of(store, find(store, name)));
  return domains;
}

std::string text_of(const Json& object, const char* key) {
  if (!object.contains(key)) return "-";
  return object[key].is_string() ? object[key].get<std::string>() : object[key].dump();
}

std::string size_of(const Json& object, const char* key, bool human) {
  return object.contains(key) && object[key].is_number_unsigned() ? format_bytes(object[key].get<uint64_t>() * 1024, human) : "-";
}

void print_list(Session& session, const Json& domains) {
  Table table({"<Name", "ID", "<State", "<Policy", session.human ? "Limit" : "Limit(MiB)", session.human ? "Target" : "Target(MiB)",
               session.human ? "Has" : "Has(MiB)", session.human ? "InTmem" : "InTmem(MiB)", "<Reason"});
  for (const Json& one : domains) {
    const Json& decision = one["decision"];
    table.add({one["name"].get<std::string>(), std::to_string(one["id"].get<unsigned>()), text_of(one["state"], "state"),
               text_of(one["state"], TMEM_SELFBALLOON_POLICY), size_of(one, "limit_kib", session.human), size_of(decision, "target_kib", session.human),
               size_of(decision, "current_kib", session.human), size_of(decision, "in_tmem_kib", session.human), text_of(decision, "reason")});
  }
  table.print(session.out);
}

void print_log(Session& session, const Json& domains) {
  for (const Json& one : domains) {
    for (const Json& move : one["log"]) {
      session.out << format_time_ms(move["time_s"].get<uint64_t>() * 1000) << " '" << one["name"].get<std::string>() << "' (" << one["id"] << ") "
                  << format_bytes_unit(move["from_kib"].get<uint64_t>() * 1024, session.human) << " -> "
                  << format_bytes_unit(move["target_kib"].get<uint64_t>() * 1024, session.human) << ": " << move["reason"].get<std::string>() << '\n';
    }
  }
}

enum class Form { kList, kShow, kLog };

void run_reading(Session& session, const Domains& names, Form form) {
  const auto store = open_store();
  const Json domains = collect(*store, names);
  if (session.json) {
    Json document = schema("selfballoon");
    document["domains"] = domains;
    print_json(session.out, document);
  } else if (form == Form::kList) {
    print_list(session, domains);
  } else if (form == Form::kLog) {
    print_log(session, domains);
  } else {
    for (const Json& one : domains) print_tree(session.out, one, session.human);
  }
}

void run_set(Session& session, const std::vector<std::string>& arguments) {
  Domains names;
  std::vector<std::string> settings;
  for (const std::string& word : arguments) (word.find('=') == std::string::npos ? names : settings).push_back(word);
  if (names.empty() || settings.empty()) throw Failure(ExitCode::kUsage, "at least one domain and one KEY=VALUE are needed; see xen-tmemctl selfballoon set --help");
  const TuningChange change = tuning_change(settings);
  const auto store = open_store();
  std::vector<agent::Domid> ids;
  for (const std::string& name : names) ids.push_back(find(*store, name));
  for (const agent::Domid id : ids) {
    if (!session.dry_run) apply_tuning(*store, id, change);
    else session.out << "would change " << change.write.size() + change.remove.size() << " keys below " << agent::tuning_path(id) << '\n';
  }
}

void add_one(CLI::App& group, Session& session, const char* name, const char* description, Form form) {
  auto names = std::make_shared<Domains>();
  CLI::App* command = add_reading(group, session, name, description);
  command->add_option("DOM", *names, "Names or ids of domains; without any, every one that reports or is tuned");
  command->callback([names, form, &session] { run_reading(session, *names, form); });
}

}  // namespace

void add_selfballoon_commands(CLI::App& app, Session& session) {
  CLI::App* group = app.add_subcommand("selfballoon", "Tune guests' self-ballooning and see what they report of it");
  group->require_subcommand(1);
  group->fallthrough();
  add_one(*group, session, "list", "A line for each guest: its limit, its target, and why", Form::kList);
  add_one(*group, session, "show", "Everything that is known of a guest's self-ballooning", Form::kShow);
  add_one(*group, session, "log", "The latest moves of a guest's balloon, as it reports them", Form::kLog);
  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* set = add_changing(*group, session, "set", "Tune guests while they run; what is not named stays");
  set->add_option("DOM KEY=VALUE", *words, "Domains, and keys of xl-tmem(5) without their tmem_; KEY= means the guest's own value again")->type_name("")->option_text("...");
  std::string keys = "Keys: selfballoon";
  for (const std::string& node : agent::tuning_nodes()) keys += " " + node;
  set->footer(keys + "\nExample: xen-tmemctl selfballoon set web1 web2 selfballoon_interval=2 selfballoon_policy=committed");
  set->callback([words, &session] { run_set(session, *words); });
}

}  // namespace tmem::tool
