// SPDX-License-Identifier: MIT
// shared-auth: which clients may join the shared pools of a UUID. Revoking takes a client out of a pool it has joined.
#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

struct SharedOptions {
  Target target;
  std::vector<std::string> words;  // [CLIENT] UUID allow|deny
  std::string uuid, allow;
};

void run_shared(Session& session, const Target& target, const std::string& uuid, bool allow) {
  if (session.dry_run) {
    control::ListClients::Reply reply = list_clients(session, target, false);
    for (const control::Client& client : reply.clients())
      session.out << "would " << (allow ? "allow " : "deny ") << describe(client) << " the shared pools of " << uuid << '\n';
    return;
  }
  control::Request request;
  auto& body = *request.mutable_shared_auth();
  select(body, target);
  body.set_uuid(uuid);
  body.set_allow(allow);
  control::Reply reply = session.call(std::move(request));
  if (reply.shared_auth().clients_changed() == 0) session.err << "xen-tmemctl: there is no client, so nothing was changed\n";
}

bool parse_allow(const std::string& word) {
  if (word == "allow") return true;
  if (word == "deny") return false;
  throw Failure(ExitCode::kUsage, "cannot use '" + printable(word) + "': allow or deny is needed");
}

void add_shared_auth(CLI::App& app, Session& session) {
  auto options = std::make_shared<SharedOptions>();
  CLI::App* command = add_changing(app, session, "shared-auth", "Let clients join the shared pools of a UUID, or stop them");
  command->add_option("CLIENT UUID allow|deny", options->words, "Name or id of a client, the pools' UUID, and what is said")->type_name("")->option_text("");
  command->add_flag("-a,--all", options->target.all, "All clients");
  command->footer("deny takes a client out of a pool that it has joined; the other members keep every page.\n"
                  "Example: xen-tmemctl shared-auth web1 1b4e28ba-2fa1-11d2-883f-0016d3cca427 allow");
  command->callback([options, &session] {
    std::vector<std::string> words = options->words;
    if (!options->target.all && !words.empty()) {
      options->target.client = words.front();
      words.erase(words.begin());
    }
    require_target(options->target);
    if (words.size() != 2) throw Failure(ExitCode::kUsage, "after " + describe(options->target) + " a UUID and allow or deny are needed");
    run_shared(session, options->target, parse_uuid(words[0]), parse_allow(words[1]));
  });
}

void add_tmem_shared_auth(CLI::App& app, Session& session) {
  auto options = std::make_shared<SharedOptions>();
  CLI::App* command = add_changing(app, session, "tmem-shared-auth", "xl's name for shared-auth");
  add_target(*command, options->target);
  command->add_option("-u,--uuid", options->uuid, "UUID of the shared pools")->required();
  command->add_option("-A,--auth", options->allow, "1: allow, 0: deny")->required();
  command->callback([options, &session] {
    require_target(options->target);
    run_shared(session, options->target, parse_uuid(options->uuid), parse_switch(options->allow, "-A"));
  });
}

}  // namespace

void add_shared_commands(CLI::App& app, Session& session) {
  add_shared_auth(app, session);
  add_tmem_shared_auth(app, session);
}

}  // namespace tmem::tool
