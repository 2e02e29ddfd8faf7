// SPDX-License-Identifier: MIT
#include "breathe/words.h"

#include <algorithm>
#include <charconv>

namespace tmem::breathe {

std::optional<uint64_t> to_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view word(std::string_view words, std::string_view key) {
  while (!words.empty()) {
    const std::string_view one = words.substr(0, words.find(' '));
    if (one.starts_with(key) && one.size() > key.size() && one[key.size()] == '=') return one.substr(key.size() + 1);
    words.remove_prefix(std::min(one.size() + 1, words.size()));
  }
  return {};
}

std::optional<uint64_t> word_number(std::string_view words, std::string_view key) { return to_number(word(words, key)); }

}  // namespace tmem::breathe
