// SPDX-License-Identifier: MIT
// xenstore in memory, as far as the agent uses it: a map of paths with owners. Transactions are taken back when the body
// throws; fail_next makes the next commit fail as a dead xenstored would.
#pragma once

#include <map>
#include <set>
#include <utility>

#include "agent/xenstore.h"

namespace tmem::agent {

class FakeStore final : public Store {
 public:
  struct Node {
    std::string value;
    Permissions permissions;
  };

  std::optional<std::string> read(const std::string& path) override {
    ++reads;
    const auto it = nodes.find(path);
    if (it == nodes.end()) return std::nullopt;
    return it->second.value;
  }
  std::vector<std::string> list(const std::string& path) override {
    ++reads;
    std::vector<std::string> names;
    const std::string prefix = path + "/";
    for (auto it = nodes.lower_bound(prefix); it != nodes.end() && it->first.rfind(prefix, 0) == 0; ++it) {
      const std::string name = it->first.substr(prefix.size(), it->first.find('/', prefix.size()) - prefix.size());
      if (names.empty() || names.back() != name) names.push_back(name);
    }
    return names;
  }
  void write(const std::string& path, std::string_view value, const Permissions& permissions) override {
    ++writes;
    nodes[path] = {std::string(value), permissions};
  }
  void remove(const std::string& path) override {
    const std::string prefix = path + "/";
    nodes.erase(path);
    for (auto it = nodes.lower_bound(prefix); it != nodes.end() && it->first.rfind(prefix, 0) == 0;) it = nodes.erase(it);
  }
  void transaction(const std::function<void(StoreView&)>& body) override {
    const auto before = nodes;
    try {
      body(*this);
      if (std::exchange(fail_next, false)) throw StoreError("xenstored went away");
    } catch (...) {
      nodes = before;
      throw;
    }
  }
  void watch(const std::string& path, const std::string&) override { watched.insert(path); }
  void unwatch(const std::string& path, const std::string&) override { watched.erase(path); }
  void allow_release_watch(Domid domain) override { release_watchers.push_back(domain); }

  std::map<std::string, Node> nodes;
  std::vector<Domid> release_watchers;
  bool fail_next = false;
  int writes = 0, reads = 0;
  std::set<std::string> watched;
};

}  // namespace tmem::agent
