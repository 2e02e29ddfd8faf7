// SPDX-License-Identifier: MIT
#include "daemon/sockets.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace tmem {
namespace {

constexpr int kBacklog = 128;

std::string failure(const std::string& path, const char* what, int error, const char* remedy) {
  return "cannot listen on " + path + ": " + what + " (" + std::strerror(error) + "); " + remedy;
}

// Nobody else between the question whether the socket is stale and its replacement. The file goes away with the lock; who
// waited for the one that is gone takes another.
class LockBeside {
 public:
  explicit LockBeside(const std::string& path) : path_(path + ".lock") {
    for (;;) {
      fd_ = FileDescriptor(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
      if (!fd_.valid()) return;
      struct stat ours, there;
      if (flock(fd_.get(), LOCK_EX) != 0 || fstat(fd_.get(), &ours) != 0) {
        fd_ = FileDescriptor();
        return;
      }
      if (lstat(path_.c_str(), &there) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino) return;
    }
  }
  ~LockBeside() {
    if (fd_.valid()) unlink(path_.c_str());
  }
  LockBeside(const LockBeside&) = delete;
  LockBeside& operator=(const LockBeside&) = delete;
  bool valid() const { return fd_.valid(); }

 private:
  std::string path_;
  FileDescriptor fd_;
};

}  // namespace

ListeningSocket listen_on(const std::string& path, int type) {
  ListeningSocket out;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    out.error = failure(path, "path too long", ENAMETOOLONG, "choose a shorter one");
    return out;
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const auto* const name = reinterpret_cast<const sockaddr*>(&address);
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);

  const LockBeside lock(path);
  if (!lock.valid()) {
    out.error = failure(path, "no lock file beside it", errno, "run as root, or choose a directory that you may write");
    return out;
  }
  const FileDescriptor probe(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int answered = connect(probe.get(), name, sizeof(address));
  // EAGAIN: its backlog is full. EPROTOTYPE: somebody of another kind.
  if (answered == 0 || errno == EAGAIN || errno == EPROTOTYPE) {
    out.in_use = true;
    out.error = "another process listens on " + path + " already; stop it, or choose another socket in the configuration";
    return out;
  }
  struct stat info;
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      out.error = failure(path, "there is a file that is no socket", EEXIST, "move it away or choose another path");
      return out;
    }
    unlink(path.c_str());
  }
  FileDescriptor fd(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t old_mask = umask(0177);
  const bool bound = fd.valid() && bind(fd.get(), name, sizeof(address)) == 0;
  const int bind_error = errno;
  umask(old_mask);
  if (!bound || listen(fd.get(), kBacklog) != 0) {
    out.error = failure(path, "bind failed", bound ? errno : bind_error, "run as root, or choose a directory that you may write");
    return out;
  }
  out.fd = std::move(fd);
  return out;
}

}  // namespace tmem
