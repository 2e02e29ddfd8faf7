// SPDX-License-Identifier: MIT
// What several commands compute from the counters, in one place so that all of them agree.
#pragma once

#include <string>

#include "tmem/control.pb.h"
#include "tmem/tmemif.h"
#include "tools/tmemctl/json.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {

inline constexpr uint64_t kPageBytes = TMEMIF_PAGE_BYTES;

inline uint64_t pages(const control::SpaceStats& space) { return space.pages_ephemeral() + space.pages_persistent(); }

// Persistent pages of the client with this uuid. A client's id is no help: a restored guest has another domain's number.
inline uint64_t pages_persistent(const control::ListClients::Reply& listed, const std::string& uuid) {
  uint64_t pages = 0;
  for (const control::Client& client : listed.clients())
    if (client.uuid() == uuid) pages += client.space().pages_persistent();
  return pages;
}

// Pages as the guest sees them over what they take.
inline std::string compression_ratio(const control::SpaceStats& space) {
  return format_ratio(pages(space) * kPageBytes, space.bytes_compressed());
}

inline uint64_t get_count(const control::OpStats& ops) { return ops.get_hit() + ops.get_miss() + ops.get_corrupt(); }

// Every put, whatever came of it.
inline uint64_t put_count(const control::OpStats& ops) {
  return ops.put_stored() + ops.put_replaced() + ops.put_flushed() + ops.put_no_space() + ops.put_over_cap() + ops.put_frozen();
}

inline std::string hit_percent(const control::OpStats& ops) { return format_percent(ops.get_hit(), get_count(ops)); }

// "connected", "recovered", "connected,frozen"
inline std::string state_word(const control::Client& client) {
  return enum_word(control::Client::State_Name(client.state())) + (client.policy().frozen() ? ",frozen" : "");
}

inline std::string type_word(const control::Pool& pool) {
  return std::string(pool.persistent() ? "persistent" : "ephemeral") + (pool.shared() ? " shared" : " private");
}

}  // namespace tmem::tool
