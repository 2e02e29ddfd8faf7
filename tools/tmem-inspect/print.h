// SPDX-License-Identifier: MIT
// A report or a record for people and for programs. Names of clients are theirs: only printable characters reach the terminal.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>

#include "inspect.h"

namespace tmem::inspect {

using Json = nlohmann::ordered_json;

Json to_json(const Report& report);
void print(std::ostream& out, const Report& report);

Json to_json(const Record& record);
void print(std::ostream& out, const Record& record);

}  // namespace tmem::inspect
