// SPDX-License-Identifier: MIT
#include "daemon/base/notify.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace tmem {
namespace {

std::string take_env(const char* name) {
  const char* value = std::getenv(name);
  std::string out = value != nullptr ? value : "";
  unsetenv(name);
  return out;
}

uint64_t number(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 10); }

FileDescriptor connect_notify(const std::string& path) {
  sockaddr_un address{};
  if (path.size() < 2 || path.size() >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@')) return FileDescriptor();
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  FileDescriptor fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (!fd.valid() || connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) return FileDescriptor();
  return fd;
}

}  // namespace

std::map<std::string, FileDescriptor> inherited_fds() {
  const std::string pid = take_env("LISTEN_PID");
  const std::string count_text = take_env("LISTEN_FDS");
  std::string names = take_env("LISTEN_FDNAMES");
  std::map<std::string, FileDescriptor> out;
  if (pid.empty() || number(pid) != static_cast<uint64_t>(getpid())) return out;
  const int count = static_cast<int>(std::min<uint64_t>(number(count_text), 4096));
  for (int fd = kInheritedFdFirst; fd < kInheritedFdFirst + count; ++fd) {
    const size_t colon = names.find(':');
    std::string name = names.substr(0, colon);
    names.erase(0, colon == std::string::npos ? names.size() : colon + 1);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) continue;
    out.try_emplace(std::move(name), fd);
  }
  return out;
}

Notifier::Notifier() {
  const std::string path = take_env("NOTIFY_SOCKET");
  const std::string pid = take_env("WATCHDOG_PID");
  const std::string period = take_env("WATCHDOG_USEC");
  if (path.empty()) return;
  socket_ = connect_notify(path);
  const bool ours = pid.empty() || number(pid) == static_cast<uint64_t>(getpid());
  if (socket_.valid() && ours) watchdog_period_ms_ = number(period) / 1000 / 2;
}

bool Notifier::send(std::string_view message, std::span<const int> fds) {
  constexpr size_t kFdsMax = 8;
  if (!socket_.valid() || fds.size() > kFdsMax) return false;
  iovec part{const_cast<char*>(message.data()), message.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kFdsMax * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* attached = CMSG_FIRSTHDR(&header);
    attached->cmsg_level = SOL_SOCKET;
    attached->cmsg_type = SCM_RIGHTS;
    attached->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(attached), fds.data(), fds.size_bytes());
  }
  return sendmsg(socket_.get(), &header, MSG_NOSIGNAL) == static_cast<ssize_t>(message.size());
}

bool Notifier::store(std::string_view name, int fd) { return send("FDSTORE=1\nFDNAME=" + std::string(name), std::span(&fd, 1)); }
bool Notifier::forget(std::string_view name) { return send("FDSTOREREMOVE=1\nFDNAME=" + std::string(name)); }

}  // namespace tmem
