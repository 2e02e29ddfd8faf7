// SPDX-License-Identifier: MIT
// Where the pager puts the pages that its budget has no room for: a persistent pool of the service, or a plain file, or the
// file for those that the pool refuses. Pages are numbered from zero.
//
// Thread rule: one thread at a time (the pager's).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tmem_front.h"

namespace tmem::sim {

inline constexpr size_t kPageBytes = TMEMIF_PAGE_BYTES;

class PageStore {
 public:
  virtual ~PageStore() = default;
  // False: refused; the page stays with the caller, and an older copy is gone.
  virtual bool put(uint32_t page, const std::byte* bytes) = 0;
  // Reads back what was put last. False: it is lost; the bytes are unspecified and must not be used.
  virtual bool get(uint32_t page, std::byte* bytes) = 0;
};

// A persistent pool. Borrows the front.
class TmemStore final : public PageStore {
 public:
  // False of ok(): the pool could not be made.
  TmemStore(tmem_front* front, uint32_t pool);
  ~TmemStore() override;
  bool ok() const { return ok_; }
  bool put(uint32_t page, const std::byte* bytes) override;
  bool get(uint32_t page, std::byte* bytes) override;

 private:
  tmem_front* const front_;
  const uint32_t pool_;
  const bool ok_;
};

// A file, with O_DIRECT where the file system has it: as swapping does, past the page cache.
class FileStore final : public PageStore {
 public:
  // Makes the file, or empties it; removed at the end. Null: error says why.
  static std::unique_ptr<FileStore> create(const std::string& path, std::string& error);
  ~FileStore() override;
  bool direct() const { return direct_; }
  bool put(uint32_t page, const std::byte* bytes) override;
  bool get(uint32_t page, std::byte* bytes) override;

 private:
  FileStore(std::string path, int fd, bool direct);

  const std::string path_;
  const int fd_;
  const bool direct_;
  std::unique_ptr<std::byte, decltype(&std::free)> bounce_;  // O_DIRECT wants its buffers aligned
};

// First the one, and what that refuses goes to the other. Borrows both.
class OverflowStore final : public PageStore {
 public:
  OverflowStore(PageStore& first, PageStore& second, uint32_t pages_count);
  bool put(uint32_t page, const std::byte* bytes) override;
  bool get(uint32_t page, std::byte* bytes) override;
  uint64_t overflowed() const { return overflowed_; }

 private:
  PageStore& first_;
  PageStore& second_;
  std::vector<bool> in_second_;
  std::atomic<uint64_t> overflowed_{0};
};

}  // namespace tmem::sim
