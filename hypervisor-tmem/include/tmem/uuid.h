// SPDX-License-Identifier: MIT
// A uuid as the usual 36 characters, and back. Used wherever people or xenstore write one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tmem/types.h"

namespace tmem {
namespace uuid_detail {

inline constexpr char kHexDigits[] = "0123456789abcdef";

inline int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

inline bool dash_before(size_t byte) { return byte == 4 || byte == 6 || byte == 8 || byte == 10; }

}  // namespace uuid_detail

inline std::string uuid_text(const Uuid& uuid) {
  std::string out;
  for (size_t i = 0; i < uuid.byte.size(); ++i) {
    if (uuid_detail::dash_before(i)) out += '-';
    out += uuid_detail::kHexDigits[uuid.byte[i] >> 4];
    out += uuid_detail::kHexDigits[uuid.byte[i] & 15];
  }
  return out;
}

inline std::optional<Uuid> parse_uuid(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  Uuid uuid;
  size_t at = 0;
  for (size_t i = 0; i < uuid.byte.size(); ++i) {
    if (uuid_detail::dash_before(i) && text[at++] != '-') return std::nullopt;
    const int high = uuid_detail::hex_value(text[at++]);
    const int low = uuid_detail::hex_value(text[at++]);
    if (high < 0 || low < 0) return std::nullopt;
    uuid.byte[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return uuid;
}

}  // namespace tmem
