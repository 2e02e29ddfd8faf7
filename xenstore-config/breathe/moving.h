// SPDX-License-Identifier: MIT
// Is a guest being saved or moved to another host? Then its memory is left alone. libxl renames a guest while it moves it; before, an
// xl save or migrate on dom0's process list names it. That list is read at the first question and then remembered: each of a thousand
// guests is asked about in each round. Thread rule: one thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/xenstore.h"

namespace tmem::breathe {

class Moving {
 public:
  explicit Moving(std::filesystem::path proc) : proc_(std::move(proc)) {}
  bool has(agent::Domid domain, const std::string& name);
  void forget() { named_.reset(); }

 private:
  std::filesystem::path proc_;
  std::optional<std::vector<std::string>> named_;  // words of command lines, guests' names and numbers among them
};

}  // namespace tmem::breathe
