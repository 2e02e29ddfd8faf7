// SPDX-License-Identifier: MIT
#include "transport/memfd/memfd_region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tmem/tmemif.h"

namespace tmem {

namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

bool in_range(uint32_t queues, uint32_t ring_order) {
  return queues >= 1 && queues <= TMEMIF_QUEUES_MAX && ring_order >= TMEMIF_RING_ORDER_MIN &&
         ring_order <= TMEMIF_RING_ORDER_MAX;
}

}  // namespace

size_t MemfdRegion::bytes(uint32_t queues, uint32_t ring_order) {
  return size_t{queues} * TMEMIF_QUEUE_PAGES(ring_order) * TMEMIF_PAGE_BYTES;
}

std::shared_ptr<MemfdRegion> MemfdRegion::create(uint32_t queues, uint32_t ring_order) {
  if (!in_range(queues, ring_order)) return nullptr;
  FileDescriptor fd(::memfd_create("tmem-queues", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid() || ::ftruncate(fd.get(), static_cast<off_t>(bytes(queues, ring_order))) != 0) return nullptr;
  if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return nullptr;
  return adopt(std::move(fd), queues, ring_order);
}

std::shared_ptr<MemfdRegion> MemfdRegion::adopt(FileDescriptor fd, uint32_t queues, uint32_t ring_order) {
  if (!in_range(queues, ring_order)) return nullptr;
  const size_t size = bytes(queues, ring_order);
  struct stat st;
  if (::fstat(fd.get(), &st) != 0 || static_cast<size_t>(st.st_size) != size) return nullptr;
  const int seals = ::fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) return nullptr;
  void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd.get(), 0);
  if (base == MAP_FAILED) return nullptr;
  return std::shared_ptr<MemfdRegion>(new MemfdRegion(std::move(fd), static_cast<std::byte*>(base), queues, ring_order));
}

MemfdRegion::MemfdRegion(FileDescriptor fd, std::byte* base, uint32_t queues, uint32_t ring_order)
    : fd_(std::move(fd)), base_(base), queues_(queues), ring_order_(ring_order) {}

MemfdRegion::~MemfdRegion() { ::munmap(base_, bytes(queues_, ring_order_)); }

void* MemfdRegion::queue(uint32_t index) const { return base_ + bytes(index, ring_order_); }

}  // namespace tmem
