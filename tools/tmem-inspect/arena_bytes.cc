// SPDX-License-Identifier: MIT
#include "arena_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace tmem::inspect {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& why) { throw std::runtime_error("cannot read " + path + ": " + why); }

}  // namespace

ArenaBytes::ArenaBytes(const std::string& path) : path_(path), fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (fd_ < 0) fail(path, std::generic_category().message(errno) + (errno == EACCES ? "; run as root" : ""));
  struct stat status {};
  if (fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd_);
    fail(path, "it is not a regular file; an arena is a file or a memfd (/proc/PID/fd/N)");
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

ArenaBytes::~ArenaBytes() { close(fd_); }

size_t ArenaBytes::read(uint64_t offset, std::span<std::byte> to) const {
  size_t got = 0;
  while (got < to.size()) {
    ssize_t n = pread(fd_, to.data() + got, to.size() - got, static_cast<off_t>(offset + got));
    if (n > 0) {
      got += static_cast<size_t>(n);
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(path_, std::generic_category().message(errno) + " at byte " + std::to_string(offset + got));
    break;
  }
  std::fill(to.begin() + static_cast<ptrdiff_t>(got), to.end(), std::byte{0});
  return got;
}

}  // namespace tmem::inspect
