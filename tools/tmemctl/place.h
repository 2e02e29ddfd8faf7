// SPDX-License-Identifier: MIT
// Where the service is: on this machine behind a socket, or in another domain.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tools/tmemctl/link.h"

namespace tmem::tool {

inline constexpr const char* kControlSocketDefault = "/run/xen-tmem/control.sock";

// What the command line said.
struct PlaceWish {
  std::string socket_path{kControlSocketDefault};
  bool socket_given = false;
  std::string domain{};  // name or number; empty: not said
};

struct Place {
  uint32_t domid = 0;  // 0: this machine, at the socket
  std::string domain{};
  std::string socket_path{};
};

// A domain or a socket that was named; else the domain that dom0's agent published, if it is another than this; else the
// usual socket. Asks xenstored only where no socket was named.
Place find_service(const PlaceWish& wish);
std::unique_ptr<Link> connect_to(const Place& place, Milliseconds timeout);

}  // namespace tmem::tool
