// SPDX-License-Identifier: MIT
// A page cache of bounded size for file reads, least recently used out first. Its clean victims go to an ephemeral pool, and
// a miss asks there before it reads the file: cleancache's place in a guest. Without a front it is a plain cache.
//
// Owns the cached pages. Borrows the front. Thread rule: one thread.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "page_store.h"

namespace tmem::sim {

// A file as it was when listed. Its object id changes with its contents, so that no stale page is ever asked for.
struct CachedFile {
  std::string path;
  uint64_t size = 0;
  std::array<uint64_t, 3> object{};
  bool operator==(const CachedFile&) const = default;
};

struct FileCacheStats {
  uint64_t hits = 0;
  uint64_t hits_pool = 0;   // misses that the ephemeral pool had
  uint64_t misses = 0;      // read from the file
  uint64_t victims_put = 0;
  uint64_t victims_refused = 0;
};

class FileCache {
 public:
  // front may be null. The pool is made here; if that fails it is a plain cache.
  FileCache(uint32_t pages_max, tmem_front* front, uint32_t pool);
  ~FileCache();
  FileCache(const FileCache&) = delete;
  FileCache& operator=(const FileCache&) = delete;

  // One page of the file, with zeros beyond its end; null: it cannot be read. Valid until the next call.
  const std::byte* read(const CachedFile& file, uint32_t index);
  const FileCacheStats& stats() const { return stats_; }

 private:
  struct Key {
    std::array<uint64_t, 3> object;
    uint32_t index;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  struct Entry {
    Key key;
    std::unique_ptr<std::byte[]> bytes;
  };

  std::unique_ptr<std::byte[]> evict();
  bool fill(const CachedFile& file, const Key& key, std::byte* bytes);

  const uint32_t pages_max_;
  tmem_front* front_;
  const uint32_t pool_;
  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<Key, std::list<Entry>::iterator, KeyHash> index_;
  std::string open_path_;     // the file read last stays open
  int open_fd_ = -1;
  FileCacheStats stats_;
};

}  // namespace tmem::sim
