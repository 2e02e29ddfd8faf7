// SPDX-License-Identifier: MIT
// flush, destroy-pool, forget, set-memory: what gives pages or memory back. -n asks the service what is there and says what
// would go.
#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/commands/figures.h"
#include "tools/tmemctl/json.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

struct FlushOptions {
  bool all = false;
  std::vector<std::string> words;  // [CLIENT] [SIZE]
};

struct PoolOptions {
  std::string client, pool;
  bool force = false;
};

std::string mebibytes(uint64_t page_count) { return format_bytes_unit(page_count * kPageBytes, false); }

void plan_flush(Session& session, const Target& target, uint64_t bytes) {
  control::ListClients::Reply reply = list_clients(session, target, false);
  uint64_t there = 0;
  for (const control::Client& client : reply.clients()) there += client.space().pages_ephemeral();
  std::string most = bytes == 0 ? "all" : "up to " + format_bytes_unit(bytes, false) + " compressed";
  session.out << "would flush " << most << " of the " << there << " ephemeral pages (" << mebibytes(there) << ") of " << describe(target) << '\n';
}

void run_flush(Session& session, const FlushOptions& options) {
  Target target{"", options.all};
  size_t clients = options.all ? 0 : 1;
  if (options.words.size() >= 1 && clients == 1) target.client = options.words[0];
  require_target(target);
  if (options.words.size() > clients + 1)
    throw Failure(ExitCode::kUsage, "cannot use '" + printable(options.words[clients + 1]) + "': after " + describe(target) + " only a size is needed");
  uint64_t bytes = 0;
  if (options.words.size() == clients + 1) {
    bytes = parse_size(options.words[clients], "a size");
    if (bytes == 0) throw Failure(ExitCode::kUsage, "a size of 0 flushes nothing; leave it out to flush every ephemeral page");
  }
  if (session.dry_run) return plan_flush(session, target, bytes);
  control::Request request;
  select(*request.mutable_flush(), target);
  request.mutable_flush()->set_bytes(bytes);
  uint64_t pages_flushed = session.call(std::move(request)).flush().pages_flushed();
  session.out << "flushed " << pages_flushed << " pages (" << mebibytes(pages_flushed) << " of guests' pages)\n";
}

void plan_destroy(Session& session, const PoolOptions& options, uint32_t pool_id) {
  control::ListClients::Reply reply = list_clients(session, {options.client, false}, true);
  for (const control::Client& client : reply.clients())
    for (const control::Pool& pool : client.pools()) {
      if (pool.id() != pool_id) continue;
      session.out << "would destroy the " << type_word(pool) << " pool " << pool_id << " of " << describe(client) << " with " << pages(pool.space()) << " pages"
                  << (pool.persistent() && !options.force ? "; --force is needed, because the guest loses them" : "") << '\n';
      return;
    }
  throw Failure(ExitCode::kNotFound, "'" + printable(options.client) + "' has no pool " + std::to_string(pool_id) + "; see: xen-tmemctl list " +
                                         printable(options.client));
}

void run_destroy(Session& session, const PoolOptions& options) {
  uint32_t pool_id = static_cast<uint32_t>(parse_number(options.pool, "the id of a pool", UINT32_MAX));
  if (session.dry_run) return plan_destroy(session, options, pool_id);
  control::Request request;
  auto& body = *request.mutable_destroy_pool();
  *body.mutable_client() = selector(options.client);
  body.set_pool(pool_id);
  body.set_force(options.force);
  uint64_t gone = session.call(std::move(request)).destroy_pool().pages_destroyed();
  session.out << "destroyed pool " << pool_id << " of '" << printable(options.client) << "' with " << gone << " pages\n";
}

void run_forget(Session& session, const std::string& name) {
  if (session.dry_run) {
    control::ListClients::Reply reply = list_clients(session, {name, false}, false);
    for (const control::Client& client : reply.clients())
      session.out << "would forget " << describe(client) << ", which is " << state_word(client) << ", with " << pages(client.space()) << " pages\n";
    return;
  }
  control::Request request;
  *request.mutable_forget()->mutable_client() = selector(name);
  uint64_t gone = session.call(std::move(request)).forget().pages_destroyed();
  session.out << "forgot '" << printable(name) << "' with " << gone << " pages\n";
}

void run_set_memory(Session& session, const std::string& size) {
  uint64_t bytes = parse_size(size, "the memory of the service");
  if (bytes == 0) throw Failure(ExitCode::kUsage, "a service of 0 MiB keeps nothing; stop it instead: systemctl stop xen-tmemd");
  control::Request request;
  if (session.dry_run) {
    request.mutable_info();
    uint64_t now = 0;
    control::Reply reply = session.call(std::move(request));
    for (const control::Shard& shard : reply.info().shards()) now += shard.memory_bytes_target();
    session.out << "would set the memory of the service: " << format_bytes_unit(now, false) << " -> " << format_bytes_unit(bytes, false) << '\n';
    return;
  }
  request.mutable_set_memory()->set_bytes(bytes);
  uint64_t before = session.call(std::move(request)).set_memory().bytes_before();
  session.out << "memory of the service: " << format_bytes_unit(before, false) << " -> " << format_bytes_unit(bytes, false) << '\n';
}

void add_flush(CLI::App& app, Session& session) {
  auto options = std::make_shared<FlushOptions>();
  CLI::App* flush = add_changing(app, session, "flush", "Drop ephemeral pages, to free memory");
  flush->add_option("CLIENT SIZE", options->words, "Name or id of a client; at most that much, else everything ephemeral")->type_name("")->option_text("");
  flush->add_flag("-a,--all", options->all, "Of all clients, by weight");
  flush->footer("No guest loses anything but time: what is flushed is clean and is read again from disk.\n"
                "Examples: xen-tmemctl flush web1; xen-tmemctl flush -a 512M");
  flush->callback([options, &session] { run_flush(session, *options); });
}

void add_destroy(CLI::App& app, Session& session) {
  auto options = std::make_shared<PoolOptions>();
  CLI::App* destroy = add_changing(app, session, "destroy-pool", "Destroy one pool of a client");
  destroy->add_option("CLIENT", options->client, "Name or id of a client")->required();
  destroy->add_option("POOL", options->pool, "Number of the pool")->required();
  destroy->add_flag("-f,--force", options->force, "Also a persistent pool: its pages are lost to the guest");
  destroy->footer("Example: xen-tmemctl destroy-pool web1 3");
  destroy->callback([options, &session] { run_destroy(session, *options); });
}

void add_one_word(CLI::App& app, Session& session, const char* name, const char* description, const char* word, const char* word_help,
                  const char* footer, void (*run)(Session&, const std::string&)) {
  auto value = std::make_shared<std::string>();
  CLI::App* command = add_changing(app, session, name, description);
  command->add_option(word, *value, word_help)->required();
  command->footer(footer);
  command->callback([value, run, &session] { run(session, *value); });
}

}  // namespace

void add_space_commands(CLI::App& app, Session& session) {
  add_flush(app, session);
  add_destroy(app, session);
  add_one_word(app, session, "forget", "Free the pools of a client that is away (suspended or recovered)", "CLIENT",
               "Name or id of a client", "Its guest is told that the pages are gone, should it come back. Example: xen-tmemctl forget web1", run_forget);
  add_one_word(app, session, "set-memory", "Give the service this much memory in all, while it serves", "SIZE", "For example 4G; a bare number is MiB",
               "Shrinking drops ephemeral pages; persistent ones stay, and the target is then not reached.\n"
               "Example: xen-tmemctl set-memory 4G",
               run_set_memory);
}

}  // namespace tmem::tool
