// SPDX-License-Identifier: MIT
// Every command, a group to a file. Each function adds its commands to the command line, with their options and what they do.
#pragma once

#include "tools/tmemctl/session.h"

namespace tmem::tool {

void add_list_commands(CLI::App& app, Session& session);    // list, tmem-list, complete
void add_info_commands(CLI::App& app, Session& session);    // info, stats, freeable, tmem-freeable
void add_policy_commands(CLI::App& app, Session& session);  // set, freeze, thaw and their xl names

}  // namespace tmem::tool
