// SPDX-License-Identifier: MIT
#include "transport/xen/xen_store.h"

extern "C" {  // the header does not say so itself
#include <xenstore.h>
}

#include <cerrno>
#include <cstdlib>

namespace tmem {
namespace {

struct Free {
  void operator()(void* p) const { std::free(p); }
};

}  // namespace

std::unique_ptr<XenStore> XenStore::open() {
  xs_handle* handle = xs_open(0);
  return handle ? std::unique_ptr<XenStore>(new XenStore(handle)) : nullptr;
}

XenStore::~XenStore() { xs_close(handle_); }

std::optional<std::string> XenStore::read(const std::string& path) {
  unsigned length = 0;
  const std::unique_ptr<void, Free> value(xs_read(handle_, XBT_NULL, path.c_str(), &length));
  if (!value) {
    note_failure();
    return std::nullopt;
  }
  return std::string(static_cast<const char*>(value.get()), length);
}

std::vector<std::string> XenStore::list(const std::string& path) {
  unsigned count = 0;
  const std::unique_ptr<char*, Free> names(xs_directory(handle_, XBT_NULL, path.c_str(), &count));
  if (!names) {
    note_failure();
    return {};
  }
  return {names.get(), names.get() + count};
}

bool XenStore::write(const std::string& path, std::string_view value) {
  return !lost_ && xs_write(handle_, XBT_NULL, path.c_str(), value.data(), static_cast<unsigned>(value.size()));
}

void XenStore::remove(const std::string& path) {
  if (!lost_) (void)xs_rm(handle_, XBT_NULL, path.c_str());
}
bool XenStore::watch(const std::string& path, const std::string& token) { return xs_watch(handle_, path.c_str(), token.c_str()); }
void XenStore::unwatch(const std::string& path, const std::string& token) { (void)xs_unwatch(handle_, path.c_str(), token.c_str()); }

bool XenStore::is_gone(uint32_t domid) {
  errno = 0;
  return !xs_is_domain_introduced(handle_, domid) && errno == 0;
}

int XenStore::fd() const { return xs_fileno(handle_); }

std::optional<XenEvent> XenStore::next_event() {
  const std::unique_ptr<char*, Free> event(xs_check_watch(handle_));
  if (event) return XenEvent{event.get()[XS_WATCH_PATH], event.get()[XS_WATCH_TOKEN]};
  if (errno != EAGAIN) lost_ = true;
  return std::nullopt;
}

// EACCES: the nodes of a domain that is gone lie below what only dom0 may see.
void XenStore::note_failure() {
  if (errno != ENOENT && errno != EACCES) lost_ = true;
}

}  // namespace tmem
