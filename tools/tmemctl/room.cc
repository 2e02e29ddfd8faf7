// SPDX-License-Identifier: MIT
#include "tools/tmemctl/room.h"

#include <chrono>
#include <fstream>
#include <thread>

#include "agent/attach.h"
#include "breathe/words.h"
#include "tmem/tmem_xs.h"
#include "tools/tmemctl/failure.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

constexpr std::chrono::milliseconds kLookAtRoom{50};

std::string path_of(const std::string& id) { return TMEM_XS_FLOW_ROOM "/" + id; }

}  // namespace

bool can_make_room(agent::StoreView& store, std::string& why) {
  std::string name;
  std::getline(std::ifstream("/proc/" + store.read(agent::kAgentNode).value_or("-") + "/comm"), name);
  if (name != "xen-tmem-agent") why = "xen-tmem-agent does not run, and it is what moves memory: systemctl start xen-tmem-agent";
  else if (!store.read(TMEM_XS_FLOW_STATE)) why = "xen-tmem-agent does not move memory here: breathe is off in tmem.conf, or its log says why (journalctl -u xen-tmem-agent)";
  else return true;
  return false;
}

Room make_room(agent::StoreView& store, const std::string& id, uint64_t kib, unsigned hold_seconds, double timeout_seconds) {
  std::string why;
  if (!can_make_room(store, why)) throw Failure(ExitCode::kUnreachable, "cannot make room: " + why);
  store.write(path_of(id), "kib=" + std::to_string(kib) + " hold=" + std::to_string(hold_seconds) + " timeout=" + std::to_string(static_cast<uint64_t>(timeout_seconds) + 1), {});
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_seconds);
  std::string answer;
  do {
    std::this_thread::sleep_for(kLookAtRoom);
    answer = store.read(path_of(id) + "/" TMEM_XS_FLOW_ANSWER).value_or("");
    const std::string_view state = breathe::word(answer, "state");
    const Room room{state == "made", breathe::word_number(answer, "free-kib").value_or(0), breathe::word_number(answer, "missing-kib").value_or(0)};
    if (state == "short") release_room(store, id);
    if (state == "short" || state == "made") return room;
  } while (std::chrono::steady_clock::now() < end);
  release_room(store, id);
  if (answer.empty()) throw Failure(ExitCode::kUnreachable, "cannot make room: xen-tmem-agent has not answered; see journalctl -u xen-tmem-agent");
  throw Failure(ExitCode::kFailed, "room of " + format_bytes_unit(kib * 1024, false) + " was not made in time, " +
                                       format_bytes_unit(breathe::word_number(answer, "missing-kib").value_or(0) * 1024, false) +
                                       " are still missing; try again with a longer --timeout");
}

void release_room(agent::StoreView& store, const std::string& id) { store.remove(path_of(id)); }

}  // namespace tmem::tool
