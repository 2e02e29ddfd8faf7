// SPDX-License-Identifier: MIT
#include "daemon/config/config_values.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>
#include <optional>
#include <type_traits>

namespace tmem {
namespace {

constexpr uint64_t kMegabyte = uint64_t{1} << 20;
// In the order of their enums.
constexpr std::string_view kXenModes[] = {"auto", "on", "off"};
constexpr std::string_view kLogLevels[] = {"error", "warning", "info", "debug"};

std::optional<uint64_t> parse_number(std::string_view text, uint64_t min, uint64_t max) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < min || value > max) return std::nullopt;
  return value;
}

// 512M, 2G, 1T, 4096K, or 25% (in whole megabytes); nothing shorter than a unit, so that a bare number is never mistaken.
std::optional<uint64_t> parse_size(std::string_view text, const HostFigures& host) {
  if (text.size() < 2) return std::nullopt;
  const char unit = text.back();
  text.remove_suffix(1);
  if (unit == '%') {
    const auto percent = parse_number(text, 0, 100);
    if (!percent) return std::nullopt;
    return host.memory_bytes / kMegabyte * *percent / 100 * kMegabyte;
  }
  const std::string_view units = "KMGT";
  const size_t power = units.find(unit);
  if (power == std::string_view::npos) return std::nullopt;
  const unsigned shift = 10 * (static_cast<unsigned>(power) + 1);
  const auto value = parse_number(text, 0, std::numeric_limits<uint64_t>::max() >> shift);
  if (!value) return std::nullopt;
  return *value << shift;
}

// In the largest unit that has no remainder. Every size comes from parse_size or a constant, so kilobytes always do.
std::string show_bytes(uint64_t bytes) {
  constexpr std::string_view kUnits = "KMGT";
  size_t power = 0;
  uint64_t value = bytes >> 10;
  while (value != 0 && value % 1024 == 0 && power + 1 < kUnits.size()) {
    value >>= 10;
    ++power;
  }
  return std::to_string(value) + kUnits[power];
}

template <auto Member>
std::string show_size(const Config& config) { return show_bytes(config.*Member); }

template <auto Member>
std::string show_size_or_none(const Config& config) { return config.*Member == 0 ? "none" : show_bytes(config.*Member); }

template <auto Member>
std::string show_number(const Config& config) { return std::to_string(config.*Member); }

template <auto Member>
std::string show_switch(const Config& config) { return config.*Member ? "on" : "off"; }

template <auto Member>
std::string show_text(const Config& config) { return config.*Member; }

template <auto Member, const auto& Names>
std::string show_name(const Config& config) { return std::string(Names[static_cast<size_t>(config.*Member)]); }

template <auto Member>
bool set_size(Config& config, std::string_view text, const HostFigures& host) {
  const auto bytes = parse_size(text, host);
  if (bytes) config.*Member = *bytes;
  return bytes.has_value();
}

template <auto Member>
bool set_size_or_none(Config& config, std::string_view text, const HostFigures& host) {
  if (text == "none") {
    config.*Member = 0;
    return true;
  }
  return set_size<Member>(config, text, host);
}

// No percentages: dom0's own memory is not the host's.
template <auto Member>
bool set_fixed(Config& config, std::string_view text, const HostFigures& host) {
  return !text.ends_with('%') && set_size<Member>(config, text, host);
}

template <auto Member>
bool set_fixed_or_none(Config& config, std::string_view text, const HostFigures& host) {
  return !text.ends_with('%') && set_size_or_none<Member>(config, text, host);
}

template <auto Member, uint64_t Min, uint64_t Max>
bool set_number(Config& config, std::string_view text, const HostFigures&) {
  const auto value = parse_number(text, Min, Max);
  if (value) config.*Member = static_cast<uint32_t>(*value);
  return value.has_value();
}

template <auto Member>
bool set_switch(Config& config, std::string_view text, const HostFigures&) {
  if (text != "on" && text != "off") return false;
  config.*Member = text == "on";
  return true;
}

// A path that fits into sockaddr_un with its zero byte.
template <auto Member>
bool set_socket(Config& config, std::string_view text, const HostFigures&) {
  if (text.size() < 2 || text.size() > 107 || text.front() != '/' || text.back() == '/') return false;
  config.*Member = std::string(text);
  return true;
}

