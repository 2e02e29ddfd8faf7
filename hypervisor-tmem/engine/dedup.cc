// SPDX-License-Identifier: MIT
#include "engine/dedup.h"

#include <cstring>
#include <utility>

#include "engine/keyed_hash.h"

namespace tmem {

ContentHash Dedup::hash_of(PageView page) { return content_hash(page, engine_hash_key[0]); }

bool Dedup::read(uint32_t number, PageBuffer page) const {
  const RecordRef record = record_of(number);
  if (record.none() || !arena_.verify(record)) return false;
  const std::span<const std::byte> payload = arena_.view(record).payload;
  return decompress(content_codec(payload.size()), payload, page);
}

bool Dedup::equal(const Content& content, PageView page) const {
  alignas(64) std::array<std::byte, kPageBytes> stored;
  const std::span<const std::byte> payload = arena_.view(content.record).payload;
  return arena_.verify(content.record) && decompress(content_codec(payload.size()), payload, stored) &&
         std::memcmp(stored.data(), page.data(), kPageBytes) == 0;
}

uint32_t Dedup::acquire(uint32_t group, const ContentHash& hash, PageView page) {
  bool seen = false;  // pages of one hash are equal, or a wonder: for that one look is enough
  const uint32_t number = by_hash_.find(mix64(hash.low + group), [&](const Content& content) {
    return content.group == group && content.hash == hash && !std::exchange(seen, true) && equal(content, page);
  });
  if (number == kNone) return kNone;
  ++contents_[number].references;
  ++references_;
  return number;
}

uint32_t Dedup::add(uint32_t group, const ContentHash& hash, std::span<const std::byte> payload) {
  const uint32_t number = contents_.allocate();
  if (number == kNone) return kNone;
  Content& content = contents_[number];
  content.hash = hash;
  content.group = group;
  content.references = 1;
  content.used = true;
  content.record = arena_.insert({number, group}, Codec::kContent, payload);
  by_hash_.insert(number);
  ++references_;
  bytes_ += payload.size();
  return number;
}

void Dedup::kill(uint32_t number) {
  Content& content = contents_[number];
  bytes_ -= arena_.view(content.record).payload.size();
  arena_.kill(content.record);
  by_hash_.remove(number);
  content.used = false;
  content.record = {};
  contents_.release(number);
}

void Dedup::drop(uint32_t number) {
  --references_;
  if (--contents_[number].references == 0) kill(number);
}

bool Dedup::recover(uint32_t number, uint32_t group, RecordRef record) {
  if (number < contents_.top() && contents_[number].used) {  // a second copy, from a move that a crash cut short
    arena_.kill(record);
    return true;
  }
  alignas(64) std::array<std::byte, kPageBytes> page;
  const std::span<const std::byte> payload = arena_.view(record).payload;
  if (number >= kContentsMax || !arena_.verify(record) || !decompress(content_codec(payload.size()), payload, page)) {
    arena_.kill(record);
    return true;
  }
  if (!contents_.claim(number)) return false;
  Content& content = contents_[number];
  content.hash = hash_of(page);
  content.group = group;
  content.record = record;
  content.used = true;
  by_hash_.insert(number);
  bytes_ += payload.size();
  return true;
}

bool Dedup::recover_reference(uint32_t number) {
  if (record_of(number).none()) return false;
  ++contents_[number].references;
  ++references_;
  return true;
}

void Dedup::recover_end() {
  contents_.link_unclaimed([](const Content& content) { return content.used; });
  for (uint32_t number = 0; number < contents_.top(); ++number) {
    if (contents_[number].used && contents_[number].references == 0) kill(number);
  }
}

bool Dedup::moved(uint32_t number, RecordRef from, RecordRef to) {
  if (record_of(number) != from) return false;
  contents_[number].record = to;
  return true;
}

}  // namespace tmem
