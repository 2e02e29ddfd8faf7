// SPDX-License-Identifier: MIT
// Text of /proc and of xenstore to numbers. Any bytes are allowed: what is not there, not a number or too large is nullopt
// or left out, and nothing is read beyond the text.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace tmem::selfballoon {

// All of the text, but for white space around it.
std::optional<uint64_t> parse_number(std::string_view text);

// Lines "Name: 123 kB" (/proc/meminfo) or "name 123" (/proc/vmstat).
using Table = std::map<std::string, uint64_t, std::less<>>;
Table parse_table(std::string_view text);

// The total of the line "some avg10=... total=N" of /proc/pressure/memory, in microseconds.
std::optional<uint64_t> parse_stall_us(std::string_view text);

struct Zones {
  uint64_t reserve_pages = 0;  // the kernel's totalreserve_pages
  uint64_t span_pages = 0;     // its max_pfn
};
Zones parse_zoneinfo(std::string_view text);

// KiB in use of the devices in /proc/swaps whose path begins with prefix.
uint64_t parse_swaps_used_kib(std::string_view text, std::string_view prefix);

}  // namespace tmem::selfballoon
