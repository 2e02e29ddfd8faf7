// SPDX-License-Identifier: MIT
// The service's connection to xenstored: its own nodes, what guests let it read, watches. Relative paths lie under its own
// domain. Every call waits for xenstored, never for a guest.
//
// What xenstored cannot tell is not what it says is absent: after the first such answer the connection counts as lost, so that nobody
// takes silence for a guest's end, and nothing is written any more. Ask lost() before acting on what is not there.
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

// A watch that fired.
struct XenEvent {
  std::string path;  // what has changed, relative if the watch is
  std::string token;
};

class XenStore {
 public:
  // Null: no xenstored here.
  static std::unique_ptr<XenStore> open();
  ~XenStore();
  XenStore(const XenStore&) = delete;
  XenStore& operator=(const XenStore&) = delete;

  // nullopt, {}: not there, or not for us to see; or lost().
  std::optional<std::string> read(const std::string& path);
  std::vector<std::string> list(const std::string& path);
  // False: not ours to write, over quota, gone, or lost().
  bool write(const std::string& path, std::string_view value);
  void remove(const std::string& path);
  bool watch(const std::string& path, const std::string& token);
  void unwatch(const std::string& path, const std::string& token);
  // True where it is certain that the domain is gone, or never was. xenstored answers that to privileged domains only; to
  // others the domain's nodes have to tell.
  bool is_gone(uint32_t domid);

  int fd() const;  // readable: next_event() may have something
  // nullopt: none now.
  std::optional<XenEvent> next_event();
  // xenstored closed the connection, or failed to answer.
  bool lost() const { return lost_; }

 private:
  explicit XenStore(xs_handle* handle) : handle_(handle) {}
  void note_failure();

  xs_handle* const handle_;
  bool lost_ = false;
};

}  // namespace tmem
