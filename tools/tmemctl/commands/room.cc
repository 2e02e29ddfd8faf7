// SPDX-License-Identifier: MIT
// make-room: free memory in Xen for a guest that is to start. dom0's agent makes it; this leaves the request in xenstore and
// waits for the answer. Only in dom0.
#include "tools/tmemctl/room.h"

#include <unistd.h>

#include "agent/attach.h"
#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/json.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

struct RoomOptions {
  std::string size;
  unsigned hold_seconds = 60;
};

void run_make_room(Session& session, const RoomOptions& options) {
  const uint64_t bytes = parse_size(options.size, "the room");
  if (bytes == 0) throw Failure(ExitCode::kUsage, "room of 0 MiB is always there; name the memory of the guest that is to start");
  if (session.dry_run) {
    session.out << "would ask xen-tmem-agent for room of " << format_bytes_unit(bytes, session.human) << '\n';
    return;
  }
  agent::XenStore store;
  const Room room = make_room(store, std::to_string(getpid()), bytes / 1024, options.hold_seconds, session.timeout_seconds);
  if (session.json) {
    Json document = schema("make-room");
    document["made"] = room.made;
    document["bytes"] = bytes;
    document["bytes_missing"] = room.missing_kib * 1024;
    document["bytes_free"] = room.free_kib * 1024;
    print_json(session.out, document);
  } else if (room.made) {
    session.out << "room of " << format_bytes_unit(bytes, session.human) << " is there for " << options.hold_seconds << " s: Xen has "
                << format_bytes_unit(room.free_kib * 1024, session.human) << " free\n";
  }
  if (!room.made)
    throw Failure(ExitCode::kNotPossible, "room of " + format_bytes_unit(bytes, false) + " cannot be made, " + format_bytes_unit(room.missing_kib * 1024, false) +
                                              " are missing: guests' persistent pages and guests themselves have the rest; see xen-tmemctl list and xl list");
}

}  // namespace

void add_room_command(CLI::App& app, Session& session) {
  const auto options = std::make_shared<RoomOptions>();
  CLI::App* command = add_reading(app, session, "make-room", "Free memory in Xen for a guest that is to start, and keep it free for a while");
  command->add_flag("-n,--dry-run", session.dry_run, "Say what would be done, and do nothing");
  command->add_option("SIZE", options->size, "For example 4G; a bare number is MiB")->required();
  command->add_option("--hold", options->hold_seconds, "Seconds for which the room is kept for who starts")->check(CLI::Range(1, 3600))->capture_default_str();
  command->footer("The tmem domain gives first, down to what guests may not lose; then guests are asked to take swapped pages back, so that it can\n"
                  "give more; then guests that have a minimum (memory/tmem/flow/min) give memory.\n"
                  "Example: xen-tmemctl make-room 4G && xl create big.cfg");
  command->callback([options, &session] {
    try {
      run_make_room(session, *options);
    } catch (const agent::StoreError& error) {
      throw Failure(ExitCode::kUnreachable, std::string(error.what()) + "; run this in dom0");
    }
  });
}

}  // namespace tmem::tool
