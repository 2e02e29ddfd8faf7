// SPDX-License-Identifier: MIT
#include "daemon/base/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/notify.h"
#include "tmem/limits.h"

namespace tmem {
namespace {

constexpr size_t kFdsPerMessageMax = 8;
constexpr int64_t kWatchdogMs = 30'000;
constexpr int64_t kStopMs = 30'000;
constexpr int64_t kBackoffMsMin = 50;
constexpr int64_t kBackoffMsMax = 5'000;
constexpr int64_t kStableMs = 10'000;     // having run so long, a service starts again without delay
constexpr uint32_t kFailedStartsMax = 5;  // then the arenas are given up: empty is better than never

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&set, signal);
  return set;
}

}  // namespace

Supervisor::Supervisor(std::vector<std::string> command) : command_(std::move(command)) {}

bool Supervisor::open_descriptors() {
  const sigset_t set = handled_signals();
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return false;
  signals_ = FileDescriptor(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  notify_ = FileDescriptor(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socklen_t length = sizeof(address);
  if (!signals_.valid() || !notify_.valid() || setsockopt(notify_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0 ||
      // The family alone: the kernel picks a free abstract name.
      bind(notify_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(sa_family_t)) != 0 ||
      getsockname(notify_.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return false;
  }
  notify_name_ = "@" + std::string(address.sun_path + 1, length - offsetof(sockaddr_un, sun_path) - 1);
  return true;
}

int Supervisor::run() {
  if (!open_descriptors()) {
    log(LogLevel::kError, "supervisor cannot start", {{"reason", std::string_view(std::strerror(errno))}});
    return kExitFailure;
  }
  while (exit_status_ < 0) {
    if (service_ < 0 && monotonic_ms() >= start_at_ms_ && !start_service()) return kExitFailure;
    std::array<pollfd, 2> waited{{{signals_.get(), POLLIN, 0}, {notify_.get(), POLLIN, 0}}};
    if (poll(waited.data(), waited.size(), poll_timeout_ms()) < 0 && errno != EINTR) return kExitFailure;
    // Messages first: what a service stored before it died must be kept before the next one starts.
    receive_message();
    take_signal();
    check_deadlines();
  }
  remove_socket_files();
  return exit_status_;
}

// Nobody will serve them again.
void Supervisor::remove_socket_files() {
  for (const auto& [name, fd] : kept_) {
    int listening = 0;
    sockaddr_un address{};
    socklen_t option_length = sizeof(listening);
    socklen_t length = sizeof(address);
    const bool ours = getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &option_length) == 0 && listening != 0 &&
                      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0;
    if (ours && address.sun_path[0] == '/') unlink(address.sun_path);
  }
}

int Supervisor::poll_timeout_ms() const {
  int64_t next = INT64_MAX;
  if (service_ < 0) next = start_at_ms_;
  if (service_ >= 0 && alive_until_ms_ != 0) next = std::min(next, alive_until_ms_);
  if (service_ >= 0 && kill_at_ms_ != 0) next = std::min(next, kill_at_ms_);
  if (next == INT64_MAX) return -1;
  return static_cast<int>(std::clamp<int64_t>(next - monotonic_ms(), 0, 60'000));
}

bool Supervisor::start_service() {
  ready_ = false;
  alive_until_ms_ = 0;
  kill_at_ms_ = 0;
  started_at_ms_ = monotonic_ms();
  service_ = fork();
  if (service_ == 0) become_service();
  if (service_ < 0) log(LogLevel::kError, "cannot fork the service", {{"reason", std::string_view(std::strerror(errno))}});
  return service_ > 0;
}

void Supervisor::become_service() {
  const sigset_t set = handled_signals();
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  std::vector<int> moved;
  std::string names;
  for (const auto& [name, fd] : kept_) {
    // Out of the way first, so that putting one into its place never closes another.
    moved.push_back(fcntl(fd.get(), F_DUPFD, kInheritedFdFirst + static_cast<int>(kept_.size())));
    names += (names.empty() ? "" : ":") + name;
  }
  for (size_t i = 0; i < moved.size(); ++i) {
    // A service that has only some of them would make new ones and lose what is in the others.
    if (moved[i] < 0 || dup2(moved[i], kInheritedFdFirst + static_cast<int>(i)) < 0) {
      log(LogLevel::kError, "cannot hand over what is kept: raise the limit of open files", {{"reason", std::string_view(std::strerror(errno))}});
      _exit(kExitUsage);
    }
    close(moved[i]);
  }
  const std::string pid = std::to_string(getpid());
  setenv("LISTEN_PID", pid.c_str(), 1);
  setenv("LISTEN_FDS", std::to_string(moved.size()).c_str(), 1);
  setenv("LISTEN_FDNAMES", names.c_str(), 1);
  setenv("NOTIFY_SOCKET", notify_name_.c_str(), 1);
  setenv("WATCHDOG_PID", pid.c_str(), 1);
  setenv("WATCHDOG_USEC", std::to_string(kWatchdogMs * 1000).c_str(), 1);
  setenv(kEnvRestarts, std::to_string(restarts_).c_str(), 1);
  std::vector<char*> arguments;
  for (std::string& argument : command_) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  _exit(127);
}

void Supervisor::receive_message() {
  for (;;) {
    std::array<char, 4096> text;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kFdsPerMessageMax * sizeof(int)) + CMSG_SPACE(sizeof(ucred))> control;
    iovec part{text.data(), text.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t length = recvmsg(notify_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0) return;
    std::vector<FileDescriptor> fds;
    pid_t sender = -1;
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level != SOL_SOCKET) continue;
      if (c->cmsg_type == SCM_CREDENTIALS) {
        ucred credentials;
        std::memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
        sender = credentials.pid;
      } else if (c->cmsg_type == SCM_RIGHTS) {
        for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
          int fd;
          std::memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
          fds.emplace_back(fd);
        }
      }
    }
    // Abstract names are open to every local process: only our own child is heard.
    if (sender > 0 && sender == service_) take_message({text.data(), static_cast<size_t>(length)}, std::move(fds));
  }
}

void Supervisor::take_message(std::string_view message, std::vector<FileDescriptor> fds) {
  bool store = false;
  bool remove = false;
  std::string name;
  while (!message.empty()) {
    const size_t end = message.find('\n');
    const std::string_view line = message.substr(0, end);
    message.remove_prefix(end == std::string_view::npos ? message.size() : end + 1);
    if (line == "READY=1") {
      ready_ = was_ready_ = true;
      failed_starts_ = 0;
      alive_until_ms_ = monotonic_ms() + kWatchdogMs;
    } else if (line == "WATCHDOG=1") {
      alive_until_ms_ = monotonic_ms() + kWatchdogMs;
    } else if (line == "STOPPING=1") {
      alive_until_ms_ = 0;
    } else if (line == "FDSTORE=1") {
      store = true;
    } else if (line == "FDSTOREREMOVE=1") {
      remove = true;
    } else if (line.starts_with("FDNAME=")) {
      name = line.substr(7);
    }
  }
  if (name.empty() || name.find(':') != std::string::npos) return;
  if (remove) kept_.erase(name);
  if (store && fds.size() == 1 && kept_.size() < kKeptFdsMax) kept_.insert_or_assign(name, std::move(fds[0]));
}

void Supervisor::take_signal() {
  signalfd_siginfo info;
  while (read(signals_.get(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGCHLD) {
      // As process 1 we inherit others' children as well; one signal may stand for several.
      int wait_status = 0;
      for (pid_t ended; (ended = waitpid(-1, &wait_status, WNOHANG)) > 0;) {
        if (ended == service_) service_ended(wait_status);
      }
      continue;
    }
    if (signal == SIGHUP) {
      restart_asked_ = true;
    } else {
      stopping_ = true;
      if (service_ < 0) exit_status_ = kExitOk;
    }
    if (service_ > 0) {
      kill(service_, SIGTERM);
      kill_at_ms_ = monotonic_ms() + kStopMs;
    }
  }
}

void Supervisor::service_ended(int wait_status) {
  receive_message();
  service_ = -1;
  const bool exited = WIFEXITED(wait_status);
  const int status = exited ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
  if (stopping_ || (!was_ready_ && exited)) {
    // A first start that fails fails for good: the operator is looking.
    exit_status_ = status;
    return;
  }
  if (exited && status == kExitOk && !restart_asked_) {
    exit_status_ = kExitOk;  // somebody else asked it to stop
    return;
  }
  const bool asked = std::exchange(restart_asked_, false);
  // A wrong configuration, sockets in use or too few descriptors are not the arenas' fault: those wait until it is mended.
  const bool blameless = exited && status >= kExitUsage && status <= kExitInUse;
  if (!ready_ && !blameless) ++failed_starts_;
  const bool stable = ready_ && monotonic_ms() - started_at_ms_ >= kStableMs;
  const int64_t delay = asked || stable ? 0 : blameless ? kBackoffMsMax : std::min(kBackoffMsMax, kBackoffMsMin << std::min(failed_starts_, 16U));
  start_at_ms_ = monotonic_ms() + delay;
  ++restarts_;
  log(asked ? LogLevel::kInfo : LogLevel::kError, asked ? "service restarts" : "service died, restarting",
      {{"status", status}, {"restarts", restarts_}, {"delay_ms", delay}, {"descriptors_kept", kept_.size()}});
  if (failed_starts_ == kFailedStartsMax && !blameless) {
    log(LogLevel::kError, "service cannot start with the arenas kept: they are given up", {{"failed_starts", failed_starts_}});
    std::erase_if(kept_, [](const auto& entry) { return entry.first.starts_with("arena"); });
  }
}

void Supervisor::check_deadlines() {
  if (service_ < 0) return;
  const int64_t now = monotonic_ms();
  if (kill_at_ms_ != 0 && now >= kill_at_ms_) {
    log(LogLevel::kError, "service does not stop: killing it", {{"pid", service_}});
    kill_at_ms_ = 0;
    kill(service_, SIGKILL);
  } else if (alive_until_ms_ != 0 && now >= alive_until_ms_) {
    log(LogLevel::kError, "service gives no sign of life: killing it", {{"pid", service_}});
    alive_until_ms_ = 0;
    kill(service_, SIGKILL);
  }
}

}  // namespace tmem
