// SPDX-License-Identifier: MIT
// Checks on what dom0 sees; elsewhere none of them is made.
#include "tools/tmemctl/doctor/xen_facts.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

using Findings = std::vector<Finding>;

// Of a quota: from here on the next guests may not connect.
constexpr uint64_t kQuotaWarnPercent = 80;

std::string named(const std::string& name, uint32_t domid) { return "'" + printable(name) + "' (" + std::to_string(domid) + ")"; }

Findings xenstore(const XenFacts& facts) {
  const std::string& store = facts.store;
  if (store.empty()) return {{Level::kProblem, "no xenstore daemon answers in this dom0", "systemctl status xen"}};
  if (store == "oxenstored" && facts.service_domid != 0)
    return {{Level::kNote, "xenstored is oxenstored, which the Xen project does not security-support against hostile driver domains",
             "where guests are not trusted: XENSTORED=/usr/lib/xen-4.17/bin/xenstored in /etc/default/xen, and a reboot"}};
  return {{Level::kOk, "xenstored is " + std::string(store == "xenstored" ? "the C one" : "oxenstored")}};
}

void judge(Findings& findings, const Usage& usage, const char* what) {
  if (usage.most == 0) return findings.push_back({Level::kSkipped, std::string("the quota of ") + what + " is not known"});
  const uint64_t percent = usage.used * 100 / usage.most;
  const std::string text = std::to_string(usage.used) + " of " + std::to_string(usage.most) + " " + what + " (" + std::to_string(percent) + " %)";
  if (percent < kQuotaWarnPercent) return findings.push_back({Level::kOk, text});
  findings.push_back({Level::kWarning, text + ": further guests will soon not connect", "raise it: xenstored --quota, or /etc/xen/oxenstored.conf"});
}

// dom0 has no quota.
Findings quotas(const XenFacts& facts) {
  if (!facts.service_published || facts.service_domid == 0) return {{Level::kSkipped, "the service has no domain of its own"}};
  Findings findings;
  judge(findings, facts.nodes, "nodes of the service's domain");
  judge(findings, facts.watches, "watches of the service's domain");
  return findings;
}

Findings agent(const XenFacts& facts) {
  if (facts.agent_runs) return {{Level::kOk, "xen-tmem-agent runs"}};
  return {{Level::kProblem, "xen-tmem-agent does not run: guests that start now get no tmem", "systemctl start xen-tmem-agent"}};
}

Findings service_domain(const XenFacts& facts) {
  if (facts.service_published) return {{Level::kOk, "the service is in domain " + named(facts.service_name, facts.service_domid)}};
  if (!facts.agent_runs) return {{Level::kSkipped, "only the agent knows the service's domain"}};
  return {{Level::kProblem, "the service's domain does not run: guests have no tmem", "xl create /usr/lib/xen-tmem/tmem.cfg, or name it: xen-domain in tmem.conf"}};
}

Findings guests(const XenFacts& facts) {
  Findings findings;
  for (const GuestNodes& guest : facts.guests) {
    if (guest.back_state == "4" && guest.front_state == "4") continue;
    const std::string states = " (service " + (guest.back_state.empty() ? "-" : printable(guest.back_state)) + ", guest " +
                               (guest.front_state.empty() ? "-" : printable(guest.front_state)) + ")";
    if (guest.back_state == "2" && guest.front_state == "1")
      findings.push_back({Level::kNote, "guest " + named(guest.name, guest.domid) + " is attached and has no driver" + states, "modprobe tmem in the guest"});
    else if (guest.back_state == "1")
      findings.push_back({Level::kWarning, "guest " + named(guest.name, guest.domid) + " is attached and the service does not take it up" + states,
                          "see whether the service lives: xl console " + std::to_string(facts.service_domid)});
    else
      findings.push_back({Level::kWarning, "guest " + named(guest.name, guest.domid) + " is not connected" + states,
                          "see the guest's kernel log and the service's; xen-tmemctl detach and attach start it over"});
  }
  return findings;
}

Findings stale(const XenFacts& facts) {
  Findings findings;
  for (const std::string& path : facts.stale)
    findings.push_back({Level::kWarning, "nodes of a guest that is gone are left: " + printable(path), "the agent removes them: systemctl restart xen-tmem-agent"});
  return findings;
}

constexpr XenCheck kChecks[] = {
    {"xenstore", xenstore},   {"xen-agent", agent},   {"xen-service", service_domain},
    {"xen-quotas", quotas},   {"xen-guests", guests}, {"xen-stale", stale},
};

}  // namespace

std::span<const XenCheck> xen_checks() { return kChecks; }

}  // namespace tmem::tool
