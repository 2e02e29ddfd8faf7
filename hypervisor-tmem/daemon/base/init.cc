// SPDX-License-Identifier: MIT
#include "daemon/base/init.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

#include "daemon/base/log.h"
#include "transport/file_descriptor.h"

namespace tmem {
namespace {

constexpr std::string_view kPrefix = "tmem.";
constexpr const char* kModules = "/lib/modules/order";                            // a path a line
constexpr const char* kOwnConfig = "/usr/lib/xen-tmem/tmem.conf.d/50-domain.conf";  // below /etc/xen/tmem.conf
constexpr const char* kLineConfig = "/run/xen-tmem/tmem.conf.d/50-command-line.conf";  // above everything
constexpr uint64_t kReserveMib = 32;
constexpr uint64_t kReservePercent = 3;

void complain(std::string_view what, std::string_view about) {
  log(LogLevel::kError, what, {{"about", about}, {"reason", std::string_view(std::strerror(errno))}});
}

void mount_all() {
  struct Mount {
    const char* type;
    const char* place;
  };
  for (const Mount& m : {Mount{"proc", "/proc"}, Mount{"sysfs", "/sys"}, Mount{"devtmpfs", "/dev"}}) {
    mkdir(m.place, 0755);
    // The kernel may have mounted /dev by itself.
    if (mount(m.type, m.place, m.type, MS_NOSUID | MS_NOEXEC, nullptr) != 0 && errno != EBUSY) complain("cannot mount", m.place);
  }
}

// The console that the kernel gave us may be of the time before devtmpfs, or missing.
void open_console() {
  const FileDescriptor console(open("/dev/console", O_RDWR));
  if (!console.valid()) return;
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(console.get(), fd);
}

void load_modules() {
  std::ifstream order(kModules);
  for (std::string path; std::getline(order, path);) {
    const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if ((!file.valid() || syscall(SYS_finit_module, file.get(), "", 0) != 0) && errno != EEXIST) complain("cannot load a kernel module", path);
  }
}

std::string read_file(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

void write_file(const std::string& path, const std::string& text) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    mkdir(path.substr(0, slash).c_str(), 0755);
  }
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) complain("cannot write", path);
}

// Memory that the agent means for us may be another's for a moment. The kernel asks four times for it, and then not for an hour.
void balloon_never_gives_up() {
  const std::string balloon = "/sys/devices/system/xen_memory/xen_memory0/";
  if (access(balloon.c_str(), F_OK) != 0) return;
  write_file(balloon + "max_schedule_delay", "1\n");
  write_file(balloon + "max_retry_count", "0\n");
}

}  // namespace

Role role_of(std::string_view program, bool first_process) {
  const std::string_view name = program.substr(program.rfind('/') + 1);
  if (name == "init" && first_process) return Role::kInit;
  return name == "poweroff" ? Role::kPoweroff : Role::kProgram;
}

std::string config_of_command_line(std::string_view command_line) {
  std::istringstream words{std::string(command_line)};
  std::string text;
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    if (!word.starts_with(kPrefix) || equals == std::string::npos) continue;
    text += word.substr(kPrefix.size(), equals - kPrefix.size()) + " = " + word.substr(equals + 1) + "\n";
  }
  return text;
}

uint64_t arena_mib_of(std::string_view meminfo) {
  constexpr std::string_view kField = "MemAvailable:";
  const size_t at = meminfo.find(kField);
  if (at == std::string_view::npos) return 0;
  const size_t digit = std::min(meminfo.find_first_not_of(' ', at + kField.size()), meminfo.size());
  uint64_t kib = 0;
  std::from_chars(meminfo.data() + digit, meminfo.data() + meminfo.size(), kib);
  const uint64_t mib = kib / 1024;
  const uint64_t reserve = kReserveMib + mib * kReservePercent / 100;
  return mib > reserve ? mib - reserve : 0;
}

void prepare_machine() {
  mount_all();
  open_console();
  load_modules();
  mkdir("/proc/xen", 0755);
  if (mount("xenfs", "/proc/xen", "xenfs", MS_NOSUID | MS_NOEXEC, nullptr) != 0) complain("cannot mount", "/proc/xen");
  balloon_never_gives_up();
  const uint64_t arena_mib = arena_mib_of(read_file("/proc/meminfo"));
  const std::string size = std::to_string(arena_mib) + "M\n";
  write_file(kOwnConfig, "xen = on\n" + (arena_mib == 0 ? std::string() : "memory = " + size + "memory-max = " + size));
  write_file(kLineConfig, config_of_command_line(read_file("/proc/cmdline")));
}

void power_off(int status) {
  log(status == 0 ? LogLevel::kInfo : LogLevel::kError, "the service has ended, powering off", {{"status", status}});
  tcdrain(STDERR_FILENO);
  sync();
  reboot(RB_POWER_OFF);
  for (;;) pause();
}

int ask_for_power_off() { return kill(1, SIGTERM) == 0 ? 0 : 1; }

}  // namespace tmem
