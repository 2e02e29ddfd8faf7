// SPDX-License-Identifier: MIT
// Reads an arena as docs/arena-format.md describes it. Of the service it has the two headers that describe the bytes
// (arena_format.h, meta_format.h, and in the first segment_check()), and no code of store or engine: what those write wrong shows
// here. Nothing is written, and nothing in the bytes is trusted.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arena_bytes.h"
#include "report.h"

namespace tmem::inspect {

Report inspect(const std::string& path, const ArenaBytes& bytes);

// One record, found by its logical segment and slot.
struct Record {
  bool found = false;      // the segment and slot are there
  Slot slot{};
  uint64_t file_offset = 0;  // of the slot
  std::vector<std::byte> payload;  // empty when the geometry is impossible
  bool checksum_right = false;
};
Record read_record(const ArenaBytes& bytes, uint32_t segment, uint32_t slot);

// ---- the pieces, also for tests ----
uint64_t header_checksum(const ArenaHeader& header);
uint32_t slot_checksum(const Slot& slot, std::span<const std::byte> payload, uint64_t generation);

}  // namespace tmem::inspect
