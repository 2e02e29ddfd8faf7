// SPDX-License-Identifier: MIT
// Events of a host's memory, which dom0's agent leaves in xenstore: the latest dozen, a line each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/xenstore.h"

namespace tmem::tool {

struct HostEvent {
  uint64_t time_s = 0;
  std::string kind;
  agent::Domid domain = 0;  // 0: the host
  std::string name;
};

class HostEvents {
 public:
  explicit HostEvents(agent::StoreView& store);  // what is there already is not told
  std::vector<HostEvent> fresh();                // since the last look

 private:
  agent::StoreView& store_;
  std::vector<std::string> seen_;
};

}  // namespace tmem::tool
