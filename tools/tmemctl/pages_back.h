// SPDX-License-Identifier: MIT
// Pages that a guest takes back from the service because dom0 asks for it; xenstore-config/nodes.md has the nodes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "agent/xenstore.h"

namespace tmem::tool {

struct PagesBack {
  bool busy = true;
  uint64_t left = 0;
  int error = 0;  // of Linux; 0: as many came as were asked for
};

// A request to one guest. It stands until withdrawn; the guest then stores pages again.
class PagesRequest {
 public:
  PagesRequest(agent::Store& store, agent::Domid guest) : store_(store), guest_(guest) {}
  ~PagesRequest();
  PagesRequest(const PagesRequest&) = delete;
  PagesRequest& operator=(const PagesRequest&) = delete;

  void ask(uint64_t may_stay);
  std::optional<PagesBack> look() const;  // nothing: the guest has not heard it
  void withdraw();

 private:
  agent::Store& store_;
  agent::Domid guest_;
  bool asked_ = false;
};

// Asks and waits for the end. Nothing: the guest does not know this request; its kernel has no frontswap, or no module.
std::optional<PagesBack> take_back(PagesRequest& request, uint64_t may_stay, double timeout_seconds);

// What a guest keeps when it was asked for everything. Counted after it was asked, also where there was nothing: the request ends its stores.
struct Kept {
  uint64_t pages = 0;
  std::optional<PagesBack> answer;
};
Kept take_all_back(PagesRequest& request, double timeout_seconds, const std::function<uint64_t()>& count);

}  // namespace tmem::tool
