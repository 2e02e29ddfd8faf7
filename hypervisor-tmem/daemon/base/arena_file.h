// SPDX-License-Identifier: MIT
// The arena of one shard in a memfd: address space for the maximum, memory for the segments that are committed. The bytes
// live as long as anyone holds the descriptor; the service manager does (notify.h), so they outlive this process.
//
// Owns the descriptor and the mapping. Its size is sealed: no process that got hold of the descriptor can shrink it under us.
// Thread rule: made by the main thread, then the shard's.
#pragma once

#include <memory>
#include <string>

#include "transport/file_descriptor.h"
#include "store/segment_memory.h"
#include "tmem/status.h"

namespace tmem {

class ArenaFile final : public SegmentMemory {
 public:
  // A new one, empty. kNoSpace: the system refused.
  static Result<std::unique_ptr<ArenaFile>> create(const std::string& name, uint32_t segments_max, bool huge_pages);
  // One that an earlier process made; its size says how many segments it may have. kBadArena: not a memfd of ours.
  static Result<std::unique_ptr<ArenaFile>> adopt(FileDescriptor fd, bool huge_pages);
  ~ArenaFile() override;
  ArenaFile(const ArenaFile&) = delete;
  ArenaFile& operator=(const ArenaFile&) = delete;

  std::byte* base() override { return base_; }
  uint32_t segments_max() const override { return segments_max_; }
  uint32_t shard() const override { return shard_; }
  uint32_t shards() const override { return shards_; }
  bool commit(uint32_t segment) override;
  void decommit(uint32_t segment) override;

  // Which shard it belongs to, of how many; before an engine opens it.
  void set_shard(uint32_t shard, uint32_t shards) {
    shard_ = shard;
    shards_ = shards;
  }

  int fd() const { return fd_.get(); }

 private:
  ArenaFile(FileDescriptor fd, std::byte* base, uint32_t segments_max);
  static Result<std::unique_ptr<ArenaFile>> map(FileDescriptor fd, uint32_t segments_max, bool huge_pages);

  FileDescriptor fd_;
  std::byte* base_;
  uint32_t segments_max_;
  uint32_t shard_ = 0, shards_ = 1;
};

}  // namespace tmem