bool set_memory(Config& config, std::string_view text, const HostFigures& host) {
  const auto bytes = parse_size(text, host);
  if (!bytes || *bytes < 8 * kMegabyte) return false;
  config.memory_bytes = *bytes;
  return true;
}

// Of the service's memory, which may change while it runs; so it stays a part.
bool set_suspend_memory(Config& config, std::string_view text, const HostFigures& host) {
  return text.ends_with('%') && set_number<&Config::suspended_memory_percent, 0, 100>(config, text.substr(0, text.size() - 1), host);
}

std::string show_suspend_memory(const Config& config) { return std::to_string(config.suspended_memory_percent) + "%"; }

bool set_shards(Config& config, std::string_view text, const HostFigures& host) {
  if (text == "auto") {
    config.shards = host.cpus < 1 ? 1 : host.cpus > 8 ? 8 : host.cpus;
    return true;
  }
  return set_number<&Config::shards, 1, 32>(config, text, host);
}

template <auto Member, const auto& Names>
bool set_name(Config& config, std::string_view text, const HostFigures&) {
  const auto found = std::find(std::begin(Names), std::end(Names), text);
  if (found == std::end(Names)) return false;
  config.*Member = static_cast<std::remove_reference_t<decltype(config.*Member)>>(found - std::begin(Names));
  return true;
}

bool set_domain(Config& config, std::string_view text, const HostFigures&) {
  if (text.empty() || text.size() > 63 || text.find_first_of(" \t/") != std::string_view::npos) return false;
  config.xen_domain = std::string(text);
  return true;
}

constexpr std::string_view kSizes = "a size such as 512M or 2G, or a part of the host's memory such as 25%";
constexpr std::string_view kFixedSizes = "a size such as 512M or 2G";
constexpr std::string_view kSizesOrNone = "none, a size such as 512M or 2G, or a part of the host's memory such as 25%";
constexpr std::string_view kSwitch = "on or off";
constexpr std::string_view kPath = "an absolute path of at most 107 characters";

