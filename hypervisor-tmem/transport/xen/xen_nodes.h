// SPDX-License-Identifier: MIT
// The values of the xenstore nodes in proto/tmem/tmem_xs.h, parsed and made: pure functions of text, no xenstore. What a
// guest wrote is checked here, once; nullopt says that it is not what the protocol allows.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tmem/tmem_xs.h"
#include "tmem/uuid.h"

namespace tmem {

// "connect": what the guest chose.
struct XenConnect {
  uint32_t version;
  uint32_t queues;
  uint32_t ring_order;
};
std::optional<XenConnect> parse_xen_connect(std::string_view text, uint32_t queues_max, uint32_t ring_order_max);

// "queues": grant of the directory page and event channel of each queue. Exactly queues of them.
struct XenQueueRef {
  uint32_t directory;
  uint32_t port;
};
std::optional<std::vector<XenQueueRef>> parse_xen_queues(std::string_view text, uint32_t queues);

// "identity": who of this guest's boots.
struct XenIdentity {
  std::array<uint64_t, 2> nonce;
  uint64_t epoch;
  bool suspended;
};
std::optional<XenIdentity> parse_xen_identity(std::string_view text);

// "guest", written by dom0.
struct XenGuest {
  Uuid uuid;
  std::string name;  // printable, cut to kNameBytesMax
};
std::optional<XenGuest> parse_xen_guest(std::string_view text);

// "policy", written by dom0. Absent keys are nullopt; unknown ones are ignored.
struct XenPolicy {
  std::optional<uint32_t> weight;
  std::optional<uint64_t> cap_pages;
  std::optional<uint64_t> min_pages;
  std::optional<bool> compress;
  std::vector<Uuid> shared;
};
std::optional<XenPolicy> parse_xen_policy(std::string_view text);

// "service", before InitWait; with resumed and epoch before Connected.
struct XenService {
  uint32_t queues_max;
  uint32_t ring_order_max;
  uint64_t generation;
};
std::string format_xen_service(const XenService& service);
std::string format_xen_service(const XenService& service, bool resumed, uint64_t epoch);

}  // namespace tmem
