// SPDX-License-Identifier: MIT
// attach, detach, create: which guests have tmem. dom0's agent does it; this leaves the operator's word in xenstore and waits
// until it has come true. Pages that a guest would lose it is asked to take back first; take-back does only that. Only in dom0.
#include "agent/attach.h"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "tmem/tmem_xs.h"
#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/commands/figures.h"
#include "tools/tmemctl/pages_back.h"
#include "tools/tmemctl/room.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

constexpr std::chrono::milliseconds kLook{50};
constexpr uint64_t kMib = uint64_t{1} << 20, kPageBytes = 4096;

struct Guest {
  agent::Domid domid;
  std::string name;
  std::string uuid;
};

std::string describe(const Guest& guest) { return "guest '" + printable(guest.name) + "' (" + std::to_string(guest.domid) + ")"; }

Guest find_guest(agent::Store& store, const std::string& wanted) {
  const auto domid = agent::find_domain(store, wanted);
  if (!domid) throw Failure(ExitCode::kNotFound, "no domain '" + printable(wanted) + "' is running; see: xl list");
  if (*domid == 0) throw Failure(ExitCode::kNotPossible, "dom0 cannot be a guest of the service over Xen; name a guest");
  const agent::GuestName name = agent::guest_name(store, *domid);
  return {*domid, name.name, name.uuid};
}

agent::Domid service_domain(agent::Store& store) {
  const auto domid = agent::find_domain(store, store.read(TMEM_XS_SERVICE_DOMAIN).value_or(""));
  if (!domid) throw Failure(ExitCode::kUnreachable, "no domain serves tmem here: start the tmem domain (xl create tmem.cfg) and xen-tmem-agent");
  return *domid;
}

// The agent's process says its name in /proc; a number that it left behind may be another's by now.
void require_agent(agent::Store& store) {
  std::string name;
  std::getline(std::ifstream("/proc/" + store.read(agent::kAgentNode).value_or("-") + "/comm"), name);
  if (name != "xen-tmem-agent")
    throw Failure(ExitCode::kUnreachable, "xen-tmem-agent does not run, and it is what attaches guests: systemctl start xen-tmem-agent");
}

uint64_t whole_mib(const std::string& value, const std::string& key) {
  const uint64_t bytes = parse_size(value, "a " + key);
  if (bytes % kMib != 0) throw Failure(ExitCode::kUsage, "cannot use '" + key + "=" + printable(value) + "': it counts in whole MiB, as in xl.cfg");
  return bytes / kMib;
}

// The words of a policy as xl.cfg has them: sizes in MiB.
std::string policy_words(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    const std::string key = word.substr(0, equals), value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (key == "cap" || key == "min") text += " " + key + "=" + std::to_string(value == "none" ? 0 : whole_mib(value, key));
    else if (key == "weight") text += " weight=" + std::to_string(parse_number(value, "a weight", 65535));
    else if (key == "compress") text += std::string(" compress=") + (parse_switch(value, "compress") ? "1" : "0");
    else throw Failure(ExitCode::kUsage, "cannot use '" + printable(word) + "': there are weight=, cap=, min= and compress=");
  }
  return text;
}

// Leaves the word and waits until done() or the time is over.
bool wish(Session& session, agent::Store& store, const Guest& guest, const std::string& word, const std::function<bool()>& done) {
  const std::string path = std::string(agent::kWishes) + "/" + std::to_string(guest.domid), answer = path + "/" + agent::kWishAnswer;
  store.transaction([&](agent::StoreView& t) {
    t.remove(answer);
    t.write(path, word, {});
  });
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(session.timeout_seconds);
  for (;;) {
    const std::string said = store.read(answer).value_or("");
    if (said.starts_with("refused")) throw Failure(ExitCode::kNotPossible, describe(guest) + ": xen-tmem-agent " + printable(said));
    if (!said.empty() && done()) return true;
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(kLook);
  }
}

