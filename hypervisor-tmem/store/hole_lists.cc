// SPDX-License-Identifier: MIT
#include "store/hole_lists.h"

namespace tmem {

void HoleLists::add(RecordRef hole) {
  Slot& added = slot(hole.value);
  const uint32_t list = list_of(hole_extent(added.place));
  const uint32_t next = head_[list];
  added.key = {.object = RecordRef::kNone, .index = next};
  if (next != RecordRef::kNone) slot(next).key.object = hole.value;
  head_[list] = hole.value;
  bits_.set(list);
}

void HoleLists::remove(RecordRef hole) {
  const Slot& removed = slot(hole.value);
  const uint32_t list = list_of(hole_extent(removed.place));
  const auto [previous, next] = removed.key;
  if (next != RecordRef::kNone) slot(next).key.object = previous;
  if (previous != RecordRef::kNone) {
    slot(previous).key.index = next;
  } else {
    head_[list] = next;
    if (next == RecordRef::kNone) bits_.clear(list);
  }
}

RecordRef HoleLists::best_fit(uint32_t extent) const {
  const uint32_t list = bits_.at_least(list_of(extent));
  return list == ListBits::kNone ? RecordRef{} : RecordRef{head_[list]};
}

}  // namespace tmem
