// SPDX-License-Identifier: MIT
#include "selfballoon/system.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "selfballoon/parse.h"

namespace tmem::selfballoon {
namespace {

constexpr const char* kBalloonTarget = "sys/devices/system/xen_memory/xen_memory0/target_kb";
constexpr const char* kBalloonRetry = "sys/devices/system/xen_memory/xen_memory0/max_schedule_delay";
constexpr const char* kBalloonRetries = "sys/devices/system/xen_memory/xen_memory0/max_retry_count";  // 0: no end
constexpr const char* kBalloonCurrent = "sys/devices/system/xen_memory/xen_memory0/info/current_kb";
constexpr size_t kFileMax = size_t{1} << 20;  // /proc/zoneinfo of a large machine has some hundred KiB
constexpr uint64_t kPageKib = 4;

uint64_t of(const Table& table, std::string_view name) {
  const auto found = table.find(name);
  return found == table.end() ? 0 : found->second;
}

bool write_to(const std::filesystem::path& path, const std::string& value) {
  const int fd = open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, value.data(), value.size()) == static_cast<ssize_t>(value.size());
  const int error = errno;
  close(fd);
  errno = error;
  return written;
}

[[noreturn]] void fail(const char* what, const std::filesystem::path& path) {
  throw std::runtime_error(std::string("cannot ") + what + " " + path.string() + ": " + std::strerror(errno));
}

// Memory of the kernel's own that no reclaim can get back.
uint64_t kernel_kib(const Table& meminfo, uint64_t reserve_kib) {
  return of(meminfo, "SUnreclaim") + of(meminfo, "KernelStack") + of(meminfo, "PageTables") + of(meminfo, "Percpu") +
         of(meminfo, "Unevictable") + reserve_kib;
}

}  // namespace

std::optional<std::string> System::maybe_text(const char* below) const {
  const int fd = open((root_ / below).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::string all;
  char part[4096];
  ssize_t got = 0;
  while (all.size() < kFileMax && (got = read(fd, part, sizeof part)) > 0) all.append(part, static_cast<size_t>(got));
  close(fd);
  if (got < 0) return std::nullopt;
  return all;
}

std::string System::text(const char* below) const {
  auto all = maybe_text(below);
  if (!all) fail("read", root_ / below);
  return std::move(*all);
}

uint64_t System::number(const char* below) const {
  const auto value = parse_number(text(below));
  if (!value) throw std::runtime_error("there is no number in " + (root_ / below).string());
  return *value;
}

uint64_t System::maybe_number(const char* below) const { return parse_number(maybe_text(below).value_or("")).value_or(0); }

bool System::is_dom0() const {
  const auto capabilities = maybe_text("proc/xen/capabilities");
  if (capabilities && capabilities->find("control_d") != std::string::npos) return true;
  const auto uuid = maybe_text("sys/hypervisor/uuid");  // dom0's is all zeros
  return uuid && uuid->rfind("00000000-0000-0000-0000-000000000000", 0) == 0;
}
bool System::has_balloon() const { return std::filesystem::exists(root_ / kBalloonTarget); }
const char* System::nothing_to_do() const {
  if (is_dom0()) return "this is dom0, whose memory is the toolstack's business";
  return has_balloon() ? nullptr : "there is no Xen balloon driver here";
}
bool System::is_pv() const { return maybe_text("sys/hypervisor/guest_type").value_or("PV").rfind("PV\n", 0) == 0; }
bool System::has_pressure() const { return parse_stall_us(maybe_text("proc/pressure/memory").value_or("")).has_value(); }
std::string System::boot_id() const { return maybe_text("proc/sys/kernel/random/boot_id").value_or(""); }

Sample System::sample() const {
  const Table meminfo = parse_table(text("proc/meminfo")), vmstat = parse_table(text("proc/vmstat"));
  const Zones zones = parse_zoneinfo(text("proc/zoneinfo"));
  Sample result;
  result.target_kib = number(kBalloonTarget);
  result.current_kib = number(kBalloonCurrent);
  result.total_kib = of(meminfo, "MemTotal");
  result.available_kib = of(meminfo, "MemAvailable");
  if (result.total_kib == 0) throw std::runtime_error("there is no MemTotal in " + (root_ / "proc/meminfo").string());
  result.committed_kib = of(meminfo, "Committed_AS");
  result.reserve_kib = zones.reserve_pages * kPageKib;
  result.span_kib = zones.span_pages * kPageKib;
  result.kernel_kib = kernel_kib(meminfo, result.reserve_kib);
  // Not the sum: frontswap takes pages of every swap area, and of a tmem swap disk they are in use there as well.
  result.in_tmem_kib = std::max(parse_swaps_used_kib(maybe_text("proc/swaps").value_or(""), "/dev/tmemswap"), frontswap_pages() * kPageKib);
  result.stall_us = parse_stall_us(maybe_text("proc/pressure/memory").value_or(""));
  // One name before 5.9, two since.
  result.refaults_pages = of(vmstat, "workingset_refault") + of(vmstat, "workingset_refault_anon") + of(vmstat, "workingset_refault_file");
  // pswpin counts what a swap device has read, which is not what frontswap has.
  result.swapins_pages = of(vmstat, "pswpin") + maybe_number("sys/kernel/tmem/frontswap_loaded");
  return result;
}

bool System::has_frontswap() const { return std::filesystem::exists(root_ / kPagesTarget); }
uint64_t System::frontswap_pages() const { return maybe_number("sys/kernel/tmem/frontswap_pages"); }

uint64_t System::target_kib() const { return number(kBalloonTarget); }

void System::set_target(uint64_t kib) const {
  const std::filesystem::path path = root_ / kBalloonTarget;
  if (!write_to(path, std::to_string(kib) + "\n")) fail("write", path);
}

bool System::retry_each_second() const {
  const bool often = write_to(root_ / kBalloonRetry, "1\n");
  return write_to(root_ / kBalloonRetries, "0\n") && often;
}

}  // namespace tmem::selfballoon
