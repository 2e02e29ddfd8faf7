// SPDX-License-Identifier: MIT
#include "file_cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace tmem::sim {

size_t FileCache::KeyHash::operator()(const Key& key) const {
  uint64_t h = key.index;
  for (const uint64_t word : key.object) h = (h ^ word) * 0x9e3779b97f4a7c15u;
  return h ^ (h >> 32);
}

FileCache::FileCache(uint32_t pages_max, tmem_front* front, uint32_t pool)
    : pages_max_(std::max(pages_max, 1u)), front_(front), pool_(pool) {
  if (front_ && tmem_front_new_pool(front_, pool_, TMEMIF_POOL_FLAGS(0u), nullptr) != TMEMIF_OK) front_ = nullptr;
}

FileCache::~FileCache() {
  if (open_fd_ >= 0) ::close(open_fd_);
  if (front_) tmem_front_destroy_pool(front_, pool_);
}

const std::byte* FileCache::read(const CachedFile& file, uint32_t index) {
  const Key key{file.object, index};
  const auto found = index_.find(key);
  if (found != index_.end()) {
    ++stats_.hits;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->bytes.get();
  }
  std::unique_ptr<std::byte[]> bytes = entries_.size() < pages_max_ ? std::make_unique<std::byte[]>(kPageBytes) : evict();
  if (!fill(file, key, bytes.get())) return nullptr;
  entries_.push_front({key, std::move(bytes)});
  index_[key] = entries_.begin();
  return entries_.front().bytes.get();
}

// The victim is clean: if the pool refuses it, the file still has it.
std::unique_ptr<std::byte[]> FileCache::evict() {
  Entry victim = std::move(entries_.back());
  entries_.pop_back();
  index_.erase(victim.key);
  if (front_) {
    const tmem_front_handle handle{pool_, victim.key.index, {victim.key.object[0], victim.key.object[1], victim.key.object[2]}};
    ++(tmem_front_put(front_, &handle, victim.bytes.get()) == TMEMIF_OK ? stats_.victims_put : stats_.victims_refused);
  }
  return std::move(victim.bytes);
}

bool FileCache::fill(const CachedFile& file, const Key& key, std::byte* bytes) {
  if (front_) {
    const tmem_front_handle handle{pool_, key.index, {key.object[0], key.object[1], key.object[2]}};
    if (tmem_front_get(front_, &handle, bytes) == TMEMIF_OK) {
      ++stats_.hits_pool;
      return true;
    }
  }
  ++stats_.misses;
  if (open_path_ != file.path) {
    if (open_fd_ >= 0) ::close(open_fd_);
    open_fd_ = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
    open_path_ = file.path;
  }
  std::memset(bytes, 0, kPageBytes);
  return open_fd_ >= 0 && ::pread(open_fd_, bytes, kPageBytes, static_cast<off_t>(key.index) * static_cast<off_t>(kPageBytes)) >= 0;
}

}  // namespace tmem::sim
