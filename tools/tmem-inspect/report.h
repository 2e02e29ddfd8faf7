// SPDX-License-Identifier: MIT
// What an arena holds and what is wrong with it, as plain data: inspect() fills it, print.h shows it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/meta_format.h"
#include "store/arena_format.h"

namespace tmem::inspect {

// Something that a writer of this version never leaves behind, not even by dying.
struct Damage {
  enum class Kind {
    kShortFile,         // the file ends before what its header or bitmap speaks of
    kSegmentHeader,     // a segment's header is not one
    kUnknownCodec,
    kGeometry,          // outside its segment, over the directory, or of a size that its codec cannot have
    kOverlap,           // two live records share bytes
    kChecksum,
    kMeta,              // a meta record of unknown kind or wrong size
    kReference,         // a page whose shared content is not there
  };
  Kind kind;
  std::optional<uint32_t> segment;  // logical; of a bad header: physical
  std::optional<uint32_t> slot;
};
const char* to_string(Damage::Kind kind);

enum class HeaderState { kNone, kArena, kNotAnArena, kOtherVersion, kOtherGeometry, kDamaged };
const char* to_string(HeaderState state);

struct CodecCount {
  uint64_t records = 0;
  uint64_t payload_bytes = 0;
};

struct PoolReport {
  uint32_t number = 0;  // the engine's
  uint32_t flags = 0;   // the ABI's word
  Uuid uuid;
  struct Member {
    uint32_t client;  // ClientId, or the slot when its record is missing
    uint32_t pool;    // PoolId
  };
  std::vector<Member> members;
  uint64_t objects = 0, pages = 0, payload_bytes = 0;
};

struct Space {
  uint64_t file_bytes = 0;
  uint64_t segment_bytes = 0;    // all committed segments and the header area
  uint64_t directory_bytes = 0;  // segment headers and slots
  uint64_t payload_bytes = 0;    // of live records
  uint64_t padding_bytes = 0;    // to the next multiple of 8
  uint64_t free_bytes = 0;       // in segments that hold records
  uint64_t blank_bytes = 0;      // whole segments without records
};

struct Report {
  std::string path;
  HeaderState header_state = HeaderState::kNone;
  ArenaHeader header{};
  uint64_t segments = 0, segments_blank = 0, segments_superseded = 0, segments_damaged = 0;
  uint64_t slots_live = 0, slots_dead = 0;
  std::map<Codec, CodecCount> codecs;  // live records that are whole
  Space space;
  std::vector<ClientMeta> clients;
  std::vector<PoolReport> pools;
  uint64_t authorisations = 0;
  // Left by a death that had not been finished: pages of no object, objects of no pool, memberships of no client, contents
  // that no page names. Recovery drops them; they are not damage.
  uint64_t orphans = 0;
  std::vector<Damage> damages;

  bool damaged() const { return header_state != HeaderState::kArena || !damages.empty(); }
};

}  // namespace tmem::inspect
