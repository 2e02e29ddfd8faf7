// SPDX-License-Identifier: MIT
// Any bytes as files of /proc or as a key's value: numbers in range or nothing, and a decision that keeps the controller's laws.
#include <cstdlib>
#include <string_view>

#include "selfballoon/controller.h"
#include "selfballoon/parse.h"
#include "selfballoon/unswap.h"

using namespace tmem::selfballoon;

static void check(bool good) {
  if (!good) std::abort();
}

static void check_keys(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return;
  const std::string_view key = text.substr(0, equals);
  Params params;
  const auto refused = set(params, key, text.substr(equals + 1));
  if (refused) {
    check(params == Params{} && refused->size() < 200 && refused->find('\n') == std::string::npos);
  } else {
    check(is_key(key) && set(params, key, get(params, key)) == std::nullopt);
  }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_keys(text);
  for (const MemoryRange& range : parse_maps(text)) check(range.from < range.to);
  const Table table = parse_table(text);
  const auto of = [&](const char* name) {
    const auto found = table.find(name);
    return found == table.end() ? 0 : found->second;
  };
  const Zones zones = parse_zoneinfo(text);
  Sample sample;
  sample.time_ms = 5000;
  sample.limit_kib = of("limit") >> 16;
  sample.target_kib = of("target") >> 16;
  sample.current_kib = of("current") >> 16;
  sample.total_kib = of("MemTotal") >> 16;
  sample.available_kib = of("MemAvailable") >> 16;
  sample.committed_kib = of("Committed_AS") >> 16;
  sample.reserve_kib = zones.reserve_pages & ((uint64_t{1} << 48) - 1);
  sample.span_kib = zones.span_pages & ((uint64_t{1} << 48) - 1);
  sample.in_tmem_kib = parse_swaps_used_kib(text, "/dev/tmemswap") >> 16;
  sample.stall_us = parse_stall_us(text);
  for (const char* policy : {"pressure", "committed"}) {
    Params params;
    set(params, TMEM_SELFBALLOON_POLICY, policy);
    const Decision decision = decide(params, decide(params, {}, sample).next, sample);
    check(decision.target_kib <= sample.limit_kib && decision.target_kib >= decision.floor_kib && decision.unswap_kib <= sample.in_tmem_kib);
  }
  return 0;
}
