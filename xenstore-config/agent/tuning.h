// SPDX-License-Identifier: MIT
// The tuning of a guest's self-ballooning as dom0 carries it: from a configuration's keys to the nodes that the guest reads.
// proto/tmem/tmem_selfballoon.h has the keys; the guest's own judge of values (tools/selfballoon/params.h) judges here as well.
//
// Thread rule: one thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/xenstore.h"

namespace tmem::agent {

using Tuning = std::map<std::string, std::string>;  // node -> value, all of them good

// The node for a configuration's key without its prefix "tmem_" ("selfballoon" stands for selfballooning); nullopt: not one of these.
std::optional<std::string> tuning_node(const std::string& key);
const std::vector<std::string>& tuning_nodes();  // every node's name
// Why the value may not be used, in one line.
std::optional<std::string> tuning_refusal(const std::string& node, const std::string& value);

std::string tuning_path(Domid guest);
// Writes the values for a guest that has none yet. What somebody wrote by hand stays. True: written.
bool carry_tuning(Store& store, Domid guest, const Tuning& tuning);

}  // namespace tmem::agent
