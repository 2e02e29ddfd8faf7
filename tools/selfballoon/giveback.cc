// SPDX-License-Identifier: MIT
#include "selfballoon/giveback.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace tmem::selfballoon {

GiveBack::~GiveBack() {
  if (child_ == 0) return;
  kill(child_, SIGKILL);  // ends the write, too
  waitpid(child_, nullptr, 0);
}

void GiveBack::start(uint64_t may_stay) {
  if (under_way()) return;
  const int fd = open(pages_target_.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) throw std::runtime_error("cannot open " + pages_target_.string() + ": " + std::strerror(errno));
  const std::string text = std::to_string(may_stay) + "\n";
  const pid_t pid = fork();
  // Only what a signal handler may do: the daemon may have other threads. How many have come is seen by their number.
  if (pid == 0) _exit(write(fd, text.data(), text.size()) < 0);
  const int error = errno;
  close(fd);
  if (pid < 0) throw std::runtime_error(std::string("cannot start a process: ") + std::strerror(error));
  child_ = pid;
}

bool GiveBack::under_way() {
  if (child_ != 0 && waitpid(child_, nullptr, WNOHANG) != 0) child_ = 0;
  return child_ != 0;
}

}  // namespace tmem::selfballoon
