// SPDX-License-Identifier: MIT
// Room for a guest that is to start, as dom0's agent makes it on request.
#pragma once

#include <cstdint>
#include <string>

#include "agent/xenstore.h"

namespace tmem::tool {

struct Room {
  bool made = false;
  uint64_t free_kib = 0;
  uint64_t missing_kib = 0;
};

// False: no agent moves memory here, and why names the remedy.
bool can_make_room(agent::StoreView& store, std::string& why);
// Asks and waits. Where there is no answer in time, or no agent, a Failure. A room that could not be made is let go at once.
Room make_room(agent::StoreView& store, const std::string& id, uint64_t kib, unsigned hold_seconds, double timeout_seconds);
// A room that nobody needs any more.
void release_room(agent::StoreView& store, const std::string& id);

}  // namespace tmem::tool
