// SPDX-License-Identifier: MIT
// Is a guest being saved or moved to another host? Then its memory is left alone.
#pragma once

#include <filesystem>
#include <string>

#include "agent/xenstore.h"

namespace tmem::breathe {

// libxl renames a guest while it moves it; before, an xl save or migrate on dom0's process list names it.
bool is_moving(const std::filesystem::path& proc, agent::Domid domain, const std::string& name);

}  // namespace tmem::breathe
