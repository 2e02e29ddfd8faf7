// SPDX-License-Identifier: MIT
#include "fake_xen.h"

#include <sys/eventfd.h>
#include <unistd.h>

extern "C" {
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>
}

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

struct xenevtchn_handle {
  int fd;
};

namespace tmem {
namespace {

FakeXen* the_xen = nullptr;
char some_handle;

bool below(const std::string& path, const std::string& top) { return path == top || path.starts_with(top + "/"); }

bool fails(const std::string& path) {
  const auto at = the_xen->failures.find(path);
  if (at != the_xen->failures.end()) errno = at->second;
  return at != the_xen->failures.end();
}

// As the library gives lists away: one block, which the caller frees.
char** one_block(const std::vector<std::string>& texts) {
  size_t bytes = texts.size() * sizeof(char*) + 1;
  for (const std::string& text : texts) bytes += text.size() + 1;
  char** block = static_cast<char**>(std::malloc(bytes));
  char* to = reinterpret_cast<char*>(block + texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    block[i] = to;
    std::memcpy(to, texts[i].c_str(), texts[i].size() + 1);
    to += texts[i].size() + 1;
  }
  return block;
}

}  // namespace

FakeXen::FakeXen() : bell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { the_xen = this; }
FakeXen::~FakeXen() { the_xen = nullptr; }

void FakeXen::write(const std::string& path, const std::string& value) {
  nodes[path] = value;
  fire(path);
}

void FakeXen::remove(const std::string& path) {
  std::erase_if(nodes, [&](const auto& node) { return below(node.first, path); });
  fire(path);
}

std::string FakeXen::read(const std::string& path) const {
  const auto at = nodes.find(path);
  return at == nodes.end() ? "(none)" : at->second;
}

void FakeXen::fire(const std::string& path) {
  const uint64_t one = 1;
  for (const auto& [top, token] : watches) {
    if (!below(path, top)) continue;
    if (events.empty()) (void)!::write(bell.get(), &one, sizeof(one));
    events.emplace_back(path, token);
  }
}

}  // namespace tmem

using tmem::the_xen;

extern "C" {

xs_handle* xs_open(unsigned long) { return reinterpret_cast<xs_handle*>(&tmem::some_handle); }
void xs_close(xs_handle*) {}
int xs_fileno(xs_handle*) { return the_xen->bell.get(); }

void* xs_read(xs_handle*, xs_transaction_t, const char* path, unsigned* length) {
  ++the_xen->reads[path];
  const auto at = the_xen->nodes.find(path);
  if (tmem::fails(path)) return nullptr;
  errno = ENOENT;
  if (at == the_xen->nodes.end()) return nullptr;
  *length = static_cast<unsigned>(at->second.size());
  return ::strdup(at->second.c_str());
}

bool xs_write(xs_handle*, xs_transaction_t, const char* path, const void* data, unsigned length) {
  the_xen->write(path, std::string(static_cast<const char*>(data), length));
  return true;
}

bool xs_rm(xs_handle*, xs_transaction_t, const char* path) {
  the_xen->remove(path);
  return true;
}

char** xs_directory(xs_handle*, xs_transaction_t, const char* path, unsigned* count) {
  if (tmem::fails(path)) return nullptr;
  const std::string top = std::string(path) + "/";
  std::vector<std::string> names;
  for (const auto& [node, value] : the_xen->nodes) {
    if (!node.starts_with(top)) continue;
    const std::string name = node.substr(top.size(), node.find('/', top.size()) - top.size());
    if (names.empty() || names.back() != name) names.push_back(name);
  }
  *count = static_cast<unsigned>(names.size());
  return tmem::one_block(names);
}

bool xs_watch(xs_handle*, const char* path, const char* token) {
  the_xen->watches.emplace(path, token);
  the_xen->fire(path);  // each watch fires once at first
  return true;
}

bool xs_unwatch(xs_handle*, const char* path, const char* token) { return the_xen->watches.erase({path, token}) != 0; }
bool xs_is_domain_introduced(xs_handle*, unsigned) { return true; }

char** xs_check_watch(xs_handle*) {
  errno = EAGAIN;
  if (the_xen->events.empty()) return nullptr;
  const auto [path, token] = the_xen->events.front();
  the_xen->events.pop_front();
  uint64_t rings;
  if (the_xen->events.empty()) (void)!::read(the_xen->bell.get(), &rings, sizeof(rings));
  return tmem::one_block({path, token});
}

xengntdev_handle* xengnttab_open(xentoollog_logger*, unsigned) { return reinterpret_cast<xengntdev_handle*>(&tmem::some_handle); }
int xengnttab_close(xengntdev_handle*) { return 0; }
int xengnttab_unmap(xengntdev_handle*, void*, uint32_t) { return 0; }

void* xengnttab_map_domain_grant_refs(xengntdev_handle*, uint32_t count, uint32_t, uint32_t*, int) {
  char* const pages = static_cast<char*>(the_xen->granted);
  if (count == 1) return pages + size_t{the_xen->granted_pages} * TMEMIF_PAGE_BYTES;
  return the_xen->maps ? pages : nullptr;
}

xenevtchn_handle* xenevtchn_open(xentoollog_logger*, unsigned) { return new xenevtchn_handle{::eventfd(0, EFD_CLOEXEC)}; }
int xenevtchn_close(xenevtchn_handle* handle) {
  ::close(handle->fd);
  delete handle;
  return 0;
}
int xenevtchn_fd(xenevtchn_handle* handle) { return handle->fd; }
int xenevtchn_notify(xenevtchn_handle*, evtchn_port_t) { return 0; }
xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle*, uint32_t, evtchn_port_t port) { return static_cast<int>(port); }
xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle*) { return -1; }
int xenevtchn_unmask(xenevtchn_handle*, evtchn_port_t) { return 0; }

}  // extern "C"
