// SPDX-License-Identifier: MIT
#include "page_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace tmem::sim {

namespace {

tmem_front_handle handle_of(uint32_t pool, uint32_t page) { return {pool, page, {0x73776170, 0, 0}}; }

off_t offset_of(uint32_t page) { return static_cast<off_t>(page) * static_cast<off_t>(kPageBytes); }

}  // namespace

TmemStore::TmemStore(tmem_front* front, uint32_t pool)
    : front_(front), pool_(pool),
      ok_(tmem_front_new_pool(front, pool, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT), nullptr) == TMEMIF_OK) {}

TmemStore::~TmemStore() {
  if (ok_) tmem_front_destroy_pool(front_, pool_);
}

bool TmemStore::put(uint32_t page, const std::byte* bytes) {
  const tmem_front_handle handle = handle_of(pool_, page);
  return tmem_front_put(front_, &handle, const_cast<std::byte*>(bytes)) == TMEMIF_OK;  // a put reads its page only
}

// A persistent page that was stored and is missed is lost.
bool TmemStore::get(uint32_t page, std::byte* bytes) {
  const tmem_front_handle handle = handle_of(pool_, page);
  return tmem_front_get(front_, &handle, bytes) == TMEMIF_OK;
}

std::unique_ptr<FileStore> FileStore::create(const std::string& path, std::string& error) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC;
  int fd = ::open(path.c_str(), kFlags | O_DIRECT, 0600);
  const bool direct = fd >= 0;
  if (!direct && errno == EINVAL) fd = ::open(path.c_str(), kFlags, 0600);
  if (fd < 0) {
    error = path + ": " + std::strerror(errno);
    return nullptr;
  }
  return std::unique_ptr<FileStore>(new FileStore(path, fd, direct));
}

FileStore::FileStore(std::string path, int fd, bool direct)
    : path_(std::move(path)), fd_(fd), direct_(direct),
      bounce_(static_cast<std::byte*>(std::aligned_alloc(kPageBytes, kPageBytes)), &std::free) {}

FileStore::~FileStore() {
  ::close(fd_);
  ::unlink(path_.c_str());
}

bool FileStore::put(uint32_t page, const std::byte* bytes) {
  std::memcpy(bounce_.get(), bytes, kPageBytes);
  return ::pwrite(fd_, bounce_.get(), kPageBytes, offset_of(page)) == static_cast<ssize_t>(kPageBytes);
}

bool FileStore::get(uint32_t page, std::byte* bytes) {
  if (::pread(fd_, bounce_.get(), kPageBytes, offset_of(page)) != static_cast<ssize_t>(kPageBytes)) return false;
  std::memcpy(bytes, bounce_.get(), kPageBytes);
  return true;
}

OverflowStore::OverflowStore(PageStore& first, PageStore& second, uint32_t pages_count)
    : first_(first), second_(second), in_second_(pages_count) {}

bool OverflowStore::put(uint32_t page, const std::byte* bytes) {
  in_second_[page] = !first_.put(page, bytes);
  if (!in_second_[page]) return true;
  ++overflowed_;
  return second_.put(page, bytes);
}

bool OverflowStore::get(uint32_t page, std::byte* bytes) {
  return in_second_[page] ? second_.get(page, bytes) : first_.get(page, bytes);
}

}  // namespace tmem::sim
