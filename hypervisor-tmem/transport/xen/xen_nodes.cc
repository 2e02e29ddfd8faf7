// SPDX-License-Identifier: MIT
#include "transport/xen/xen_nodes.h"

#include <charconv>

#include "tmem/limits.h"
#include "tmem/tmemif.h"

namespace tmem {
namespace {

template <typename T>
std::optional<T> number(std::string_view text, T max = ~T{0}, int base = 10) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

// Calls take(key, value) for each word KEY=VALUE; false if a word is not of that form or take says so.
template <typename Take>
bool each_word(std::string_view text, Take take) {
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size() == text.size() ? word.size() : word.size() + 1);
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos || equals == 0) return false;
    if (!take(word.substr(0, equals), word.substr(equals + 1))) return false;
  }
  return true;
}

// Puts a number where it belongs; for use in each_word.
template <typename T, typename To>
bool assign(To& to, std::string_view value, T max = ~T{0}) {
  const auto parsed = number<T>(value, max);
  if (parsed) to = *parsed;
  return parsed.has_value();
}

}  // namespace

std::optional<XenConnect> parse_xen_connect(std::string_view text, uint32_t queues_max, uint32_t ring_order_max) {
  XenConnect c{};
  const bool read = each_word(text, [&](std::string_view key, std::string_view value) {
    if (key == "version") return assign<uint32_t>(c.version, value);
    if (key == "queues") return assign<uint32_t>(c.queues, value);
    if (key == "ring-order") return assign<uint32_t>(c.ring_order, value);
    return true;
  });
  const bool good = read && c.version == TMEMIF_VERSION && c.queues >= 1 && c.queues <= queues_max &&
                    c.ring_order >= TMEMIF_RING_ORDER_MIN && c.ring_order <= ring_order_max;
  if (!good) return std::nullopt;
  return c;
}

std::optional<std::vector<XenQueueRef>> parse_xen_queues(std::string_view text, uint32_t queues) {
  std::vector<XenQueueRef> refs;
  while (!text.empty() && refs.size() <= queues) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size() == text.size() ? word.size() : word.size() + 1);
    const size_t colon = word.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const auto directory = number<uint32_t>(word.substr(0, colon));
    const auto port = number<uint32_t>(word.substr(colon + 1));
    if (!directory || !port) return std::nullopt;
    refs.push_back({*directory, *port});
  }
  if (refs.size() != queues) return std::nullopt;
  return refs;
}

std::optional<XenIdentity> parse_xen_identity(std::string_view text) {
  constexpr size_t kHalf = 16;  // hex digits of 64 bits
  std::optional<uint64_t> high, low, epoch;
  uint32_t suspended = 0;
  const bool read = each_word(text, [&](std::string_view key, std::string_view value) {
    if (key == "nonce") {
      if (value.size() != 2 * kHalf) return false;
      high = number<uint64_t>(value.substr(0, kHalf), ~uint64_t{0}, 16);
      low = number<uint64_t>(value.substr(kHalf), ~uint64_t{0}, 16);
      return high && low;
    }
    if (key == "epoch") return assign<uint64_t>(epoch, value);
    if (key == "suspended") return assign<uint32_t>(suspended, value, 1);
    return true;
  });
  if (!read || !high || !low || !epoch) return std::nullopt;
  return XenIdentity{{*high, *low}, *epoch, suspended == 1};
}

std::optional<XenGuest> parse_xen_guest(std::string_view text) {
  constexpr std::string_view kUuidKey = "uuid=", kNameKey = " name=";
  if (text.substr(0, kUuidKey.size()) != kUuidKey) return std::nullopt;
  text.remove_prefix(kUuidKey.size());
  const auto uuid = parse_uuid(text.substr(0, 36));
  if (!uuid) return std::nullopt;
  text.remove_prefix(36);
  if (text.substr(0, kNameKey.size()) != kNameKey) return std::nullopt;
  XenGuest guest{*uuid, std::string(text.substr(kNameKey.size(), kNameBytesMax))};
  for (char& c : guest.name) {
    if (c < ' ' || c > '~') c = '?';
  }
  return guest;
}

std::optional<XenPolicy> parse_xen_policy(std::string_view text) {
  XenPolicy policy;
  const bool read = each_word(text, [&](std::string_view key, std::string_view value) {
    if (key == "weight") return assign<uint32_t>(policy.weight, value, 65535);
    if (key == "cap-pages") return assign<uint64_t>(policy.cap_pages, value);
    if (key == "min-pages") return assign<uint64_t>(policy.min_pages, value);
    if (key == "compress") {
      const auto flag = number<uint32_t>(value, 1);
      if (flag) policy.compress = *flag == 1;
      return flag.has_value();
    }
    if (key == "shared") {
      const auto uuid = parse_uuid(value);
      if (uuid) policy.shared.push_back(*uuid);
      return uuid.has_value();
    }
    return true;
  });
  if (!read) return std::nullopt;
  return policy;
}

std::string format_xen_service(const XenService& service) {
  const std::string version = std::to_string(TMEMIF_VERSION);
  return "versions=" + version + "-" + version + " max-queues=" + std::to_string(service.queues_max) +
         " max-ring-order=" + std::to_string(service.ring_order_max) + " generation=" + std::to_string(service.generation);
}

std::string format_xen_service(const XenService& service, bool resumed, uint64_t epoch) {
  return format_xen_service(service) + " resumed=" + (resumed ? "1" : "0") + " epoch=" + std::to_string(epoch);
}

}  // namespace tmem
