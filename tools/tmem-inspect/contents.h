// SPDX-License-Identifier: MIT
// What the records mean together: they come in any order, and are joined at the end into clients, pools and page counts.
#pragma once

#include <span>
#include <unordered_map>
#include <unordered_set>

#include "report.h"

namespace tmem::inspect {

class Contents {
 public:
  // A live record with a right checksum. False: a meta record that cannot be read.
  bool add(const Slot& slot, std::span<const std::byte> payload);
  // Fills clients, pools, authorisations and orphans, and names the pages whose shared content is missing.
  void finish(Report& report);

 private:
  struct Pages {
    uint64_t pages = 0, payload_bytes = 0;
  };
  bool add_meta(const Slot& slot, std::span<const std::byte> payload);
  void place_objects(Report& report, std::unordered_map<uint32_t, size_t>& pool_at);

  std::unordered_map<uint32_t, ClientMeta> clients_;           // by slot; the newest version
  std::unordered_map<uint32_t, MembershipMeta> memberships_;
  std::unordered_map<uint32_t, ObjectMeta> objects_;
  std::unordered_map<uint32_t, AuthorisationMeta> authorisations_;
  std::unordered_map<uint32_t, Pages> pages_;                  // by object
  std::unordered_map<uint32_t, uint64_t> references_;          // by content
  std::unordered_set<uint32_t> contents_;
};

}  // namespace tmem::inspect
