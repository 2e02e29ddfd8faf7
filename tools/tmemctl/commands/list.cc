// SPDX-License-Identifier: MIT
// list: who is there, and which pools they have. One table for people, the whole tree for programs.
#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/commands/figures.h"
#include "tools/tmemctl/json.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

struct ListOptions {
  Target target;
  bool long_form = false;
  bool clients_only = false;
};

std::vector<std::string> client_row(const control::Client& client, bool human) {
  const control::Policy& policy = client.policy();
  std::string type = std::to_string(client.pools_size()) + (client.pools_size() == 1 ? " pool" : " pools");
  return {printable(client.name()),
          std::to_string(client.id()),
          state_word(client),
          type,
          std::to_string(pages(client.space())),
          format_bytes(pages(client.space()) * kPageBytes, human),
          format_bytes(client.space().bytes_compressed(), human),
          compression_ratio(client.space()),
          hit_percent(client.ops()),
          std::to_string(policy.weight()),
          policy.cap_pages() == 0 ? "-" : format_bytes(policy.cap_pages() * kPageBytes, human)};
}

std::vector<std::string> pool_row(const control::Client& client, const control::Pool& pool, bool human) {
  return {"  " + printable(client.name()) + "/" + std::to_string(pool.id()),
          std::to_string(client.id()),
          "",
          type_word(pool),
          std::to_string(pages(pool.space())),
          format_bytes(pages(pool.space()) * kPageBytes, human),
          format_bytes(pool.space().bytes_compressed(), human),
          compression_ratio(pool.space()),
          hit_percent(pool.ops()),
          "",
          ""};
}

void print_table(Session& session, const control::ListClients::Reply& reply, bool clients_only) {
  const bool human = session.human;
  Table table({"<Name", "ID", "<State", "<Type", "Pages", human ? "Size" : "MiB", human ? "Stored" : "Stored(MiB)", "Ratio", "Hit%",
               "Weight", human ? "Cap" : "Cap(MiB)"});
  for (const control::Client& client : reply.clients()) {
    table.add(client_row(client, human));
    if (clients_only) continue;
    for (const control::Pool& pool : client.pools()) table.add(pool_row(client, pool, human));
  }
  table.print(session.out);
}

void run_list(Session& session, const ListOptions& options) {
  control::Request request;
  auto& body = *request.mutable_list_clients();
  select(body, options.target);
  body.set_pools(true);
  body.set_authorised(true);
  control::Reply reply = session.call(std::move(request));
  Json json = to_json(reply.list_clients());
  if (session.json) {
    Json document = schema("list");
    document.update(json);
    print_json(session.out, document);
  } else if (options.long_form) {
    print_tree(session.out, json, session.human);
  } else {
    print_table(session, reply.list_clients(), options.clients_only);
  }
}

void add_list(CLI::App& app, Session& session) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* list = add_reading(app, session, "list", "List clients, and under each its pools");
  list->add_option("CLIENT", options->target.client, "Only this client: its name or id");
  list->add_flag("-l,--long", options->long_form, "Everything that is known, one value on a line");
  list->add_flag("-c,--clients", options->clients_only, "Only the clients' lines");
  list->add_flag("-a,--all", options->target.all, "All clients; the default");
  list->footer("Columns: Pages held and their MiB as the guest sees them, the MiB that they take compressed, the ratio of the two,\n"
               "gets that found their page, weight, and cap. A pool is named CLIENT/POOL.\n"
               "Examples: xen-tmemctl list; xen-tmemctl list -l web1; xen-tmemctl list --json");
  list->callback([options, &session] {
    if (options->target.client.empty()) options->target.all = true;
    require_target(options->target);
    run_list(session, *options);
  });
}

void add_tmem_list(CLI::App& app, Session& session) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* list = add_reading(app, session, "tmem-list", "xl's name for list");
  add_target(*list, options->target);
  list->add_flag("-l,--long", options->long_form, "Everything that is known, one value on a line");
  list->callback([options, &session] {
    require_target(options->target);
    run_list(session, *options);
  });
}

// What the shell's completion asks: one word on a line, and silence when there is no service.
void add_complete(CLI::App& app, Session& session) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* complete = app.add_subcommand("complete", "")->group("");
  complete->fallthrough();
  complete->add_option("CLIENT", options->target.client, "Its pools instead of the clients");
  complete->callback([options, &session] {
    options->target.all = options->target.client.empty();
    control::ListClients::Reply reply = list_clients(session, options->target, !options->target.all);
    for (const control::Client& client : reply.clients()) {
      if (options->target.all) session.out << printable(client.name()) << '\n';
      for (const control::Pool& pool : client.pools())
        if (!options->target.all) session.out << pool.id() << '\n';
    }
  });
}

}  // namespace

void add_list_commands(CLI::App& app, Session& session) {
  add_list(app, session);
  add_tmem_list(app, session);
  add_complete(app, session);
}

}  // namespace tmem::tool