void run_attach(Session& session, const std::string& wanted, const std::vector<std::string>& words) {
  const std::string policy = policy_words(words);
  agent::XenStore store;
  const Guest guest = find_guest(store, wanted);
  const agent::Domid service = service_domain(store);
  if (guest.domid == service) throw Failure(ExitCode::kNotPossible, describe(guest) + " is the one that serves; name a guest");
  if (session.dry_run) {
    session.out << "would attach " << describe(guest) << " to domain " << service << (policy.empty() ? "" : " with" + policy) << '\n';
    return;
  }
  require_agent(store);
  const std::string back = agent::backend_path(service, guest.domid);
  const auto attached = [&] { return store.read(back + "/" TMEM_XS_ONLINE) == "1"; };
  if (!wish(session, store, guest, "attach" + policy, attached))
    throw Failure(ExitCode::kFailed, describe(guest) + " is not attached yet; the agent's log says why: journalctl -u xen-tmem-agent");
  const bool connected = store.read(agent::frontend_path(guest.domid) + "/" TMEM_XS_STATE) == "4";
  session.out << describe(guest) << (connected ? " is attached and connected" : " is attached; it connects once its kernel has the module tmem") << '\n';
}

// Pages that the guest would lose: only the service knows.
uint64_t would_lose(Session& session, const Guest& guest) { return pages_persistent(list_clients(session, {"", true}, false), guest.uuid); }

// Why pages are still with the service.
std::string still_there(const std::optional<PagesBack>& answer) {
  if (!answer) return "its kernel has not heard that it should take them back: no frontswap, or no module tmem";
  if (answer->busy) return "it is still taking pages back; give it longer with --timeout";
  if (answer->error == ENOMEM) return "its kernel has no memory to take them back";
  if (answer->error != 0) return "its kernel could not take them back (error " + std::to_string(answer->error) + ")";
  return "its kernel took back what it could; pages of a swap disk only swapoff brings back";
}

// Who has not connected stores nothing, and would not hear a request.
void must_lose_nothing(Session& session, agent::XenStore& store, PagesRequest& request, const Guest& guest) {
  if (store.read(agent::frontend_path(guest.domid) + "/" TMEM_XS_STATE) != "4" && would_lose(session, guest) == 0) return;
  const auto [pages, answer] = take_all_back(request, session.timeout_seconds, [&] { return would_lose(session, guest); });
  if (pages == 0) return;
  throw Failure(ExitCode::kNotPossible, describe(guest) + " keeps " + std::to_string(pages) + " pages in tmem that would be lost: " + still_there(answer) +
                                            ". Run swapoff in it, or use --force: its reads of them will fail");
}

void run_take_back(Session& session, const std::string& wanted, const std::string& may_stay) {
  agent::XenStore store;
  const Guest guest = find_guest(store, wanted);
  const uint64_t pages = may_stay.empty() ? 0 : parse_size(may_stay, "a size that may stay") / kPageBytes;
  if (session.dry_run) {
    session.out << "would ask " << describe(guest) << " to take back all but " << pages << " pages\n";
    return;
  }
  PagesRequest request(store, guest.domid);
  const auto answer = take_back(request, pages, session.timeout_seconds);
  if (!answer || answer->busy || answer->error != 0) throw Failure(ExitCode::kFailed, describe(guest) + ": " + still_there(answer));
  session.out << describe(guest) << " keeps " << answer->left << " pages in tmem\n";
}

void run_detach(Session& session, const std::string& wanted, bool force) {
  agent::XenStore store;
  const Guest guest = find_guest(store, wanted);
  const std::string back = agent::backend_path(service_domain(store), guest.domid);
  if (!store.read(back + "/" TMEM_XS_STATE) && !session.dry_run) {
    store.write(std::string(agent::kWishes) + "/" + std::to_string(guest.domid), "detach", {});
    session.out << describe(guest) << " was not attached\n";
    return;
  }
  if (session.dry_run) {
    session.out << "would detach " << describe(guest) << '\n';
    return;
  }
  PagesRequest request(store, guest.domid);  // stands until the guest is detached
  if (!force) must_lose_nothing(session, store, request, guest);
  require_agent(store);
  if (!wish(session, store, guest, "detach", [&] { return !store.read(back + "/" TMEM_XS_STATE); }))
    throw Failure(ExitCode::kFailed, describe(guest) + " is not detached yet: the service has not closed its device. See: xen-tmemctl doctor");
  session.out << describe(guest) << " is detached\n";
}

