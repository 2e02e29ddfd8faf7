// SPDX-License-Identifier: MIT
// Structs of the engine to messages of control.proto and back. The only place that knows both spellings.
#pragma once

#include <optional>
#include <string>

#include "control/host.h"
#include "tmem/control.pb.h"
#include "tmem/uuid.h"

namespace tmem {

// Adds, so that the figures of several shards come together in one message.
void add_ops(control::OpStats& to, const OpStats& from);
void add_space(control::SpaceStats& to, const SpaceStats& from);
void add_refusals(control::RefusalStats& to, const RefusalStats& from);
void set_shard(control::Shard& to, uint32_t shard, const EngineStats& from);
void set_client(control::Client& to, const ControlClient& from);
void set_pool(control::Pool& to, const PoolInfo& from);
// The same pool on a further shard.
void add_pool(control::Pool& to, const PoolInfo& from);
void set_info(control::Info::Reply& to, const ServiceFigures& from);

// Changes what is present. Returns what is wrong with it, or nothing.
std::optional<std::string> apply_policy(const control::Policy& from, ClientPolicy& policy, std::string& dedup_group);

}  // namespace tmem
