// SPDX-License-Identifier: MIT
// Brings pages of processes back from the swap disk, a bounded number at a time, walking over all processes in turn.
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

#include <cstddef>
#include <cstdint>
#include <filesystem>
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

  // At most pages_max. Returns how many came back; the next call goes on with the process after the last one.
  size_t bring_back(size_t pages_max);
  // Makes sure that these pages of a process are in memory and its own. Returns how many of them it was told are.
  size_t touch(pid_t pid, const std::vector<uint64_t>& addresses) const;

 private:
  std::vector<pid_t> processes() const;
  std::vector<uint64_t> swapped_pages(pid_t pid, size_t pages_max) const;

  std::filesystem::path proc_;
  void* unreadable_ = nullptr;  // a page without access
  pid_t last_ = 0;
};

}  // namespace tmem::selfballoon
