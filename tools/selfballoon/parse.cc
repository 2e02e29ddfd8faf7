// SPDX-License-Identifier: MIT
#include "selfballoon/parse.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace tmem::selfballoon {
namespace {

constexpr uint64_t kPagesMax = uint64_t{1} << 52;  // more cannot be addressed; keeps sums and products in range

std::string_view next_line(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

std::string_view next_word(std::string_view& line) {
  const size_t from = line.find_first_not_of(" \t\r\n,()");
  if (from == std::string_view::npos) return line = {};
  line.remove_prefix(from);
  const size_t end = std::min(line.find_first_of(" \t\r\n,()"), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

// One zone of /proc/zoneinfo, until the next begins.
struct Zone {
  uint64_t high = 0, managed = 0, spanned = 0, start = 0, protection = 0;

  void add_to(Zones& zones) const {
    zones.reserve_pages += std::min(high + protection, managed);
    if (managed > 0) zones.span_pages = std::max(zones.span_pages, start + spanned);
  }
  void take(std::string_view line) {
    const std::string_view name = next_word(line);
    if (name == "protection:") {
      for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) protection = std::max(protection, pages(word));
    } else if (name == "high") {
      high = pages(next_word(line));
    } else if (name == "managed") {
      managed = pages(next_word(line));
    } else if (name == "spanned") {
      spanned = pages(next_word(line));
    } else if (name == "start_pfn:") {
      start = pages(next_word(line));
    }
  }
  static uint64_t pages(std::string_view word) { return std::min(parse_number(word).value_or(0), kPagesMax); }
};

}  // namespace

std::optional<uint64_t> parse_number(std::string_view text) {
  const std::string_view word = next_word(text);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (word.empty() || error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  if (text.find_first_not_of(" \t\r\n") != std::string_view::npos) return std::nullopt;
  return value;
}

Table parse_table(std::string_view text) {
  Table table;
  while (!text.empty()) {
    std::string_view line = next_line(text);
    std::string_view name = next_word(line);
    if (!name.empty() && name.back() == ':') name.remove_suffix(1);
    const auto value = parse_number(next_word(line));
    if (!name.empty() && value) table.insert_or_assign(std::string(name), *value);
  }
  return table;
}

std::optional<uint64_t> parse_stall_us(std::string_view text) {
  while (!text.empty()) {
    std::string_view line = next_line(text);
    if (next_word(line) != "some") continue;
    for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) {
      if (word.rfind("total=", 0) == 0) return parse_number(word.substr(6));
    }
  }
  return std::nullopt;
}

// As the kernel computes it: for each zone its high watermark and the largest part of it that is kept from other zones,
// never more than the zone has.
Zones parse_zoneinfo(std::string_view text) {
  Zones zones;
  Zone zone;
  // The counters of each CPU come after a zone's own lines and have names of their own ("high:" with a colon).
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    if (line.rfind("Node", 0) == 0) {
      zone.add_to(zones);
      zone = {};
    } else {
      zone.take(line);
    }
  }
  zone.add_to(zones);
  return zones;
}

uint64_t parse_swaps_used_kib(std::string_view text, std::string_view prefix) {
  uint64_t used = 0;
  next_line(text);
  while (!text.empty()) {
    std::string_view line = next_line(text);
    if (next_word(line).rfind(prefix, 0) != 0) continue;
    next_word(line);  // type
    next_word(line);  // size
    used += std::min(parse_number(next_word(line)).value_or(0), kPagesMax);
  }
  return used;
}

}  // namespace tmem::selfballoon
