// SPDX-License-Identifier: MIT
// What dom0 can see of tmem without asking the service: the xenstore daemon and its quotas, the agent, the service's domain, and
// the device nodes of each guest. Gathered once for doctor; the checks on it are in xen_checks.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/tmemctl/doctor/checks.h"

namespace tmem::tool {

struct Usage {
  uint64_t used = 0;
  uint64_t most = 0;  // 0: not known
};

struct GuestNodes {
  uint32_t domid = 0;
  std::string name{};
  std::string back_state{}, front_state{};  // as they stand there; empty: no such node
};

struct XenFacts {
  std::string store{};  // "xenstored", "oxenstored"; empty: not seen
  Usage nodes{}, watches{};  // of the service's domain
  bool agent_runs = false;
  bool service_published = false;
  uint32_t service_domid = 0;
  std::string service_name{};
  std::vector<GuestNodes> guests{};
  std::vector<std::string> stale{};  // paths of backends whose guest is gone
};

// None where this is not dom0.
std::optional<XenFacts> gather_xen();

struct XenCheck {
  const char* name;
  // No finding: all is well.
  std::vector<Finding> (*run)(const XenFacts& facts);
};
std::span<const XenCheck> xen_checks();

// A figure of `xenstore-control quota`: "nodes            :     1000 ...", or of oxenstored.conf: "quota-maxentity = 1000".
std::optional<uint64_t> figure_of(std::string_view text, std::string_view name);

}  // namespace tmem::tool
