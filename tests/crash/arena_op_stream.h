// SPDX-License-Identifier: MIT
// A random but repeatable stream of arena operations, and a map of what must be there after each. Two streams of one seed over two
// arenas of one geometry do the same.
#pragma once

#include <map>
#include <optional>

#include "store/arena.h"
#include "support/page_source.h"

namespace tmem::test {

class ArenaOpStream {
 public:
  struct Stored {
    uint64_t tag;  // what its payload is made of; new for every put
    uint32_t size;
    friend bool operator==(const Stored&, const Stored&) = default;
  };
  using Model = std::map<uint32_t, Stored>;  // by key

  ArenaOpStream(Arena& arena, uint64_t seed) : arena_(arena), random_(seed) {}

  static RecordKey key_of(uint32_t key) { return {key * 2654435761u, key}; }
  static uint32_t key_from(RecordKey key) { return key.index; }

  void step() {
    const auto key = static_cast<uint32_t>(random_() % kKeys);
    const uint64_t what = random_() % 100;
    if (what < 60) {
      put(key);
    } else if (what < 85) {
      kill(key);
    } else if (what < 93) {
      move(key);
    } else if (what < 97) {
      arena_.compact_step(random_() % 4096);
    } else if (what < 98) {
      (void)arena_.reserve_pages(random_() % 40, 8);
    } else {
      retire_or_add();
    }
  }
  const Model& model() const { return model_; }

 private:
  static constexpr uint32_t kKeys = 1500;

  void put(uint32_t key) {
    const Stored stored{++tag_, random_() % 8 == 0 ? static_cast<uint32_t>(random_() % 64) : sizes_.next(random_)};
    if (arena_.reserve(stored.size, kCompactionsPerPutMax) != Status::kOk) {
      kill(key);  // as a dup put that cannot replace
      return;
    }
    const RecordRef fresh = arena_.insert(key_of(key), Codec::kLz4, payload_of(stored.tag, stored.size));
    kill(key);
    refs_[key] = fresh;
    model_[key] = stored;
  }
  void kill(uint32_t key) {
    const auto at = refs_.find(key);
    if (at == refs_.end()) return;
    arena_.kill(at->second);
    refs_.erase(at);
    model_.erase(key);
  }
  bool move(uint32_t key) {
    const auto at = refs_.find(key);
    if (at == refs_.end()) return true;
    if (arena_.reserve(model_[key].size, 1) != Status::kOk) return false;
    at->second = arena_.move(at->second);
    return true;
  }
  void retire_or_add() {
    if (random_() % 2 == 0 || arena_.segments() < 2) {
      arena_.add_segment();
      return;
    }
    const Result<uint32_t> segment = arena_.retire_begin();
    if (!segment) return;
    for (RecordRef ref = arena_.retire_next(segment.value()); !ref.none(); ref = arena_.retire_next(segment.value())) {
      if (!move(key_from(arena_.view(ref).key))) {
        arena_.retire_cancel(segment.value());
        return;
      }
    }
    arena_.retire_end(segment.value());
  }

  Arena& arena_;
  Random random_;
  SizeSource sizes_;
  uint64_t tag_ = 0;
  std::map<uint32_t, RecordRef> refs_;
  Model model_;
};

}  // namespace tmem::test
