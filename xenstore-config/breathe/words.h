// SPDX-License-Identifier: MIT
// Values of nodes: a number, or words KEY=NUMBER separated by one space. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tmem::breathe {

std::optional<uint64_t> to_number(std::string_view text);
std::string_view word(std::string_view words, std::string_view key);  // empty: it is not there
std::optional<uint64_t> word_number(std::string_view words, std::string_view key);

}  // namespace tmem::breathe
