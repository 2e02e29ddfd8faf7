// SPDX-License-Identifier: MIT
// info, stats, freeable: the service as a whole, and its counters.
#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/commands/figures.h"
#include "tools/tmemctl/json.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

control::Info::Reply get_info(Session& session) {
  control::Request request;
  request.mutable_info();
  return std::move(*session.call(std::move(request)).mutable_info());
}

void emit(Session& session, const char* name, const Json& body) {
  if (!session.json) return print_tree(session.out, body, session.human);
  Json document = schema(name);
  document.update(body);
  print_json(session.out, document);
}

Json shard_totals(const control::Info::Reply& info) {
  Json totals;
  for (const control::Shard& shard : info.shards()) add_numbers(totals, to_json(shard));
  if (totals.is_object()) totals.erase("id");
  return totals.is_null() ? Json::object() : totals;
}

void run_info(Session& session) {
  control::Info::Reply info = get_info(session);
  Json body = to_json(info);
  Json shards = std::move(body["shards"]);
  body.erase("shards");
  body["totals"] = shard_totals(info);
  body["shards"] = std::move(shards);
  if (!session.json) body["shards"] = info.shards_size();  // the figures of each are for: stats
  emit(session, "info", body);
}

Json client_stats(const control::Client& client, bool with_pools) {
  Json all = to_json(client), chosen = Json::object();
  for (const char* name : {"id", "name", "requests", "requests_malformed", "refused", "doorbells_sent", "credits", "ops", "space"})
    chosen[name] = all[name];
  if (!with_pools) return chosen;
  chosen["pools"] = Json::array();
  for (const Json& pool : all["pools"])
    chosen["pools"].push_back({{"id", pool["id"]}, {"ops", pool["ops"]}, {"space", pool["space"]}});
  return chosen;
}

void run_stats(Session& session, const Target& target) {
  control::ListClients::Reply reply = list_clients(session, target, !target.all);
  Json clients = Json::array(), totals = to_json(control::Client{});
  totals = {{"ops", totals["ops"]}, {"space", totals["space"]}};
  for (const control::Client& client : reply.clients()) {
    Json one = client_stats(client, !target.all);
    for (const char* group : {"ops", "space"}) add_numbers(totals[group], one[group]);
    clients.push_back(std::move(one));
  }
  Json body = Json::object();
  if (target.all) {
    body["totals"] = std::move(totals);
    body["shards"] = to_json(get_info(session))["shards"];
  }
  body["clients"] = std::move(clients);
  emit(session, "stats", body);
}

void run_freeable(Session& session) {
  control::Request request;
  request.mutable_freeable();
  uint64_t bytes = session.call(std::move(request)).freeable().bytes();
  if (session.json) return emit(session, "freeable", {{"bytes", bytes}});
  // As xl did: the number alone, in MiB, so that scripts can add it up.
  session.out << (session.human ? format_bytes(bytes, true) : std::to_string(bytes >> 20)) << '\n';
}

}  // namespace

void add_info_commands(CLI::App& app, Session& session) {
  add_reading(app, session, "info", "Describe the service: version, memory, shards")->callback([&session] { run_info(session); });

  auto target = std::make_shared<Target>();
  CLI::App* stats = add_reading(app, session, "stats", "Counters of the service, or of one client and its pools");
  stats->add_option("CLIENT", target->client, "Name or id of a client");
  stats->footer("Counters run since the service started. Example: xen-tmemctl stats web1 --json");
  stats->callback([target, &session] {
    target->all = target->client.empty();
    run_stats(session, *target);
  });

  for (const char* name : {"freeable", "tmem-freeable"}) {
    bool old = std::string_view(name) != "freeable";
    CLI::App* freeable = add_reading(app, session, name, old ? "xl's name for freeable" : "MiB that a smaller memory target would free, and what lies empty");
    freeable->callback([&session] { run_freeable(session); });
  }
}

}  // namespace tmem::tool
