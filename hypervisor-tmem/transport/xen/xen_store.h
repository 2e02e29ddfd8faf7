// SPDX-License-Identifier: MIT
// The service's connection to xenstored: its own nodes, what guests let it read, watches. Relative paths lie under its own
// domain. Every call waits for xenstored, never for a guest.
//
// Owns the connection. Thread rule: one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct xs_handle;

namespace tmem {

class XenStore {
 public:
  // Null: no xenstored here.
  static std::unique_ptr<XenStore> open();
  ~XenStore();
  XenStore(const XenStore&) = delete;
  XenStore& operator=(const XenStore&) = delete;

  std::optional<std::string> read(const std::string& path);
  std::vector<std::string> list(const std::string& path);
  // False: not ours to write, over quota, or gone.
  bool write(const std::string& path, std::string_view value);
  void remove(const std::string& path);
  bool watch(const std::string& path, const std::string& token);
  void unwatch(const std::string& path, const std::string& token);
  // True where it is certain that the domain is gone, or never was. xenstored answers that to privileged domains only; to
  // others the domain's nodes have to tell.
  bool is_gone(uint32_t domid);

  int fd() const;  // readable: next_token() may have something
  // The token of a watch that fired; nullopt: none now. lost(): xenstored closed the connection.
  std::optional<std::string> next_token();
  bool lost() const { return lost_; }

 private:
  explicit XenStore(xs_handle* handle) : handle_(handle) {}
  xs_handle* const handle_;
  bool lost_ = false;
};

}  // namespace tmem
