// SPDX-License-Identifier: MIT
// What dom0 sees of guests' self-ballooning in xenstore: what dom0 wrote itself, and what each guest reports. The report is
// text of a guest that may lie: it is taken apart here, never believed.
#pragma once

#include <string>
#include <vector>

#include "agent/tuning.h"
#include "agent/xenstore.h"
#include "tools/tmemctl/json.h"

namespace tmem::tool {

// Domains that report or are tuned, by id.
std::vector<agent::Domid> selfballoon_domains(agent::StoreView& store);

// {"id", "name", "limit_kib" (null: none), "keys": {...}, "state": {...}, "decision": {...}, "refused": [...], "log": [...]}
Json selfballoon_of(agent::StoreView& store, agent::Domid domain);

// "KEY=VALUE" words as nodes; "KEY=" takes a node away. Throws Failure for a key or a value that a guest would refuse.
struct TuningChange {
  agent::Tuning write;
  std::vector<std::string> remove;
};
TuningChange tuning_change(const std::vector<std::string>& words);
void apply_tuning(agent::Store& store, agent::Domid domain, const TuningChange& change);

}  // namespace tmem::tool
