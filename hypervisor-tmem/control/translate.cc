// SPDX-License-Identifier: MIT
#include "control/translate.h"

#include <algorithm>

#include "tmem/limits.h"

namespace tmem {

void add_ops(control::OpStats& to, const OpStats& from) {
  to.set_put_stored(to.put_stored() + from.put_stored);
  to.set_put_replaced(to.put_replaced() + from.put_replaced);
  to.set_put_flushed(to.put_flushed() + from.put_flushed);
  to.set_put_no_space(to.put_no_space() + from.put_no_space);
  to.set_put_over_cap(to.put_over_cap() + from.put_over_cap);
  to.set_put_frozen(to.put_frozen() + from.put_frozen);
  to.set_put_same_filled(to.put_same_filled() + from.put_same_filled);
  to.set_put_raw(to.put_raw() + from.put_raw);
  to.set_put_deduplicated(to.put_deduplicated() + from.put_deduplicated);
  to.set_get_hit(to.get_hit() + from.get_hit);
  to.set_get_miss(to.get_miss() + from.get_miss);
  to.set_get_corrupt(to.get_corrupt() + from.get_corrupt);
  to.set_flush_page_hit(to.flush_page_hit() + from.flush_page_hit);
  to.set_flush_page_miss(to.flush_page_miss() + from.flush_page_miss);
  to.set_flush_object_hit(to.flush_object_hit() + from.flush_object_hit);
  to.set_flush_object_miss(to.flush_object_miss() + from.flush_object_miss);
  to.set_pages_evicted(to.pages_evicted() + from.pages_evicted);
}

void add_space(control::SpaceStats& to, const SpaceStats& from) {
  to.set_pages_ephemeral(to.pages_ephemeral() + from.pages_ephemeral);
  to.set_pages_persistent(to.pages_persistent() + from.pages_persistent);
  to.set_bytes_compressed(to.bytes_compressed() + from.bytes_compressed);
  to.set_objects(to.objects() + from.objects);
}

void add_refusals(control::RefusalStats& to, const RefusalStats& from) {
  to.set_no_pool(to.no_pool() + from.no_pool);
  to.set_pool_exists(to.pool_exists() + from.pool_exists);
  to.set_no_pool_slots(to.no_pool_slots() + from.no_pool_slots);
  to.set_bad_version(to.bad_version() + from.bad_version);
  to.set_bad_page_size(to.bad_page_size() + from.bad_page_size);
  to.set_bad_flags(to.bad_flags() + from.bad_flags);
  to.set_not_authorised(to.not_authorised() + from.not_authorised);
  to.set_not_all_queues(to.not_all_queues() + from.not_all_queues);
  to.set_bad_object(to.bad_object() + from.bad_object);
  to.set_no_credit(to.no_credit() + from.no_credit);
}

void set_shard(control::Shard& to, uint32_t shard, const EngineStats& from) {
  to.set_id(shard);
  to.set_memory_bytes(from.memory_bytes);
  to.set_memory_bytes_target(from.memory_bytes_target);
  to.set_arena_bytes(from.arena_bytes);
  to.set_index_bytes(from.index_bytes);
  to.set_bytes_live(from.bytes_live);
  to.set_segments(from.segments);
  to.set_segments_compacted(from.segments_compacted);
  to.set_credits_outstanding(from.credits_outstanding);
  to.set_teardown_pages(from.teardown_pages);
  to.set_pages_evicted(from.pages_evicted);
  to.set_records_recovered(from.records_recovered);
  to.set_records_skipped_torn(from.records_skipped_torn);
  to.set_records_skipped_unknown(from.records_skipped_unknown);
  to.set_segments_damaged(from.segments_damaged);
  to.set_segments_superseded(from.segments_superseded);
  to.set_weight_sum(from.weight_sum);
}

void set_client(control::Client& to, const ControlClient& from) {
  to.set_id(from.id.value());
  to.set_name(from.name);
  to.set_uuid(uuid_text(from.uuid));
  to.set_state(static_cast<control::Client::State>(from.state));
  to.set_transport(from.transport);
  to.set_queues(from.queues);
  control::Policy& policy = *to.mutable_policy();
  policy.set_weight(from.policy.weight);
  policy.set_cap_pages(from.policy.cap_pages);
  policy.set_min_pages(from.policy.min_pages);
  policy.set_compress(from.policy.compress);
  policy.set_frozen(from.policy.frozen);
  policy.set_dedup_group(from.dedup_group);
}

void set_pool(control::Pool& to, const PoolInfo& from) {
  to.set_id(from.id.value());
  to.set_persistent(from.persistent);
  to.set_shared(from.shared);
  if (from.shared) to.set_uuid(uuid_text(from.uuid));
  to.set_sharers(from.sharers);
  add_pool(to, from);
}

void add_pool(control::Pool& to, const PoolInfo& from) {
  add_ops(*to.mutable_ops(), from.ops);
  add_space(*to.mutable_space(), from.space);
}

void set_info(control::Info::Reply& to, const ServiceFigures& from) {
  to.set_version(from.version);
  to.set_abi_version(from.abi_version);
  to.set_generation(from.generation);
  to.set_uptime_seconds(from.uptime_seconds);
  to.set_restarts(from.restarts);
  to.set_pid(from.pid);
  to.set_config_path(from.config_path);
  to.set_memory_bytes_max(from.memory_bytes_max);
  to.set_clients_refused(from.clients_refused);
  to.set_arenas_refused(from.arenas_refused);
  to.set_control_frames_malformed(from.control_frames_malformed);
  to.set_control_connections_cut(from.control_connections_cut);
  to.set_huge_pages(from.huge_pages);
}

std::optional<std::string> apply_policy(const control::Policy& from, ClientPolicy& policy, std::string& dedup_group) {
  if (from.has_weight() && from.weight() > kWeightMax) {
    return "weight " + std::to_string(from.weight()) + " is out of range: give 0 to " + std::to_string(kWeightMax);
  }
  if (from.has_dedup_group()) {
    const std::string& group = from.dedup_group();
    const bool printable = std::all_of(group.begin(), group.end(), [](char c) { return c > 0x20 && c < 0x7f; });
    if (group.size() > kNameBytesMax || !printable) {
      return "dedup group is no name: give '' (off), 'self', or at most " + std::to_string(kNameBytesMax) + " printable characters without blanks";
    }
    dedup_group = group;
  }
  if (from.has_weight()) policy.weight = from.weight();
  if (from.has_cap_pages()) policy.cap_pages = from.cap_pages();
  if (from.has_min_pages()) policy.min_pages = from.min_pages();
  if (from.has_compress()) policy.compress = from.compress();
  if (from.has_frozen()) policy.frozen = from.frozen();
  if (policy.cap_pages != 0 && policy.min_pages > policy.cap_pages) {
    return "min " + std::to_string(policy.min_pages) + " pages is above cap " + std::to_string(policy.cap_pages) +
           " pages: lower min or raise cap";
  }
  return std::nullopt;
}

}  // namespace tmem
