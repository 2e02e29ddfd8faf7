// SPDX-License-Identifier: MIT
// The whole tool as one function, so that tests run it as a person does, without a process.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace tmem::tool {

// arguments: without the program's name. Returns the exit status; an error is one line on err.
int run_tmemctl(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err);

}  // namespace tmem::tool
