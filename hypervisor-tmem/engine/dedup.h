// SPDX-License-Identifier: MIT
// Pages of equal content kept once. A content record holds the page, page records refer to it by number. Equal means: the same
// group, an equal 128-bit hash, and then every byte compared. A group is one client unless the operator names one for several.
// Only ephemeral pages are deduplicated: in anonymous memory there is nothing to gain (docs/eviction.md).
//
// Ownership: owns its table; borrows the arena and the index memory. Thread rule: the shard's thread.
#pragma once

#include "engine/block_pool.h"
#include "engine/linear_hash.h"
#include "store/arena.h"
#include "store/codec.h"
#include "tmem/limits.h"
#include "tmem/types.h"

namespace tmem {

struct Content {
  ContentHash hash{};
  uint32_t group = 0;
  uint32_t references = 0;
  uint32_t hash_next = kNone;
  RecordRef record;
  bool used = false;

  uint32_t& free_next() { return hash_next; }
};

struct ContentTraits {
  static uint64_t hash(const Content& c) { return mix64(c.hash.low + c.group); }
  static uint32_t& next(Content& c) { return c.hash_next; }
};

class Dedup {
 public:
  Dedup(IndexMemory& memory, Arena& arena) : arena_(arena), contents_(memory, kContentsMax), by_hash_(memory, contents_) {}
  bool open() { return by_hash_.open(); }

  // Under the process's key. It is not in the arena.
  static ContentHash hash_of(PageView page);
  // The number of equal content, with one more reference; kNone if there is none.
  uint32_t acquire(uint32_t group, const ContentHash& hash, PageView page);
  // New content with one reference, after an Arena::reserve() of the payload. kNone: no room in the table.
  uint32_t add(uint32_t group, const ContentHash& hash, std::span<const std::byte> payload);
  // One reference less; the last one takes the content with it.
  void drop(uint32_t number);
  // False: damaged or not there.
  bool read(uint32_t number, PageBuffer page) const;
  void prefetch(uint32_t number) const { arena_.prefetch(contents_[number].record); }

  // Recovery: a content record found in the arena, then a reference for each page that names it, then the end.
  bool recover(uint32_t number, uint32_t group, RecordRef record);
  bool recover_reference(uint32_t number);
  void recover_end();

  // The record was moved by the arena's owner.
  bool moved(uint32_t number, RecordRef from, RecordRef to);

  uint32_t contents() const { return contents_.used_count(); }
  uint64_t references() const { return references_; }
  uint64_t bytes() const { return bytes_; }  // payloads of contents
  RecordRef record_of(uint32_t number) const {
    return number < contents_.top() && contents_[number].used ? contents_[number].record : RecordRef{};
  }

 private:
  bool equal(const Content& content, PageView page) const;
  void kill(uint32_t number);

  Arena& arena_;
  BlockPool<Content, 7> contents_;
  LinearHash<BlockPool<Content, 7>, ContentTraits> by_hash_;
  uint64_t references_ = 0;
  uint64_t bytes_ = 0;
};

// A content payload tells by its size how it is kept: a whole page is raw, anything else LZ4.
inline Codec content_codec(size_t payload_bytes) { return payload_bytes == kPageBytes ? Codec::kRaw : Codec::kLz4; }

}  // namespace tmem
