// SPDX-License-Identifier: MIT
// Words and numbers for people: sizes in and out, ratios, tables. What a client chose (names, texts) passes printable().
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace tmem::tool {

// Anything but printable ASCII becomes '?': a guest's name must not steer the reader's terminal.
std::string printable(std::string_view text);

// "203.1": MiB, as xl prints them. human: "1.2 GiB", the unit that fits.
std::string format_bytes(uint64_t bytes, bool human);
// One decimal with the unit, for text that has no column heading.
std::string format_bytes_unit(uint64_t bytes, bool human);
// "2.53", or "-" when there is nothing to divide by.
std::string format_ratio(uint64_t numerator, uint64_t denominator);
// "98.1", or "-" when nothing was asked for.
std::string format_percent(uint64_t part, uint64_t whole);
// 1700000000123 -> "2023-11-14T22:13:20.123Z"
std::string format_time_ms(uint64_t time_ms);

// "512" and "512M" are MiB, as in a guest's configuration; b, k, m, g, t name the unit. Throws Failure (usage), naming what.
uint64_t parse_size(const std::string& text, const std::string& what);
uint64_t parse_number(const std::string& text, const std::string& what, uint64_t max);
// on|off, yes|no, true|false, 1|0
bool parse_switch(const std::string& text, const std::string& what);
// The usual 36 characters, in lower case.
std::string parse_uuid(const std::string& text);

// Columns as wide as their widest cell; those whose heading starts with '<' are aligned left.
class Table {
 public:
  explicit Table(std::vector<std::string> headings);
  void add(std::vector<std::string> cells);
  void print(std::ostream& out) const;
  // One line for each row, the headings first; nothing is cut.
  std::vector<std::string> lines() const;

 private:
  std::vector<bool> left_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tmem::tool
