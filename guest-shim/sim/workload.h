// SPDX-License-Identifier: MIT
// Real work over real files, whose data structures live in memory that somebody else manages: it loads a tree of files,
// indexes their words, sorts their lines, hashes samples of the sorted lines, and reads every file a second time, in a
// seeded order, to compare it with what it loaded. The digest depends on the tree and the seed only, so that the same work
// done in plenty of memory must come to the same.
//
// Borrows memory and cache. Thread rule: run() is one thread; progress() is for any.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "file_cache.h"

namespace tmem::sim {

// Regular files below the tree, by path, until they hold so many bytes together. Links are not followed.
std::vector<CachedFile> list_tree(const std::string& tree, uint64_t bytes_max);

struct WorkResult {
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t lines = 0;
  uint64_t words_distinct = 0;
  uint64_t files_changed = 0;      // under our hands: their second reading says nothing
  uint64_t pages_different = 0;    // a byte was wrong: must be zero
  uint64_t digest = 0;
};

class Workload {
 public:
  // Of memory for so many bytes of files.
  static uint64_t memory_bytes(uint64_t bytes_max);

  Workload(std::span<std::byte> memory, FileCache& cache, const std::vector<CachedFile>& files, uint64_t seed);
  WorkResult run();

  enum Phase : uint32_t { kLoad, kSort, kHash, kCompare, kDone };
  Phase phase() const { return phase_; }
  uint64_t progress() const { return progress_; }  // pages or lines of the phase

 private:
  struct Line {
    uint64_t head;     // its first eight bytes, so that they sort as text does
    uint32_t start;    // where it begins in text_
    uint32_t length;
  };
  struct Word {
    uint64_t hash;     // 0: free
    uint32_t count;
    uint32_t first;    // where it stood first
  };

  void load();
  void index_words(uint32_t start, uint32_t end);
  void split_lines(uint32_t start, uint32_t end);
  void count_word(uint64_t hash, uint32_t at);
  void sort_lines();
  void hash_lines();
  void compare_files();
  void mix(uint64_t value) { result_.digest = (result_.digest ^ value) * 0x9e3779b97f4a7c15u + (result_.digest >> 29); }

  FileCache& cache_;
  const std::vector<CachedFile>& files_;
  const uint64_t seed_;
  std::span<std::byte> text_;  // these three lie in the memory we were given
  std::span<Line> lines_;
  std::span<Word> words_;
  uint32_t text_bytes_ = 0;
  uint32_t lines_count_ = 0;
  std::vector<uint32_t> start_of_file_;
  WorkResult result_;
  std::atomic<Phase> phase_{kLoad};
  std::atomic<uint64_t> progress_{0};
};

}  // namespace tmem::sim
