// SPDX-License-Identifier: MIT
#include "agent/xenstore.h"

extern "C" {  // the header does not say so itself
#include <xenstore.h>
}

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace tmem::agent {
namespace {

constexpr int kTransactionTries = 20;

struct Free {
  void operator()(void* p) const { std::free(p); }
};

[[noreturn]] void fail(const std::string& what, const std::string& path) {
  throw StoreError("xenstore: cannot " + what + " " + path + ": " + std::strerror(errno));
}

// The calls with a transaction id; XBT_NULL is none.
class View final : public StoreView {
 public:
  View(xs_handle* handle, xs_transaction_t transaction) : handle_(handle), transaction_(transaction) {}

  std::optional<std::string> read(const std::string& path) override {
    unsigned length = 0;
    std::unique_ptr<void, Free> value(xs_read(handle_, transaction_, path.c_str(), &length));
    if (!value) return std::nullopt;
    return std::string(static_cast<const char*>(value.get()), length);
  }

  std::vector<std::string> list(const std::string& path) override {
    unsigned count = 0;
    std::unique_ptr<char*, Free> names(xs_directory(handle_, transaction_, path.c_str(), &count));
    if (!names) return {};
    return {names.get(), names.get() + count};
  }

  void write(const std::string& path, std::string_view value, const Permissions& permissions) override {
    if (!xs_write(handle_, transaction_, path.c_str(), value.data(), static_cast<unsigned>(value.size()))) fail("write", path);
    xs_permissions list[2] = {{permissions.owner, XS_PERM_NONE}, {permissions.reader.value_or(0), XS_PERM_READ}};
    if (!xs_set_permissions(handle_, transaction_, path.c_str(), list, permissions.reader ? 2 : 1)) fail("set permissions of", path);
  }

  void remove(const std::string& path) override {
    if (!xs_rm(handle_, transaction_, path.c_str()) && errno != ENOENT) fail("remove", path);
  }

 private:
  xs_handle* handle_;
  xs_transaction_t transaction_;
};

}  // namespace

struct XenStore::Impl {
  xs_handle* handle;
  View view;
  explicit Impl(xs_handle* h) : handle(h), view(h, XBT_NULL) {}
  ~Impl() { xs_close(handle); }
};

XenStore::XenStore() {
  xs_handle* handle = xs_open(0);
  if (!handle) throw StoreError(std::string("xenstore: no connection to xenstored: ") + std::strerror(errno));
  impl_ = std::make_unique<Impl>(handle);
}
XenStore::~XenStore() = default;

std::optional<std::string> XenStore::read(const std::string& path) { return impl_->view.read(path); }
std::vector<std::string> XenStore::list(const std::string& path) { return impl_->view.list(path); }
void XenStore::write(const std::string& path, std::string_view value, const Permissions& permissions) {
  impl_->view.write(path, value, permissions);
}
void XenStore::remove(const std::string& path) { impl_->view.remove(path); }

void XenStore::transaction(const std::function<void(StoreView&)>& body) {
  for (int i = 0; i < kTransactionTries; ++i) {
    const xs_transaction_t id = xs_transaction_start(impl_->handle);
    if (id == XBT_NULL) fail("start a transaction for", "/");
    View view(impl_->handle, id);
    try {
      body(view);
    } catch (...) {
      xs_transaction_end(impl_->handle, id, true);
      throw;
    }
    if (xs_transaction_end(impl_->handle, id, false)) return;
    if (errno != EAGAIN) fail("commit a transaction for", "/");
  }
  throw StoreError("xenstore: a transaction was interrupted by other writers too often");
}

void XenStore::watch(const std::string& path, const std::string& token) {
  if (!xs_watch(impl_->handle, path.c_str(), token.c_str())) fail("watch", path);
}

void XenStore::unwatch(const std::string& path, const std::string& token) {
  if (!xs_unwatch(impl_->handle, path.c_str(), token.c_str()) && errno != ENOENT) fail("stop watching", path);
}

void XenStore::allow_release_watch(Domid domain) {
  constexpr const char* kRelease = "@releaseDomain";
  // Domains of other drivers may have been let in, too. The first entry is the owner's.
  unsigned count = 0;
  const std::unique_ptr<xs_permissions, Free> now(xs_get_permissions(impl_->handle, XBT_NULL, kRelease, &count));
  std::vector<xs_permissions> list(now.get(), now.get() + (now ? count : 0));
  if (list.empty()) list.push_back({0, XS_PERM_NONE});
  list.erase(std::remove_if(list.begin() + 1, list.end(), [domain](const xs_permissions& entry) { return entry.id == domain; }), list.end());
  list.push_back({domain, XS_PERM_READ});
  if (!xs_set_permissions(impl_->handle, XBT_NULL, kRelease, list.data(), static_cast<unsigned>(list.size()))) fail("set permissions of", kRelease);
}

std::string XenStore::control(const std::string& command, const std::vector<std::string>& arguments) {
  std::string data;
  for (const std::string& argument : arguments) data += argument + '\0';
  std::unique_ptr<char, Free> answer(xs_control_command(impl_->handle, command.c_str(), data.data(), static_cast<unsigned>(data.size())));
  return answer ? answer.get() : "";
}

int XenStore::fd() const { return xs_fileno(impl_->handle); }

std::optional<std::pair<std::string, std::string>> XenStore::next_event() {
  std::unique_ptr<char*, Free> event(xs_check_watch(impl_->handle));
  if (event) return std::make_pair(std::string(event.get()[XS_WATCH_PATH]), std::string(event.get()[XS_WATCH_TOKEN]));
  if (errno != EAGAIN) fail("take a watch event of", "/");
  return std::nullopt;
}

}  // namespace tmem::agent
