// SPDX-License-Identifier: MIT
// What the agent asks of xenstored itself; the library's functions that it calls are here, so that no xenstored is needed.
#include "agent/xenstore.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

extern "C" {
#include <xenstore.h>
}

namespace {

std::vector<xs_permissions> release;  // permissions of @releaseDomain; empty: xenstored does not tell
char some_handle;

}  // namespace

extern "C" {

xs_handle* xs_open(unsigned long) { return reinterpret_cast<xs_handle*>(&some_handle); }
void xs_close(xs_handle*) {}

xs_permissions* xs_get_permissions(xs_handle*, xs_transaction_t, const char* path, unsigned* count) {
  errno = ENOENT;
  if (release.empty() || std::strcmp(path, "@releaseDomain") != 0) return nullptr;
  *count = static_cast<unsigned>(release.size());
  auto* copy = static_cast<xs_permissions*>(std::malloc(release.size() * sizeof(xs_permissions)));
  std::memcpy(copy, release.data(), release.size() * sizeof(xs_permissions));
  return copy;
}

bool xs_set_permissions(xs_handle*, xs_transaction_t, const char*, xs_permissions* list, unsigned count) {
  release.assign(list, list + count);
  return true;
}

}  // extern "C"

namespace tmem::agent {
namespace {

std::string text() {
  std::string out;
  for (const xs_permissions& entry : release) out += std::to_string(entry.id) + (entry.perms == XS_PERM_READ ? "r " : entry.perms == XS_PERM_NONE ? "n " : "? ");
  return out;
}

TEST(AgentXenStore, WhoMayWatchForReleasesKeepsThatWhenTheServicesDomainIsLetIn) {
  XenStore store;
  release = {{0, XS_PERM_NONE}, {4, XS_PERM_READ}};
  store.allow_release_watch(1);
  EXPECT_EQ(text(), "0n 4r 1r ");
  store.allow_release_watch(1);
  EXPECT_EQ(text(), "0n 4r 1r ") << "once";
  release.clear();
  store.allow_release_watch(1);
  EXPECT_EQ(text(), "0n 1r ");
}

}  // namespace
}  // namespace tmem::agent
