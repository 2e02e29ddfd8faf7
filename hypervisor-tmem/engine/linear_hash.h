// SPDX-License-Identifier: MIT
// A hash table over the nodes of a pool that grows by splitting one bucket at a time, so that growth never pauses anybody. It
// owns only the heads; the chain runs through the nodes. A refused head block makes chains longer and nothing else.
//
// Traits: static uint64_t hash(const Node&), static uint32_t& next(Node&).
#pragma once

#include "engine/block_array.h"

namespace tmem {

// Mixes every bit of the input into the low bits, where buckets are told apart.
constexpr uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 32)) * 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9;
  return x ^ (x >> 32);
}

template <typename Nodes, typename Traits>
class LinearHash {
 public:
  LinearHash(IndexMemory& memory, Nodes& nodes, IndexMemory::For what = IndexMemory::For::kPages) : nodes_(nodes), heads_(memory, what) {}

  // The first bucket. False: refused.
  [[nodiscard]] bool open() {
    if (!heads_.add_block()) return false;
    heads_[0] = kNone;
    buckets_ = 1;
    mask_ = 0;
    return true;
  }

  // Only while it is empty: buckets for so many nodes at once, which saves their splits. A refusal leaves fewer.
  void expect(uint32_t count) {
    while (count_ == 0 && buckets_ < count && (buckets_ < heads_.capacity() || heads_.add_block())) {
      heads_[buckets_] = kNone;
      if (++buckets_ > mask_ * 2 + 1) mask_ = mask_ * 2 + 1;
    }
  }

  template <typename Matches>
  uint32_t find(uint64_t hash, Matches&& matches) const {
    for (uint32_t n = heads_[bucket(hash)]; n != kNone; n = Traits::next(nodes_[n])) {
      if (matches(nodes_[n])) return n;
    }
    return kNone;
  }
  uint32_t first(uint64_t hash) const { return heads_[bucket(hash)]; }
  void prefetch(uint64_t hash) const { __builtin_prefetch(&heads_[bucket(hash)]); }

  void insert(uint32_t n) {
    uint32_t& head = heads_[bucket(Traits::hash(nodes_[n]))];
    Traits::next(nodes_[n]) = head;
    head = n;
    if (++count_ > buckets_) split();
  }
  void remove(uint32_t n) {
    uint32_t* link = &heads_[bucket(Traits::hash(nodes_[n]))];
    while (*link != n) link = &Traits::next(nodes_[*link]);
    *link = Traits::next(nodes_[n]);
    --count_;
  }
  uint32_t count() const { return count_; }

 private:
  // mask_ + 1 is the power of two at or below buckets_; buckets below the difference are split already.
  uint32_t bucket(uint64_t hash) const {
    const uint32_t wide = static_cast<uint32_t>(hash) & (mask_ * 2 + 1);
    return wide < buckets_ ? wide : wide & mask_;
  }
  void split() {
    if (buckets_ == heads_.capacity() && !heads_.add_block()) return;
    const uint32_t from = buckets_ & mask_;
    uint32_t chain = heads_[from];
    uint32_t low = kNone;
    uint32_t high = kNone;
    const uint32_t to = buckets_;
    while (chain != kNone) {
      const uint32_t next = Traits::next(nodes_[chain]);
      const uint32_t wide = static_cast<uint32_t>(Traits::hash(nodes_[chain])) & (mask_ * 2 + 1);
      uint32_t& list = wide == to ? high : low;
      Traits::next(nodes_[chain]) = list;
      list = chain;
      chain = next;
    }
    heads_[from] = low;
    heads_[to] = high;
    if (++buckets_ > mask_ * 2 + 1) mask_ = mask_ * 2 + 1;
  }

  Nodes& nodes_;
  BlockArray<uint32_t, 10> heads_;
  uint32_t buckets_ = 0;
  uint32_t mask_ = 0;
  uint32_t count_ = 0;
};

}  // namespace tmem
