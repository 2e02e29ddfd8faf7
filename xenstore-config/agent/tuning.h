// SPDX-License-Identifier: MIT
// What dom0 carries of a guest's memory that flows, from a configuration's keys to nodes: the tuning of its self-ballooning, which
// the guest reads, and its part in the host's policy, which dom0 reads. proto/tmem/tmem_selfballoon.h has the keys of the first;
// the guest's own judge of values (tools/selfballoon/params.h) judges here as well.
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

// The same for the host's policy: flow_min, flow_max, flow_weight and flow_buffer become min, max, weight and buffer.
std::optional<std::string> flow_node(const std::string& key);
const std::vector<std::string>& flow_keys();
std::optional<std::string> flow_refusal(const std::string& node, const std::string& value);
std::string flow_path(Domid guest);
bool carry_flow(Store& store, Domid guest, const Tuning& flow);

}  // namespace tmem::agent
