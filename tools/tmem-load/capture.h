// SPDX-License-Identifier: MIT
// Pages as guests have them: the anonymous memory of real programs, taken from processes that are started for it (an
// interpreter with a heap of objects, a compiler at work, a sort) and ended again. Where that is not allowed, pages of files
// under /usr, and it is said. Only processes of our own are ever looked into.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tmem {

class PageCorpus {
 public:
  size_t count() const { return bytes_.size() / 4096; }
  std::span<const std::byte, 4096> page(size_t n) const { return std::span<const std::byte, 4096>(&bytes_[n * 4096], 4096); }
  const std::string& source() const { return source_; }  // for people: "python3 4096, cc1plus 4096, sort 4096"

  // At most pages_max pages, in equal parts where all programs are there. Takes a few seconds. May be empty.
  static PageCorpus capture(size_t pages_max);
  // Of whole pages that the caller has.
  static PageCorpus made_of(std::vector<std::byte> pages);

 private:
  void add(const std::string& name, std::vector<std::byte> pages);

  std::vector<std::byte> bytes_;
  std::string source_;
};

}  // namespace tmem
