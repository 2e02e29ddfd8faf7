// SPDX-License-Identifier: MIT
// What dom0's tools need of xenstore, as an interface with two implementations: the real one over libxenstore (xenstore.cc)
// and a store in memory with owners and permissions for unit tests (tests/support).
//
// Ownership: returned values are copies. Thread rule: one thread. Errors: a read of what is not there is nullopt; a write
// that fails throws StoreError, and the caller's reconcile round is tried again later.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tmem::agent {

using Domid = unsigned;

struct StoreError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A node's permissions: its owner, what others may do (nothing), and one domain that may read.
struct Permissions {
  Domid owner = 0;
  std::optional<Domid> reader;
};

// Reads and writes of one transaction, or outside of any.
class StoreView {
 public:
  virtual ~StoreView() = default;
  virtual std::optional<std::string> read(const std::string& path) = 0;
  virtual std::vector<std::string> list(const std::string& path) = 0;  // empty: no children, or no such node
  virtual void write(const std::string& path, std::string_view value, const Permissions& permissions) = 0;
  virtual void remove(const std::string& path) = 0;  // with all below; nothing there is no error
};

class Store : public StoreView {
 public:
  // Runs body in a transaction, again while another writer gets in between. Throws StoreError when it cannot be committed.
  virtual void transaction(const std::function<void(StoreView&)>& body) = 0;
  virtual void watch(const std::string& path, const std::string& token) = 0;
  virtual void unwatch(const std::string& path, const std::string& token) = 0;  // not there is no error
  // Lets domain see @releaseDomain, which xenstored tells only dom0 otherwise. Who else may keeps it.
  virtual void allow_release_watch(Domid domain) = 0;
};

// Connection to the machine's xenstored.
class XenStore final : public Store {
 public:
  XenStore();  // throws StoreError
  ~XenStore() override;
  std::optional<std::string> read(const std::string& path) override;
  std::vector<std::string> list(const std::string& path) override;
  void write(const std::string& path, std::string_view value, const Permissions& permissions) override;
  void remove(const std::string& path) override;
  void transaction(const std::function<void(StoreView&)>& body) override;
  void watch(const std::string& path, const std::string& token) override;
  void unwatch(const std::string& path, const std::string& token) override;
  void allow_release_watch(Domid domain) override;

  // A command of xenstored's own (xenstore-control) and its answer; empty where it knows none such.
  std::string control(const std::string& command, const std::vector<std::string>& arguments);

  int fd() const;
  // Takes one fired watch without blocking: {path, token}. Throws StoreError when xenstored went away.
  std::optional<std::pair<std::string, std::string>> next_event();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tmem::agent
