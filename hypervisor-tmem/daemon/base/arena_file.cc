// SPDX-License-Identifier: MIT
#include "daemon/base/arena_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "tmem/limits.h"

namespace tmem {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

off_t file_bytes(uint32_t segments_max) { return static_cast<off_t>((uint64_t{segments_max} + 1) * kSegmentBytes); }
off_t segment_offset(uint32_t segment) { return static_cast<off_t>((uint64_t{segment} + 1) * kSegmentBytes); }

int allocate(int fd, int mode, off_t offset) {
  int result;
  do {
    result = fallocate(fd, mode, offset, static_cast<off_t>(kSegmentBytes));
  } while (result != 0 && errno == EINTR);
  return result;
}

}  // namespace

ArenaFile::ArenaFile(FileDescriptor fd, std::byte* base, uint32_t segments_max) : fd_(std::move(fd)), base_(base), segments_max_(segments_max) {}

ArenaFile::~ArenaFile() { munmap(base_, static_cast<size_t>(file_bytes(segments_max_))); }

Result<std::unique_ptr<ArenaFile>> ArenaFile::create(const std::string& name, uint32_t segments_max, bool huge_pages) {
  if (segments_max == 0 || segments_max > kSegmentsMax) return Status::kBadArgument;
  FileDescriptor fd(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid() || ftruncate(fd.get(), file_bytes(segments_max)) != 0 || fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return Status::kNoSpace;
  if (allocate(fd.get(), 0, 0) != 0) return Status::kNoSpace;  // the header area is always there
  return map(std::move(fd), segments_max, huge_pages);
}

Result<std::unique_ptr<ArenaFile>> ArenaFile::adopt(FileDescriptor fd, bool huge_pages) {
  struct stat info;
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals || fstat(fd.get(), &info) != 0) return Status::kBadArena;
  const uint64_t bytes = static_cast<uint64_t>(info.st_size);
  if (bytes % kSegmentBytes != 0 || bytes < 2 * kSegmentBytes || bytes / kSegmentBytes - 1 > kSegmentsMax) return Status::kBadArena;
  return map(std::move(fd), static_cast<uint32_t>(bytes / kSegmentBytes - 1), huge_pages);
}

Result<std::unique_ptr<ArenaFile>> ArenaFile::map(FileDescriptor fd, uint32_t segments_max, bool huge_pages) {
  const size_t bytes = static_cast<size_t>(file_bytes(segments_max));
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
  if (base == MAP_FAILED) return Status::kNoSpace;
  if (huge_pages) madvise(base, bytes, MADV_HUGEPAGE);  // a wish: kernels without huge shmem pages refuse it
  madvise(base, bytes, MADV_DONTDUMP);                  // guests' pages have no business in a core file
  return std::unique_ptr<ArenaFile>(new ArenaFile(std::move(fd), static_cast<std::byte*>(base), segments_max));
}

bool ArenaFile::commit(uint32_t segment) { return allocate(fd_.get(), 0, segment_offset(segment)) == 0; }

void ArenaFile::decommit(uint32_t segment) { allocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, segment_offset(segment)); }

}  // namespace tmem
