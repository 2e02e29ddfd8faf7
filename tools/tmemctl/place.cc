// SPDX-License-Identifier: MIT
#include "tools/tmemctl/place.h"

#include "agent/attach.h"
#include "agent/xenstore.h"
#include "tmem/tmem_xs.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

Place named_domain(const std::string& name) {
  try {
    agent::XenStore store;
    const auto domid = agent::find_domain(store, name);
    if (!domid) throw Failure(ExitCode::kNotFound, "no domain '" + printable(name) + "' is running; see: xl list");
    return {*domid, name, kControlSocketDefault};
  } catch (const agent::StoreError& error) {
    throw Failure(ExitCode::kUnreachable, "cannot look for domain '" + printable(name) + "': " + error.what() + "; run this in dom0");
  }
}

// None here is no error: most machines that run this have no Xen.
Place published_domain() {
  Place place;
  try {
    agent::XenStore store;
    const auto domid = agent::find_domain(store, store.read(TMEM_XS_SERVICE_DOMAIN).value_or(""));
    if (domid) place = {*domid, agent::guest_name(store, *domid).name, ""};
  } catch (const agent::StoreError&) {
  }
  place.socket_path = kControlSocketDefault;
  return place;
}

}  // namespace

Place find_service(const PlaceWish& wish) {
  if (wish.socket_given && !wish.domain.empty()) throw Failure(ExitCode::kUsage, "both --socket and --domain were given; the service is in one place");
  if (!wish.domain.empty()) return named_domain(wish.domain);
  if (wish.socket_given) return {0, "", wish.socket_path};
  return published_domain();
}

std::unique_ptr<Link> connect_to(const Place& place, Milliseconds timeout) {
  if (place.domid == 0) return connect_socket(place.socket_path, timeout);
  try {
    return connect_domain(place.domid, place.domain, timeout);
  } catch (const agent::StoreError& error) {
    throw Failure(ExitCode::kUnreachable, "cannot reach domain '" + printable(place.domain) + "': " + error.what());
  }
}

}  // namespace tmem::tool
