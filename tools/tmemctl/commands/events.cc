// SPDX-License-Identifier: MIT
// events: what happens in the service, a line each, as it happens.
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

// Until limit events were seen, or for ever when it is 0, or until the reader is gone.
void run_events(Session& session, uint64_t limit) {
  control::Request request;
  request.mutable_subscribe();
  session.call(std::move(request));
  for (uint64_t seen = 0; limit == 0 || seen < limit; seen++) {
    std::optional<control::Event> event = session.service().next_event(std::nullopt);
    if (!event) continue;
    print_event(session, *event);
    if (!session.out) return;
  }
}

}  // namespace

void add_events_command(CLI::App& app, Session& session) {
  auto limit = std::make_shared<uint64_t>(0);
  CLI::App* events = add_reading(app, session, "events", "Follow what happens, a line for each event");
  events->add_option("-i,--iterations", *limit, "End after that many events; 0: never");
  events->footer("Ends with exit status 4 when the service goes away. With --json each line is a document of its own.\n"
                 "Example: xen-tmemctl events --json | jq -r .kind");
  events->callback([limit, &session] { run_events(session, *limit); });
}

}  // namespace tmem::tool
