// SPDX-License-Identifier: MIT
#include "breathe/remembered_store.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "tmem/tmem_xs.h"

namespace tmem::breathe {
namespace {

constexpr std::string_view kDomains = "/local/domain/";
constexpr std::string_view kOwnFolders[] = {TMEM_XS_FLOW_LIMIT, TMEM_XS_FLOW_PAGES, TMEM_XS_FLOW_ROOM};

bool is_at_or_below(std::string_view path, std::string_view top) {
  return path.starts_with(top) && (path.size() == top.size() || path[top.size()] == '/');
}

}  // namespace

RememberedStore::Folder* RememberedStore::folder_of(const std::string& path) {
  std::string name;
  std::optional<agent::Domid> domain;
  for (const std::string_view own : kOwnFolders) {
    if (is_at_or_below(path, own)) name = own;
  }
  if (path.starts_with(kDomains)) {
    agent::Domid id = 0;
    const char* const end = path.data() + path.size();
    const auto [slash, error] = std::from_chars(path.data() + kDomains.size(), end, id);
    if (error != std::errc{} || slash == end || *slash != '/') return nullptr;
    domain = id;
    name = path.substr(0, path.find('/', static_cast<size_t>(slash - path.data()) + 1));
  }
  if (name.empty()) return nullptr;
  const auto [found, is_new] = folders_.try_emplace(name);
  if (is_new) {
    found->second.domain = domain;
    try {
      store_.watch(name, kToken);  // before the first read
    } catch (...) {
      folders_.erase(found);
      throw;
    }
  }
  return &found->second;
}

void RememberedStore::told(const std::string& path) {
  const auto folder = folders_.find(path);
  if (folder == folders_.end() || std::exchange(folder->second.begun, true)) forget(path);
}

void RememberedStore::forget(const std::string& path) {
  for (auto& [name, folder] : folders_) {
    if (is_at_or_below(path, name) || is_at_or_below(name, path)) folder.clear();
  }
}

void RememberedStore::keep(const std::vector<agent::Domid>& domains) {
  for (auto at = folders_.begin(); at != folders_.end();) {
    const auto& domain = at->second.domain;
    if (!domain || std::find(domains.begin(), domains.end(), *domain) != domains.end()) {
      ++at;
      continue;
    }
    store_.unwatch(at->first, kToken);
    at = folders_.erase(at);
  }
}

std::optional<std::string> RememberedStore::read(const std::string& path) {
  Folder* const folder = folder_of(path);
  if (!folder) return store_.read(path);
  const auto known = folder->values.find(path);
  return known != folder->values.end() ? known->second : folder->values[path] = store_.read(path);
}

std::vector<std::string> RememberedStore::list(const std::string& path) {
  Folder* const folder = folder_of(path);
  if (!folder) return store_.list(path);
  const auto known = folder->lists.find(path);
  return known != folder->lists.end() ? known->second : folder->lists[path] = store_.list(path);
}

void RememberedStore::write(const std::string& path, std::string_view value, const agent::Permissions& permissions) {
  store_.write(path, value, permissions);
  forget(path);
}

void RememberedStore::remove(const std::string& path) {
  store_.remove(path);
  forget(path);
}

void RememberedStore::transaction(const std::function<void(agent::StoreView&)>& body) {
  store_.transaction(body);
  for (auto& [name, folder] : folders_) folder.clear();
}

}  // namespace tmem::breathe