// What xl needs for this guest, with some for Xen's own tables.
uint64_t memory_kib(const std::string& file) {
  std::vector<agent::PolicyError> errors;
  const auto config = agent::read_xl_config(file, {}, errors);
  if (!config) return 0;  // xl will say what is wrong with it
  const uint64_t mib = config->memory_mib;
  return (mib + mib / 64 + 16) * 1024;
}

// Room that cannot be made is no reason to refuse here: xl has the last word.
void make_room_for(Session& session, const std::string& file) {
  agent::XenStore store;
  std::string why;
  if (!can_make_room(store, why)) return;
  constexpr unsigned kHoldSeconds = 60;
  try {
    const Room room = make_room(store, std::to_string(getpid()), memory_kib(file), kHoldSeconds, session.timeout_seconds);
    if (!room.made)
      session.err << "xen-tmemctl: " << format_bytes_unit(room.missing_kib * 1024, false) << " of the room for this guest could not be made; xl may refuse it\n";
  } catch (const Failure& failure) {
    session.err << "xen-tmemctl: " << failure.what() << "; xl tries all the same\n";
  }
}

// xl does it; the agent finds the words on xl's command line, as if they stood in the file.
void run_create(Session& session, const std::string& file, const std::vector<std::string>& words) {
  std::vector<std::string> command{"xl", "create", file, "tmem=1"};
  std::istringstream policy(policy_words(words));
  for (std::string word; policy >> word;) command.push_back("tmem_" + word);
  if (session.dry_run) {
    session.out << "would run:";
    for (const std::string& word : command) session.out << ' ' << printable(word);
    session.out << '\n';
    return;
  }
  make_room_for(session, file);
  std::vector<char*> arguments;
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  session.out.flush();
  execvp(arguments[0], arguments.data());
  throw Failure(ExitCode::kFailed, "cannot run xl; this is for dom0, and needs the package xen-utils");
}

// What all of them take, and errors of xenstored as everybody's.
struct Options {
  std::string guest;
  std::vector<std::string> words;
  std::string size;
  bool force = false;
};

template <typename Run>
void on(CLI::App& command, Run run) {
  command.callback([run] {
    try {
      run();
    } catch (const agent::StoreError& error) {
      throw Failure(ExitCode::kUnreachable, std::string(error.what()) + "; run this in dom0");
    }
  });
}

}  // namespace

void add_attach_commands(CLI::App& app, Session& session) {
  constexpr const char* kWords = "weight=N, cap=SIZE, min=SIZE, compress=on|off; what is not named stays";
  const auto options = std::make_shared<Options>();
  CLI::App* attach = add_changing(app, session, "attach", "Give a running guest tmem, or change its policy for good");
  attach->add_option("DOM", options->guest, "Name or number of a domain")->required();
  attach->add_option("KEY=VALUE", options->words, kWords);
  on(*attach, [options, &session] { run_attach(session, options->guest, options->words); });

  CLI::App* detach = add_changing(app, session, "detach", "Take tmem from a running guest; refused while it has pages there that it cannot take back");
  detach->add_option("DOM", options->guest, "Name or number of a domain")->required();
  detach->add_flag("--force", options->force, "Also when pages are lost to the guest by it");
  on(*detach, [options, &session] { run_detach(session, options->guest, options->force); });

  CLI::App* take_back = add_changing(app, session, "take-back", "Ask a running guest to take its pages back, into memory and to its swap device");
  take_back->add_option("DOM", options->guest, "Name or number of a domain")->required();
  take_back->add_option("SIZE", options->size, "What may stay (default: nothing)");
  on(*take_back, [options, &session] { run_take_back(session, options->guest, options->size); });

  CLI::App* create = add_changing(app, session, "create", "xl create with tmem, whatever the file says about it");
  create->add_option("FILE", options->guest, "The guest's configuration, as for xl create")->required();
  create->add_option("KEY=VALUE", options->words, kWords);
  on(*create, [options, &session] { run_create(session, options->guest, options->words); });
}

}  // namespace tmem::tool
