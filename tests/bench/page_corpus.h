// SPDX-License-Identifier: MIT
// Page contents for benchmarks: files of this machine (programs, libraries, headers), taken whole pages at a time, same-filled
// ones left out. Where there are too few, pages that compress about as well are made from a seed.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>
#include <vector>

#include "store/codec.h"
#include "tmem/types.h"

namespace tmem::test {

class PageCorpus {
 public:
  explicit PageCorpus(size_t pages) {
    pages_.reserve(pages);
    for (const char* root : {"/usr/include", "/usr/lib/x86_64-linux-gnu", "/usr/bin", "/usr/share"}) take(root, pages_.size() + pages / 4, pages);
    while (pages_.size() < pages) pages_.push_back(made(pages_.size()));
    std::shuffle(pages_.begin(), pages_.end(), std::mt19937_64(1));
  }
  PageView operator[](size_t n) const { return PageView(pages_[n % pages_.size()]); }
  size_t size() const { return pages_.size(); }

 private:
  using Page = std::array<std::byte, kPageBytes>;

  void take(const char* root, size_t until, size_t pages_max) {
    std::error_code error;
    std::vector<std::filesystem::path> files;
    for (auto at = std::filesystem::recursive_directory_iterator(root, std::filesystem::directory_options::skip_permission_denied, error);
         !error && at != std::filesystem::recursive_directory_iterator() && files.size() < 4000; at.increment(error)) {
      std::error_code ignored;
      if (at->is_regular_file(ignored) && !at->is_symlink(ignored)) files.push_back(at->path());
    }
    std::sort(files.begin(), files.end());
    for (const auto& path : files) {
      if (pages_.size() >= std::min(until, pages_max)) return;
      std::FILE* file = std::fopen(path.c_str(), "rb");
      if (file == nullptr) continue;
      Page page;
      for (int n = 0; n < 64 && pages_.size() < pages_max && std::fread(page.data(), kPageBytes, 1, file) == 1; ++n) {
        if (!same_filled_word(PageView(page))) pages_.push_back(page);
      }
      std::fclose(file);
    }
  }
  static Page made(uint64_t seed) {
    Page page{};
    std::mt19937_64 random(seed);
    for (size_t i = 0; i < kPageBytes; i += 8) {
      const uint64_t word = i % 64 < 24 ? random() : seed;
      std::memcpy(page.data() + i, &word, 8);
    }
    return page;
  }

  std::vector<Page> pages_;
};

}  // namespace tmem::test
