// SPDX-License-Identifier: MIT
// Every command, a group to a file. Each function adds its commands to the command line, with their options and what they do.
#pragma once

#include "tools/tmemctl/session.h"

namespace tmem::tool {

// CLI::Range lets "nan" through, which is neither below nor above anything.
inline CLI::Validator seconds_within(double min, double max) {
  return CLI::Range(min, max) &
         CLI::Validator(
             [](std::string& value) { return value.find_first_of("nN") == value.npos ? "" : value + " is not a number"; }, "");
}

void add_list_commands(CLI::App& app, Session& session);         // list, tmem-list, complete
void add_info_commands(CLI::App& app, Session& session);         // info, stats, freeable, tmem-freeable
void add_top_command(CLI::App& app, Session& session);           // top
void add_events_command(CLI::App& app, Session& session);        // events
void add_doctor_command(CLI::App& app, Session& session);        // doctor
void add_policy_commands(CLI::App& app, Session& session);       // set, freeze, thaw and their xl names
void add_attach_commands(CLI::App& app, Session& session);       // attach, detach, create
void add_space_commands(CLI::App& app, Session& session);        // flush, destroy-pool, forget, set-memory
void add_room_command(CLI::App& app, Session& session);          // make-room
void add_shared_commands(CLI::App& app, Session& session);       // shared-auth, tmem-shared-auth
void add_config_commands(CLI::App& app, Session& session);       // config check, config show
void add_selfballoon_commands(CLI::App& app, Session& session);  // selfballoon list, show, set, log

}  // namespace tmem::tool
