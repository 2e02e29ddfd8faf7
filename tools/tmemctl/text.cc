// SPDX-License-Identifier: MIT
#include "tools/tmemctl/text.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <ctime>

#include "tools/tmemctl/failure.h"

namespace tmem::tool {
namespace {

std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

[[noreturn]] void refuse(const std::string& what, const std::string& text, const std::string& wanted) {
  throw Failure(ExitCode::kUsage, "cannot use '" + printable(text) + "' as " + what + ": " + wanted + " is needed");
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string clean(text);
  for (char& c : clean)
    if (c < 0x20 || c > 0x7e) c = '?';
  return clean;
}

std::string format_bytes_unit(uint64_t bytes, bool human) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (!human) return fixed(static_cast<double>(bytes) / (1 << 20), 1) + " MiB";
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    unit++;
  }
  return fixed(value, unit == 0 ? 0 : 1) + " " + kUnits[unit];
}

std::string format_bytes(uint64_t bytes, bool human) {
  if (human) return format_bytes_unit(bytes, true);
  return fixed(static_cast<double>(bytes) / (1 << 20), 1);
}

std::string format_ratio(uint64_t numerator, uint64_t denominator) {
  if (denominator == 0) return "-";
  return fixed(static_cast<double>(numerator) / static_cast<double>(denominator), 2);
}

std::string format_percent(uint64_t part, uint64_t whole) {
  if (whole == 0) return "-";
  return fixed(100.0 * static_cast<double>(part) / static_cast<double>(whole), 1);
}

std::string format_time_ms(uint64_t time_ms) {
  std::time_t seconds = static_cast<std::time_t>(time_ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char day[32], text[48];
  std::strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text, sizeof text, "%s.%03uZ", day, static_cast<unsigned>(time_ms % 1000));
  return text;
}

uint64_t parse_number(const std::string& text, const std::string& what, uint64_t max) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > max)
    refuse(what, text, "a whole number from 0 to " + std::to_string(max));
  return value;
}

uint64_t parse_size(const std::string& text, const std::string& what) {
  static constexpr std::string_view kWanted = "a size such as 512M, 2G or 0 (units b, k, m, g, t; a bare number is MiB)";
  std::string digits = lower(text);
  for (std::string_view suffix : {"ib", "b"})  // "512MiB" and "512MB" mean 512M
    if (digits.size() > suffix.size() + 1 && digits.ends_with(suffix) && std::isalpha(static_cast<unsigned char>(digits[digits.size() - suffix.size() - 1]))) {
      digits.resize(digits.size() - suffix.size());
      break;
    }
  static constexpr std::string_view kUnits = "bkmgt";
  unsigned shift = 20;
  if (size_t unit = digits.empty() ? std::string_view::npos : kUnits.find(digits.back()); unit != std::string_view::npos) {
    shift = static_cast<unsigned>(unit) * 10;
    digits.pop_back();
  }
  uint64_t value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size() || value > (uint64_t{1} << 62) >> shift)
    refuse(what, text, std::string(kWanted));
  return value << shift;
}

bool parse_switch(const std::string& text, const std::string& what) {
  std::string word = lower(text);
  if (word == "on" || word == "1" || word == "yes" || word == "true") return true;
  if (word == "off" || word == "0" || word == "no" || word == "false") return false;
  refuse(what, text, "on or off");
}

std::string parse_uuid(const std::string& text) {
  bool good = text.size() == 36;
  for (size_t i = 0; good && i < text.size(); i++) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    good = dash ? text[i] == '-' : std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
  }
  if (!good) refuse("the UUID of a shared pool", text, "one such as 1b4e28ba-2fa1-11d2-883f-0016d3cca427");
  return lower(text);
}

Table::Table(std::vector<std::string> headings) {
  for (std::string& heading : headings) {
    left_.push_back(heading.starts_with('<'));
    if (left_.back()) heading.erase(0, 1);
  }
  rows_.push_back(std::move(headings));
}

void Table::add(std::vector<std::string> cells) {
  cells.resize(left_.size());
  rows_.push_back(std::move(cells));
}

std::vector<std::string> Table::lines() const {
  std::vector<size_t> widths(left_.size());
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], row[i].size());
  std::vector<std::string> lines;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); i++) {
      std::string pad(widths[i] - row[i].size(), ' ');
      if (i > 0) line += "  ";
      line += left_[i] ? row[i] + pad : pad + row[i];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::move(line));
  }
  return lines;
}

void Table::print(std::ostream& out) const {
  for (const std::string& line : lines()) out << line << '\n';
}

}  // namespace tmem::tool
