// SPDX-License-Identifier: MIT
#include "daemon/log.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>

namespace tmem {
namespace {

std::atomic<LogLevel> log_level{LogLevel::kInfo};
std::atomic<bool> log_prefix{isatty(STDERR_FILENO) == 0};

constexpr const char* kPriorities[] = {"<3>", "<4>", "<6>", "<7>"};

bool plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("-_./:@%+,").find(c) != std::string_view::npos;
}

}  // namespace

LogField::LogField(std::string_view k, std::string_view v) : key(k) {
  if (!v.empty() && std::all_of(v.begin(), v.end(), plain)) {
    value = v;
    return;
  }
  value = "\"";
  for (const char c : v) {
    if (c == '"' || c == '\\') value += '\\';
    value += c >= 0x20 && c != 0x7f ? c : '?';
  }
  value += '"';
}

void set_log_level(LogLevel level) { log_level = level; }
void set_log_prefix(bool on) { log_prefix = on; }

std::string log_line(LogLevel level, bool prefix, std::string_view event, std::initializer_list<LogField> fields) {
  std::string line = prefix ? kPriorities[static_cast<unsigned>(level)] : "";
  line += event;
  for (const LogField& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    line += field.value;
  }
  return line + '\n';
}

void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (level > log_level.load(std::memory_order_relaxed)) return;
  const std::string line = log_line(level, log_prefix.load(std::memory_order_relaxed), event, fields);
  // A log that cannot be written is nobody's to be told of.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

bool LogLimit::allow(uint64_t now_seconds) {
  const uint64_t refills = (now_seconds - refilled_at_) / kRefillSeconds;
  if (refills != 0) {
    tokens_ = static_cast<uint32_t>(std::min<uint64_t>(kBurst, tokens_ + refills));
    refilled_at_ += refills * kRefillSeconds;
  }
  if (tokens_ == 0) {
    ++suppressed_;
    return false;
  }
  --tokens_;
  return true;
}

uint64_t LogLimit::take_suppressed() {
  const uint64_t count = suppressed_;
  suppressed_ = 0;
  return count;
}

void LimitedLog::write(uint64_t source, uint64_t now_seconds, LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  constexpr uint64_t kOthers = UINT64_MAX;
  const uint64_t bucket = limits_.contains(source) || limits_.size() < kSourcesMax ? source : kOthers;
  if (limits_[bucket].allow(now_seconds)) log(level, event, fields);
}

void LimitedLog::report() {
  for (auto& [source, limit] : limits_) {
    const uint64_t suppressed = limit.take_suppressed();
    if (suppressed != 0) log(LogLevel::kWarning, "lines withheld", {{"source", source}, {"lines", suppressed}});
  }
}

}  // namespace tmem