constexpr ConfigValue kValues[] = {
    {{"memory", "25%", "at least 8M: a size such as 512M or 2G, or a part of the host's memory such as 25%",
      "memory for guests' pages and their index, all shards together"}, set_memory, show_size<&Config::memory_bytes>},
    {{"memory-max", "100%", kSizes, "what memory may be raised to while the service runs"}, set_size<&Config::memory_bytes_max>, show_size<&Config::memory_bytes_max>},
    {{"shards", "auto", "auto (one for each CPU, at most 8), or 1 to 32", "worker threads, each with an engine of its own"}, set_shards, show_number<&Config::shards>},
    {{"xen", "auto", "auto, on or off", "serve Xen guests; auto: where this is a Xen domain, on: it is an error where it is not"},
     set_name<&Config::xen, kXenModes>, show_name<&Config::xen, kXenModes>},
    {{"xen-domain", "tmem", "name or number of a domain", "for xen-tmem-agent: the domain in which the service runs"}, set_domain, show_text<&Config::xen_domain>},
    {{"xen-attach", "off", kSwitch, "for xen-tmem-agent: attach guests that nothing else speaks of, with the client-... keys as their policy"},
     set_switch<&Config::xen_attach>, show_switch<&Config::xen_attach>},
    {{"breathe", "off", kSwitch, "for xen-tmem-agent: let the tmem domain grow into Xen's free memory and take it back for others"},
     set_switch<&Config::breathe>, show_switch<&Config::breathe>},
    {{"breathe-reserve", "256M", kFixedSizes, "memory that stays free in Xen, for guests that start"}, set_fixed<&Config::breathe_reserve_bytes>, show_size<&Config::breathe_reserve_bytes>},
    {{"breathe-min", "64M", kFixedSizes, "what the service keeps for guests' pages, however short memory is"}, set_fixed<&Config::breathe_min_bytes>, show_size<&Config::breathe_min_bytes>},
    {{"breathe-max", "none", "none, or a size such as 512M or 2G", "most memory of the tmem domain; its own maxmem and memory-max are limits as well"},
     set_fixed_or_none<&Config::breathe_max_bytes>, show_size_or_none<&Config::breathe_max_bytes>},
    {{"breathe-interval", "2", "1 to 60 seconds", "how often memory is looked at while nothing happens"},
     set_number<&Config::breathe_interval_seconds, 1, 60>, show_number<&Config::breathe_interval_seconds>},
    {{"memfd-socket", "/run/xen-tmem/memfd.sock", kPath, "where local processes connect"}, set_socket<&Config::memfd_socket>, show_text<&Config::memfd_socket>},
    {{"control-socket", "/run/xen-tmem/control.sock", kPath, "where xen-tmemctl connects"}, set_socket<&Config::control_socket>, show_text<&Config::control_socket>},
    {{"recover-grace", "60", "1 to 86400 seconds", "how long recovered pages wait for their owner after a restart"},
     set_number<&Config::recover_grace_seconds, 1, 86400>, show_number<&Config::recover_grace_seconds>},
    {{"suspend-grace", "86400", "1 to 31536000 seconds", "how long the pages of a suspended client are kept"},
     set_number<&Config::suspend_grace_seconds, 1, 31536000>, show_number<&Config::suspend_grace_seconds>},
    {{"suspend-clients", "64", "0 to 4096", "clients that may be suspended at a time; the pages of further ones are freed"},
     set_number<&Config::suspended_clients_max, 0, 4096>, show_number<&Config::suspended_clients_max>},
    {{"suspend-memory", "50%", "0% to 100%", "the part of memory that pages of suspended clients may take; beyond it those whose time ends first are freed"},
     set_suspend_memory, show_suspend_memory},
    {{"poll-window-us", "50", "0 to 100000 microseconds", "how long a worker polls its rings before it sleeps"},
     set_number<&Config::poll_window_us, 0, 100000>, show_number<&Config::poll_window_us>},
    {{"ring-order-max", "7", "3 to 7", "a client's queue has at most 2^this slots"}, set_number<&Config::ring_order_max, 3, 7>, show_number<&Config::ring_order_max>},
    {{"clients-max", "4096", "1 to 4096", "clients known at a time"}, set_number<&Config::clients_max, 1, 4096>, show_number<&Config::clients_max>},
    {{"keep-connections", "on", kSwitch, "keep local clients' rings over a restart of the service; off: they connect anew and replay"},
     set_switch<&Config::keep_connections>, show_switch<&Config::keep_connections>},
    {{"huge-pages", "on", kSwitch, "ask the kernel for transparent huge pages under the arena"}, set_switch<&Config::huge_pages>, show_switch<&Config::huge_pages>},
    {{"verify-on-recovery", "off", kSwitch, "test the checksum of every page at a restart, not only when it is got"},
     set_switch<&Config::verify_on_recovery>, show_switch<&Config::verify_on_recovery>},
    {{"log-level", "info", "error, warning, info or debug", "what is logged"},
     set_name<&Config::log_level, kLogLevels>, show_name<&Config::log_level, kLogLevels>},
    {{"client-weight", "100", "0 to 65535", "share of a client without a policy of its own; 0: evicted first"},
     set_number<&Config::client_weight, 0, 65535>, show_number<&Config::client_weight>},
    {{"client-cap", "none", kSizesOrNone, "most pages, counted uncompressed, that such a client may keep"},
     set_size_or_none<&Config::client_cap_bytes>, show_size_or_none<&Config::client_cap_bytes>},
    {{"client-min", "none", kSizesOrNone, "ephemeral pages, counted uncompressed, that are not evicted for others"},
     set_size_or_none<&Config::client_min_bytes>, show_size_or_none<&Config::client_min_bytes>},
    {{"client-compress", "on", kSwitch, "compress such a client's pages"}, set_switch<&Config::client_compress>, show_switch<&Config::client_compress>},
    {{"client-dedup", "off", kSwitch, "keep equal pages of one such client once"}, set_switch<&Config::client_dedup>, show_switch<&Config::client_dedup>},
};

}  // namespace

std::span<const ConfigValue> config_values() { return kValues; }

}  // namespace tmem
