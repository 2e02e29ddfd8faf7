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

std::vector<uint64_t> Unswap::swapped_pages(pid_t pid, size_t pages_max) const {
  std::vector<uint64_t> found;
  const std::filesystem::path of = proc_ / std::to_string(pid);
  std::ifstream maps(of / "maps", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(maps), {}};
  const int fd = open((of / "pagemap").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return found;
  std::array<uint64_t, kChunkPages> entries;
  for (const MemoryRange& range : parse_maps(text)) {
    for (uint64_t at = range.from; at < range.to && found.size() < pages_max;) {
      const size_t wanted = static_cast<size_t>(std::min<uint64_t>((range.to - at) / kPageBytes, kChunkPages));
      const ssize_t got = pread(fd, entries.data(), wanted * 8, static_cast<off_t>(at / kPageBytes * 8));
      if (got < 8) break;
      for (size_t i = 0; i < static_cast<size_t>(got) / 8 && found.size() < pages_max; ++i) {
        if (entries[i] & kSwapped) found.push_back(at + i * kPageBytes);
      }
      at += static_cast<uint64_t>(got) / 8 * kPageBytes;
    }
  }
  close(fd);
  return found;
}

size_t Unswap::touch(pid_t pid, const std::vector<uint64_t>& addresses) const {
  size_t done = 0;
  for (const uint64_t address : addresses) {
    iovec local{unreadable_, 1};
    iovec remote{reinterpret_cast<void*>(static_cast<uintptr_t>(address)), 1};
    // The fault of our own source is what success looks like; it cannot be told from the fault of a page that is gone.
    const ssize_t written = process_vm_writev(pid, &local, 1, &remote, 1, 0);
    if (written < 0 && errno == EFAULT) ++done;
    else break;  // the process is gone, or may not be touched
  }
  return done;
}

size_t Unswap::bring_back(size_t pages_max) {
  size_t done = 0;
  for (const pid_t pid : processes()) {
    if (done >= pages_max) break;
    const std::vector<uint64_t> pages = swapped_pages(pid, pages_max - done);
    if (!pages.empty()) {
      done += touch(pid, pages);
      last_ = done >= pages_max ? pid - 1 : pid;  // one that is not finished goes on next time
    }
  }
  return done;
}

}  // namespace tmem::selfballoon
