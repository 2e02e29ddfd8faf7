// SPDX-License-Identifier: MIT
#include "selfballoon/unswap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace tmem::selfballoon {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kSwapped = uint64_t{1} << 62;  // bit of a pagemap entry
constexpr size_t kChunkPages = 512;               // pagemap entries read at a time

uint64_t hex(std::string_view text, size_t& used) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  used = error == std::errc{} ? static_cast<size_t>(end - text.data()) : 0;
  return value;
}

}  // namespace

std::vector<MemoryRange> parse_maps(std::string_view text) {
  std::vector<MemoryRange> ranges;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    MemoryRange range;
    size_t used = 0;
    range.from = hex(line, used);
    if (used == 0 || used >= line.size() || line[used] != '-') continue;
    line.remove_prefix(used + 1);
    range.to = hex(line, used);
    if (used == 0 || line.size() < used + 5) continue;
    const std::string_view rights = line.substr(used + 1, 4);
    if (rights[1] == 'w' && rights[3] == 'p' && range.from < range.to && range.from % kPageBytes == 0) ranges.push_back(range);
  }
  return ranges;
}

Unswap::Unswap(std::filesystem::path proc) : proc_(std::move(proc)) {
  unreadable_ = mmap(nullptr, kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (unreadable_ == MAP_FAILED) throw std::runtime_error("no address space for a single page");
}
Unswap::~Unswap() { munmap(unreadable_, kPageBytes); }

std::vector<pid_t> Unswap::processes() const {
  std::vector<pid_t> all;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(proc_, error)) {
    const std::string name = entry.path().filename().string();
    pid_t pid = 0;
    const auto [end, bad] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (bad == std::errc{} && end == name.data() + name.size() && pid != getpid()) all.push_back(pid);
  }
  std::sort(all.begin(), all.end());
  std::rotate(all.begin(), std::upper_bound(all.begin(), all.end(), last_), all.end());
  return all;
}

bool Unswap::touch_page(pid_t pid, uint64_t address) const {
  iovec local{unreadable_, 1};
  iovec remote{reinterpret_cast<void*>(static_cast<uintptr_t>(address)), 1};
  // The fault of our own source is what success looks like; it cannot be told from the fault of a page that is gone.
  return process_vm_writev(pid, &local, 1, &remote, 1, 0) < 0 && errno == EFAULT;
}

size_t Unswap::touch(pid_t pid, const std::vector<uint64_t>& addresses) const {
  size_t done = 0;
  for (const uint64_t address : addresses) {
    if (!touch_page(pid, address)) break;  // the process is gone, or may not be touched
    ++done;
  }
  return done;
}

size_t Unswap::bring_back_of(pid_t pid, size_t pages_max, Clock::time_point end) {
  const std::filesystem::path of = proc_ / std::to_string(pid);
  std::ifstream maps(of / "maps", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(maps), {}};
  const int pagemap = open((of / "pagemap").c_str(), O_RDONLY | O_CLOEXEC);
  if (pagemap < 0) return 0;
  const size_t done = walk(pid, parse_maps(text), pagemap, pages_max, end);
  close(pagemap);
  return done;
}

size_t Unswap::walk(pid_t pid, const std::vector<MemoryRange>& ranges, int pagemap, size_t pages_max, Clock::time_point end) {
  const auto seen = next_.extract(pid);
  const uint64_t from = seen.empty() ? 0 : seen.mapped();
  size_t done = 0;
  std::array<uint64_t, kChunkPages> entries;
  for (const MemoryRange& range : ranges) {
    for (uint64_t at = std::max(range.from, from); at < range.to;) {
      const size_t wanted = static_cast<size_t>(std::min<uint64_t>((range.to - at) / kPageBytes, kChunkPages));
      const ssize_t got = pread(pagemap, entries.data(), wanted * 8, static_cast<off_t>(at / kPageBytes * 8));
      if (got < 8) break;
      for (size_t i = 0; i < static_cast<size_t>(got) / 8; ++i, at += kPageBytes) {
        const bool swapped = (entries[i] & kSwapped) != 0;
        if (done == pages_max || ((swapped || i == 0) && Clock::now() >= end)) {
          next_[pid] = at;
          return done;
        }
        if (swapped && !touch_page(pid, at)) return done;
        done += swapped;
      }
    }
  }
  return done;
}

size_t Unswap::bring_back(size_t pages_max, std::chrono::milliseconds time_max) {
  const Clock::time_point end = Clock::now() + time_max;
  const std::vector<pid_t> pids = processes();
  std::erase_if(next_, [&](const auto& one) { return std::find(pids.begin(), pids.end(), one.first) == pids.end(); });
  size_t done = 0;
  for (const pid_t pid : pids) {
    if (done == pages_max || Clock::now() >= end) break;
    done += bring_back_of(pid, pages_max - done, end);
    last_ = pid;
  }
  return done;
}

}  // namespace tmem::selfballoon
