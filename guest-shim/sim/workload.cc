// SPDX-License-Identifier: MIT
#include "workload.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <random>

namespace tmem::sim {

namespace {

constexpr uint32_t kLineBytesMost = 120;   // longer ones (binaries) are cut
constexpr uint32_t kLineBytesMean = 40;    // room for lines is made for this; when it is used up, the rest stays unsorted
constexpr uint32_t kBytesPerWordSlot = 64;
constexpr uint32_t kSampleEvery = 64;      // sorted lines whose text is looked at: each one is a jump

uint64_t lines_room(uint64_t bytes) { return bytes / kLineBytesMean + 1; }

uint64_t word_slots(uint64_t bytes) {
  uint64_t slots = 1024;
  while (slots * kBytesPerWordSlot < bytes) slots *= 2;
  return slots;
}

bool is_letter(std::byte b) {
  const auto c = static_cast<unsigned char>(b);
  return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

uint64_t page_aligned(uint64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes; }

bool describe(const std::filesystem::path& path, CachedFile& file) {
  struct stat st;
  if (::lstat(path.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return false;
  const auto time = static_cast<uint64_t>(st.st_mtim.tv_sec) * 1000000000u + static_cast<uint64_t>(st.st_mtim.tv_nsec);
  file = {path.string(), static_cast<uint64_t>(st.st_size),
          {static_cast<uint64_t>(st.st_ino), time, static_cast<uint64_t>(st.st_size) ^ (static_cast<uint64_t>(st.st_dev) << 40)}};
  return true;
}

}  // namespace

std::vector<CachedFile> list_tree(const std::string& tree, uint64_t bytes_max) {
  namespace fs = std::filesystem;
  std::vector<fs::path> paths;
  std::error_code error;
  fs::recursive_directory_iterator it(tree, fs::directory_options::skip_permission_denied, error), end;
  for (; !error && it != end; it.increment(error))
    if (it->is_regular_file(error) && !it->is_symlink(error)) paths.push_back(it->path());
  std::sort(paths.begin(), paths.end());
  std::vector<CachedFile> files;
  uint64_t bytes = 0;
  for (const fs::path& path : paths) {
    CachedFile file;
    if (::access(path.c_str(), R_OK) != 0 || !describe(path, file) || file.size == 0 || bytes + file.size > bytes_max) continue;
    bytes += file.size;
    files.push_back(std::move(file));
  }
  return files;
}

uint64_t Workload::memory_bytes(uint64_t bytes_max) {
  return page_aligned(bytes_max) + page_aligned(lines_room(bytes_max) * sizeof(Line)) +
         page_aligned(word_slots(bytes_max) * sizeof(Word));
}

Workload::Workload(std::span<std::byte> memory, FileCache& cache, const std::vector<CachedFile>& files, uint64_t seed)
    : cache_(cache), files_(files), seed_(seed) {
  uint64_t bytes = 0;
  for (const CachedFile& file : files_) bytes += file.size;
  std::byte* at = memory.data();
  text_ = {at, bytes};
  at += page_aligned(bytes);
  lines_ = {reinterpret_cast<Line*>(at), lines_room(bytes)};
  at += page_aligned(lines_.size_bytes());
  words_ = {reinterpret_cast<Word*>(at), word_slots(bytes)};
}

WorkResult Workload::run() {
  load();
  sort_lines();
  hash_lines();
  compare_files();
  phase_ = kDone;
  return result_;
}

void Workload::load() {
  for (const CachedFile& file : files_) {
    start_of_file_.push_back(text_bytes_);
    const uint32_t start = text_bytes_;
    for (uint64_t at = 0; at < file.size; at += kPageBytes) {
      const std::byte* page = cache_.read(file, static_cast<uint32_t>(at / kPageBytes));
      const auto count = static_cast<uint32_t>(std::min<uint64_t>(kPageBytes, file.size - at));
      if (page) std::memcpy(&text_[text_bytes_], page, count);
      text_bytes_ += count;
      ++progress_;
    }
    index_words(start, text_bytes_);
    split_lines(start, text_bytes_);
    ++result_.files;
  }
  result_.bytes = text_bytes_;
  result_.lines = lines_count_;
}

void Workload::index_words(uint32_t start, uint32_t end) {
  for (uint32_t at = start; at < end;) {
    uint64_t hash = 0xcbf29ce484222325u;
    const uint32_t word = at;
    while (at < end && is_letter(text_[at])) hash = (hash ^ static_cast<uint64_t>(text_[at++])) * 0x100000001b3u;
    if (at - word >= 3) count_word(hash, word);
    ++at;
  }
}

// Open addressing; when three quarters are taken only known words are counted.
void Workload::count_word(uint64_t hash, uint32_t at) {
  hash |= 1;
  for (uint64_t slot = hash >> 20;; ++slot) {
    Word& word = words_[slot & (words_.size() - 1)];
    if (word.hash == hash) {
      ++word.count;
      return;
    }
    if (word.hash != 0) continue;
    if (result_.words_distinct >= words_.size() / 4 * 3) return;
    word = {hash, 1, at};
    ++result_.words_distinct;
    return;
  }
}

void Workload::split_lines(uint32_t start, uint32_t end) {
  while (start < end && lines_count_ < lines_.size()) {
    const uint32_t most = std::min(end - start, kLineBytesMost);
    const void* newline = std::memchr(&text_[start], '\n', most);
    const uint32_t length = newline ? static_cast<uint32_t>(static_cast<const std::byte*>(newline) - &text_[start]) + 1 : most;
    uint64_t head = 0;
    for (uint32_t i = 0; i < 8; ++i) head = head << 8 | (i < length ? static_cast<uint64_t>(text_[start + i]) : 0);
    lines_[lines_count_++] = {head, start, length};
    start += length;
  }
}

void Workload::sort_lines() {
  progress_ = 0;
  phase_ = kSort;
  std::sort(lines_.begin(), lines_.begin() + lines_count_, [](const Line& a, const Line& b) {
    return a.head != b.head ? a.head < b.head : a.start < b.start;
  });
}

void Workload::hash_lines() {
  phase_ = kHash;
  for (uint32_t i = 0; i < lines_count_; ++i) {
    mix(lines_[i].head + lines_[i].start);
    if (i % kSampleEvery == 0)
      for (uint32_t j = 0; j < lines_[i].length; ++j) mix(static_cast<uint64_t>(text_[lines_[i].start + j]));
    progress_ = i;
  }
  for (const Word& word : words_) mix(word.hash + word.count + word.first);
}

void Workload::compare_files() {
  progress_ = 0;
  phase_ = kCompare;
  std::vector<uint32_t> order(files_.size());
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(seed_));
  for (const uint32_t number : order) {
    const CachedFile& file = files_[number];
    uint64_t different = 0;
    for (uint64_t at = 0; at < file.size; at += kPageBytes) {
      const std::byte* page = cache_.read(file, static_cast<uint32_t>(at / kPageBytes));
      const size_t count = std::min<uint64_t>(kPageBytes, file.size - at);
      different += !page || std::memcmp(&text_[start_of_file_[number] + at], page, count) != 0;
      ++progress_;
    }
    CachedFile now;
    if (different && (!describe(file.path, now) || now.object != file.object)) ++result_.files_changed;
    else result_.pages_different += different;
  }
}

}  // namespace tmem::sim
