// SPDX-License-Identifier: MIT
// Waiting: for the next second, for the kernel's word that processes stall, for xenstore, for a signal.
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <stdexcept>

#include "selfballoon/daemon.h"

namespace tmem::selfballoon {
namespace {

constexpr uint64_t kTickMs = 1000;
constexpr uint64_t kStallWindowUs = 500000;  // the shortest that the kernel takes
constexpr uint64_t kStallFloorUs = 1000;

uint64_t now_ms() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

// The kernel wakes us when stalls pass the threshold within half a second. Without it the look each second has to do.
class StallAlarm {
 public:
  explicit StallAlarm(const System& system) : path_(system.path("proc/pressure/memory")) {}
  ~StallAlarm() { close_it(); }
  StallAlarm(const StallAlarm&) = delete;
  StallAlarm& operator=(const StallAlarm&) = delete;

  void set(const Params& params) {
    const uint64_t threshold_us = std::max(kStallWindowUs / 1000 * params.pressure_stall_permille, kStallFloorUs);
    if (threshold_us == threshold_us_) return;
    close_it();
    threshold_us_ = threshold_us;
    fd_ = open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd_ < 0) return;
    const std::string trigger = "some " + std::to_string(threshold_us) + " " + std::to_string(kStallWindowUs);
    if (write(fd_, trigger.c_str(), trigger.size() + 1) < 0) close_it();
  }
  int fd() const { return fd_; }

 private:
  void close_it() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  std::filesystem::path path_;
  uint64_t threshold_us_ = 0;
  int fd_ = -1;
};

int open_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) throw std::runtime_error("no descriptor for signals");
  return fd;
}

}  // namespace

int run(Daemon& daemon, agent::XenStore& store, const System& system, const Daemon::Log& log) {
  StallAlarm alarm(system);
  const int signals = open_signals();
  uint64_t next_tick = now_ms(), next_interval = next_tick;
  for (;;) {
    alarm.set(daemon.params());
    pollfd fds[3] = {{store.fd(), POLLIN, 0}, {signals, POLLIN, 0}, {alarm.fd(), POLLPRI, 0}};
    const uint64_t now = now_ms();
    const uint64_t next = daemon.taking() ? std::min(next_tick, now + Daemon::kSliceMs) : next_tick;
    poll(fds, 3, next > now ? static_cast<int>(next - now) : 0);
    if (fds[1].revents) break;
    bool told = false;
    while (store.next_event()) told = true;
    if (told) daemon.refresh();
    const bool stalls = fds[2].revents & POLLPRI, due = now_ms() >= next_tick;
    if (!told && !stalls && !due) {
      if (daemon.taking()) daemon.go_on_taking(now_ms());
      continue;
    }
    const uint64_t at = now_ms();
    // An interval that was made shorter counts from now on.
    next_interval = std::min(next_interval, at + daemon.params().selfballoon_interval * uint64_t{1000});
    const bool between = at < next_interval;
    daemon.step(at, between);
    if (!between) next_interval = at + daemon.params().selfballoon_interval * uint64_t{1000};
    if (due) next_tick = at + kTickMs;
  }
  close(signals);
  log(LOG_INFO, "ends; the balloon is let go");
  daemon.release();
  return 0;
}

}  // namespace tmem::selfballoon
