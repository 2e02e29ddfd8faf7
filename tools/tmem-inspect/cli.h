// SPDX-License-Identifier: MIT
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace tmem::inspect {

// The whole tool: 0 all arenas are whole, 1 one is damaged or cannot be read, 2 usage, 3 no such record.
int run_inspect(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err);

}  // namespace tmem::inspect
