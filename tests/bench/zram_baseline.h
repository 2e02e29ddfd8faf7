// SPDX-License-Identifier: MIT
// The in-kernel peer: zram with LZ4, one page per write and read, past the page cache. Only a device that nobody has set up is
// used, and it is left as it was found; it never becomes swap. Seconds of this thread per page; nothing without such a device.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/bench_report.h"

namespace tmem::bench {

class Zram {
 public:
  struct PerPage {
    double put, get;
  };

  // The first idle device, set up for so many bytes.
  static std::optional<Zram> claim(size_t bytes) {
    for (int n = 0; n < 8; ++n) {
      const std::string sys = "/sys/block/zram" + std::to_string(n);
      std::string initialised;
      std::ifstream(sys + "/initstate") >> initialised;
      if (initialised != "0") continue;
      if (!set(sys + "/comp_algorithm", "lz4") || !set(sys + "/disksize", std::to_string(bytes))) continue;
      const int fd = ::open(("/dev/zram" + std::to_string(n)).c_str(), O_RDWR | O_DIRECT | O_EXCL | O_CLOEXEC);
      if (fd >= 0) return Zram(sys, fd);
      set(sys + "/reset", "1");
    }
    return std::nullopt;
  }
  Zram(Zram&& other) noexcept : sys_(std::move(other.sys_)), fd_(std::exchange(other.fd_, -1)) {}
  Zram& operator=(Zram&&) = delete;
  ~Zram() {
    if (fd_ < 0) return;
    ::close(fd_);
    set(sys_ + "/reset", "1");
  }

  std::optional<PerPage> run(const std::vector<std::array<std::byte, 4096>>& pages) {
    const std::unique_ptr<void, decltype(&std::free)> buffer(std::aligned_alloc(4096, 4096), &std::free);
    double put = 0, get = 0;
    for (size_t n = 0; n < pages.size(); ++n) {
      std::memcpy(buffer.get(), pages[n].data(), 4096);
      const double start = cpu_seconds();
      if (::pwrite(fd_, buffer.get(), 4096, static_cast<off_t>(n * 4096)) != 4096) return std::nullopt;
      put += cpu_seconds() - start;
    }
    for (size_t n = 0; n < pages.size(); ++n) {
      const double start = cpu_seconds();
      if (::pread(fd_, buffer.get(), 4096, static_cast<off_t>(n * 4096)) != 4096) return std::nullopt;
      get += cpu_seconds() - start;
      if (std::memcmp(buffer.get(), pages[n].data(), 4096) != 0) return std::nullopt;
    }
    const auto count = static_cast<double>(pages.size());
    return PerPage{put / count, get / count};
  }

 private:
  Zram(std::string sys, int fd) : sys_(std::move(sys)), fd_(fd) {}
  static bool set(const std::string& file, const std::string& value) {
    std::ofstream out(file);
    out << value << std::flush;
    return out.good();
  }

  std::string sys_;
  int fd_;
};

}  // namespace tmem::bench
