// SPDX-License-Identifier: MIT
// events: what happens in the service, and in dom0 to the host's memory, a line each, as it happens.
#include "tools/tmemctl/host_events.h"

#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/json.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

void print_event(Session& session, const control::Event& event) {
  if (session.json) {
    Json document = schema("event");
    document.update(to_json(event));
    print_json(session.out, document, true);
  } else {
    session.out << format_time_ms(event.time_ms()) << ' ' << enum_word(control::Event::Kind_Name(event.kind()));
    if (!event.client_name().empty()) session.out << " '" << printable(event.client_name()) << "' (" << event.client() << ")";
    if (!event.text().empty()) session.out << ": " << printable(event.text());
    session.out << '\n';
  }
  session.out.flush();
}

void print_event(Session& session, const HostEvent& event) {
  constexpr uint64_t kMs = 1000;
  if (session.json) {
    Json document = schema("event");
    document.update({{"kind", event.kind}, {"time_ms", event.time_s * kMs}, {"client", event.domain}, {"client_name", event.name}, {"text", ""}, {"host", true}});
    print_json(session.out, document, true);
  } else {
    session.out << format_time_ms(event.time_s * kMs) << " host: " << printable(event.kind);
    if (event.domain != 0) session.out << " '" << printable(event.name) << "' (" << event.domain << ")";
    session.out << '\n';
  }
  session.out.flush();
}

// Where the service has a domain of its own, dom0's agent has events as well.
struct Host {
  agent::XenStore store{};
  HostEvents events{store};
};

// Until limit events were seen, or for ever when it is 0, or until the reader is gone.
void run_events(Session& session, uint64_t limit) {
  control::Request request;
  request.mutable_subscribe();
  session.call(std::move(request));
  std::optional<Host> host;
  if (session.place().domid != 0) host.emplace();
  constexpr Milliseconds kHostLook{500};
  uint64_t seen = 0;
  const auto tell = [&](const auto& event) {
    if (limit != 0 && seen++ >= limit) return;
    print_event(session, event);
  };
  while ((limit == 0 || seen < limit) && session.out) {
    const auto event = session.service().next_event(host ? std::optional(kHostLook) : std::nullopt);
    if (event) tell(*event);
    for (const HostEvent& one : host ? host->events.fresh() : std::vector<HostEvent>()) tell(one);
  }
}

}  // namespace

void add_events_command(CLI::App& app, Session& session) {
  auto limit = std::make_shared<uint64_t>(0);
  CLI::App* events = add_reading(app, session, "events", "Follow what happens, a line for each event");
  events->add_option("-i,--iterations", *limit, "End after that many events; 0: never");
  events->footer("Where the service has a domain of its own also those of the host's memory, from xen-tmem-agent (host: guest-stuck, guest-obeys,\n"
                 "memory-low, memory-enough, room-short).\nEnds with exit status 4 when the service goes away. With --json each line is a document of its own.\n"
                 "Example: xen-tmemctl events --json | jq -r .kind");
  events->callback([limit, &session] { run_events(session, *limit); });
}

}  // namespace tmem::tool
