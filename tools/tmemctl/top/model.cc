// SPDX-License-Identifier: MIT
#include "tools/tmemctl/top/model.h"

#include <algorithm>
#include <cmath>

#include "tools/tmemctl/commands/figures.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

uint64_t since(uint64_t now, uint64_t before) { return now >= before ? now - before : now; }

void fill_space(TopRow& row, const control::SpaceStats& space) {
  row.bytes_ephemeral = space.pages_ephemeral() * kPageBytes;
  row.bytes_persistent = space.pages_persistent() * kPageBytes;
  row.bytes_compressed = space.bytes_compressed();
}

double ratio(const TopRow& row) {
  if (row.bytes_compressed == 0) return 0;
  return static_cast<double>(row.bytes_ephemeral + row.bytes_persistent) / static_cast<double>(row.bytes_compressed);
}

double sort_value(const TopRow& row, TopSort sort) {
  switch (sort) {
    case TopSort::kName: return 0;
    case TopSort::kEphemeral: return static_cast<double>(row.bytes_ephemeral);
    case TopSort::kPersistent: return static_cast<double>(row.bytes_persistent);
    case TopSort::kRatio: return ratio(row);
    case TopSort::kHits: return row.hit_percent.value_or(-1);
    case TopSort::kPuts: return row.puts_per_second;
    case TopSort::kGets: return row.gets_per_second;
    case TopSort::kWeight: return row.weight;
  }
  return 0;
}

std::string number(double value) { return std::to_string(static_cast<uint64_t>(std::llround(value))); }

std::vector<std::string> cells(const TopRow& row, const TopView& view, bool rates) {
  bool client = !row.pool.has_value();
  return {(client ? "" : "  ") + row.name + (client ? "" : "/" + std::to_string(*row.pool)),
          client ? std::to_string(row.pools) : "",
          format_bytes(row.bytes_ephemeral, view.human),
          format_bytes(row.bytes_persistent, view.human),
          format_ratio(row.bytes_ephemeral + row.bytes_persistent, row.bytes_compressed),
          row.hit_percent ? number(*row.hit_percent) : "-",
          rates ? number(row.puts_per_second) : "-",
          rates ? number(row.gets_per_second) : "-",
          client ? std::to_string(row.weight) : "",
          row.state};
}

}  // namespace

const char* to_string(TopSort sort) {
  switch (sort) {
    case TopSort::kName: return "NAME";
    case TopSort::kEphemeral: return "EPH";
    case TopSort::kPersistent: return "PERS";
    case TopSort::kRatio: return "RATIO";
    case TopSort::kHits: return "HIT%";
    case TopSort::kPuts: return "PUT/s";
    case TopSort::kGets: return "GET/s";
    case TopSort::kWeight: return "WEIGHT";
  }
  return "";
}

void TopModel::fill_rates(TopRow& row, const control::OpStats& ops, std::map<Key, Counters>& now) const {
  Key key{row.client, row.pool};
  Counters& current = now[key] = {put_count(ops), get_count(ops), ops.get_hit()};
  auto before = last_.find(key);
  Counters last = before == last_.end() ? Counters{} : before->second;
  uint64_t asked = since(current.gets, last.gets), hits = since(current.hits, last.hits);
  // A counter of the two may have gone back alone; more hits than gets would be nonsense on the screen.
  if (asked > 0) row.hit_percent = 100.0 * static_cast<double>(std::min(hits, asked)) / static_cast<double>(asked);
  if (seconds_ <= 0) return;
  row.puts_per_second = static_cast<double>(since(current.puts, last.puts)) / seconds_;
  row.gets_per_second = static_cast<double>(asked) / seconds_;
}

