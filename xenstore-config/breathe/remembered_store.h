// SPDX-License-Identifier: MIT
// xenstore, with the answers for whole folders remembered until a watch tells that something changed in them. Breather looks at
// ten nodes of each guest five times a second while memory moves; nearly all of them say what they said before.
//
// Folders are the children of /local/domain/N and those of /tool/xen-tmem/flow that are looked at each time. What lies elsewhere is
// read each time. A change is seen once told() has been given its event; what this object's owner changes by other means than through it
// has to be told, too.
//
// Borrows the store. Thread rule: one thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/xenstore.h"

namespace tmem::breathe {

class RememberedStore final : public agent::Store {
 public:
  static constexpr const char* kToken = "remembered";  // of its watches

  explicit RememberedStore(agent::Store& store) : store_(store) {}

  // Somebody may have changed this path, or something below it or above it.
  void told(const std::string& path);
  // Of these domains; what is known of others is forgotten, and they are watched no more. Numbers come again.
  void keep(const std::vector<agent::Domid>& domains);

  std::optional<std::string> read(const std::string& path) override;
  std::vector<std::string> list(const std::string& path) override;
  void write(const std::string& path, std::string_view value, const agent::Permissions& permissions) override;
  void remove(const std::string& path) override;
  void transaction(const std::function<void(agent::StoreView&)>& body) override;
  void watch(const std::string& path, const std::string& token) override { store_.watch(path, token); }
  void unwatch(const std::string& path, const std::string& token) override { store_.unwatch(path, token); }
  void allow_release_watch(agent::Domid domain) override { store_.allow_release_watch(domain); }

 private:
  struct Folder {
    std::optional<agent::Domid> domain;
    bool begun = false;  // a watch fires once when it is set
    std::map<std::string, std::optional<std::string>> values;
    std::map<std::string, std::vector<std::string>> lists;
    void clear() {
      values.clear();
      lists.clear();
    }
  };
  Folder* folder_of(const std::string& path);
  void forget(const std::string& path);

  agent::Store& store_;
  std::map<std::string, Folder> folders_;
};

}  // namespace tmem::breathe
