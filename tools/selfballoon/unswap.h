// SPDX-License-Identifier: MIT
// Brings pages of processes back from the swap disk, a bounded number at a time and for a bounded time, walking over all processes in
// turn: whoever maps terabytes, or waits long for a page, holds up nobody.
//
// How: /proc/PID/pagemap says which pages are swapped out. A page comes back when somebody reads it; its place on the swap disk
// is free only when somebody writes to it. So each page is asked for as for writing, by process_vm_writev() from a source that
// cannot be read: the kernel brings the page in, makes it the process's own, copies nothing, and reports a fault. Contents are
// never touched. swapoff would bring back everything at once. Pages of memory-backed files stay where they are, and
// so do pages that their process may not write.
//
// Needs CAP_SYS_PTRACE and CAP_SYS_ADMIN. Thread rule: one thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string_view>
#include <vector>

namespace tmem::selfballoon {

struct MemoryRange {
  uint64_t from = 0, to = 0;
};
// The private, writable ranges of a process, out of the text of /proc/PID/maps.
std::vector<MemoryRange> parse_maps(std::string_view text);

class Unswap {
 public:
  explicit Unswap(std::filesystem::path proc = "/proc");
  ~Unswap();
  Unswap(const Unswap&) = delete;
  Unswap& operator=(const Unswap&) = delete;

  // At most pages_max, and none after the time is over. Returns how many came back; the next call goes on with the process after the
  // last one, and each time with what comes after what was seen of a process.
  size_t bring_back(size_t pages_max, std::chrono::milliseconds time_max = std::chrono::milliseconds{500});
  // Makes sure that these pages of a process are in memory and its own. Returns how many of them it was told are.
  size_t touch(pid_t pid, const std::vector<uint64_t>& addresses) const;

 private:
  using Clock = std::chrono::steady_clock;
  std::vector<pid_t> processes() const;
  size_t bring_back_of(pid_t pid, size_t pages_max, Clock::time_point end);
  size_t walk(pid_t pid, const std::vector<MemoryRange>& ranges, int pagemap, size_t pages_max, Clock::time_point end);
  bool touch_page(pid_t pid, uint64_t address) const;

  std::filesystem::path proc_;
  void* unreadable_ = nullptr;  // a page without access
  pid_t last_ = 0;
  std::map<pid_t, uint64_t> next_;  // of processes that were not seen to their end, where to go on
};

}  // namespace tmem::selfballoon