void TopModel::sample(const control::Info::Reply& info, const control::ListClients::Reply& clients, double seconds) {
  seconds_ = last_.empty() && entries_.empty() ? 0 : seconds;
  info_ = info;
  entries_.clear();
  std::map<Key, Counters> now;
  for (const control::Client& client : clients.clients()) {
    Entry& entry = entries_.emplace_back();
    entry.row.client = client.id();
    entry.row.name = printable(client.name());
    entry.row.pools = client.pools_size();
    entry.row.weight = client.policy().weight();
    entry.row.state = state_word(client);
    fill_space(entry.row, client.space());
    fill_rates(entry.row, client.ops(), now);
    for (const control::Pool& pool : client.pools()) {
      TopRow& row = entry.pools.emplace_back();
      row.client = client.id();
      row.pool = pool.id();
      row.name = entry.row.name;
      row.state = type_word(pool);
      fill_space(row, pool.space());
      fill_rates(row, pool.ops(), now);
    }
  }
  last_ = std::move(now);
}

std::vector<TopRow> TopModel::rows(const TopView& view) const {
  std::vector<const Entry*> order;
  for (const Entry& entry : entries_) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(), [&](const Entry* a, const Entry* b) {
    if (view.reverse) std::swap(a, b);
    double x = sort_value(a->row, view.sort), y = sort_value(b->row, view.sort);
    if (x != y) return x > y;
    return std::pair(a->row.name, a->row.client) < std::pair(b->row.name, b->row.client);
  });
  std::vector<TopRow> rows;
  for (const Entry* entry : order) {
    rows.push_back(entry->row);
    if (view.pools) rows.insert(rows.end(), entry->pools.begin(), entry->pools.end());
  }
  return rows;
}

std::vector<std::string> TopModel::text(const TopView& view) const {
  uint64_t used = 0, target = 0, pool_count = 0;
  for (const control::Shard& shard : info_.shards()) {
    used += shard.memory_bytes();
    target += shard.memory_bytes_target();
  }
  for (const Entry& entry : entries_) pool_count += entry.pools.size();
  std::vector<std::string> lines = {
      "xen-tmemd " + printable(info_.version()) + ", up " + std::to_string(info_.uptime_seconds()) + " s: " + std::to_string(entries_.size()) + " clients, " +
          std::to_string(pool_count) + " pools",
      "Memory: " + format_bytes_unit(used, view.human) + " of " + format_bytes_unit(target, view.human) + ", " + std::to_string(info_.shards_size()) + " shards"};
  Table table({"<NAME", "POOLS", view.human ? "EPH" : "EPH(MiB)", view.human ? "PERS" : "PERS(MiB)", "RATIO", "HIT%", "PUT/s", "GET/s", "WEIGHT", "<STATE"});
  for (const TopRow& row : rows(view)) table.add(cells(row, view, seconds_ > 0));
  for (std::string& line : table.lines()) lines.push_back(std::move(line));
  return lines;
}

Json TopModel::json() const {
  Json document = schema("top");
  document["interval_seconds"] = seconds_;
  document["memory_bytes"] = uint64_t{0};
  document["memory_bytes_target"] = uint64_t{0};
  for (const control::Shard& shard : info_.shards()) {
    document["memory_bytes"] = document["memory_bytes"].get<uint64_t>() + shard.memory_bytes();
    document["memory_bytes_target"] = document["memory_bytes_target"].get<uint64_t>() + shard.memory_bytes_target();
  }
  document["rows"] = Json::array();
  for (const TopRow& row : rows({.pools = true})) {
    Json one = {{"client", row.client}, {"name", row.name}, {"pool", nullptr}};
    if (row.pool) one["pool"] = *row.pool;
    one["bytes_ephemeral"] = row.bytes_ephemeral;
    one["bytes_persistent"] = row.bytes_persistent;
    one["bytes_compressed"] = row.bytes_compressed;
    one["hit_percent"] = row.hit_percent ? Json(*row.hit_percent) : Json(nullptr);
    one["puts_per_second"] = row.puts_per_second;
    one["gets_per_second"] = row.gets_per_second;
    one["state"] = row.state;
    document["rows"].push_back(std::move(one));
  }
  return document;
}

}  // namespace tmem::tool
