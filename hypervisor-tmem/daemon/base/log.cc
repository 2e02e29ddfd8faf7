// SPDX-License-Identifier: MIT
#include "daemon/base/log.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "tmem/limits.h"

namespace tmem {
namespace {

std::atomic<LogLevel> log_level{LogLevel::kInfo};
std::atomic<bool> log_prefix{isatty(STDERR_FILENO) == 0};

constexpr const char* kPriorities[] = {"<3>", "<4>", "<6>", "<7>"};

bool plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("-_./:@%+,").find(c) != std::string_view::npos;
}

// Who reads the log may have stopped reading: nobody waits for that, and no client's pages do.
bool write_without_waiting(std::string_view line) {
  pollfd out{STDERR_FILENO, POLLOUT, 0};
  return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0 && write(STDERR_FILENO, line.data(), line.size()) >= 0;
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
  static std::mutex one_at_a_time;  // so that what poll() saw still holds at write()
  static uint64_t lost = 0;
  const bool prefix = log_prefix.load(std::memory_order_relaxed);
  const std::string line = log_line(level, prefix, event, fields);
  const std::lock_guard lock(one_at_a_time);
  if (lost != 0 && write_without_waiting(log_line(LogLevel::kWarning, prefix, "lines lost, nobody read the log", {{"lines", lost}}))) lost = 0;
  if (!write_without_waiting(line)) ++lost;
}

bool LogLimit::as_new(uint64_t now_seconds) const {
  return suppressed_ == 0 && tokens_ + (now_seconds - refilled_at_) / kRefillSeconds >= kBurst;
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

void LimitedLog::write(const std::string& source, uint64_t now_seconds, LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  const std::string bucket = limits_.contains(source) || limits_.size() < kLogSourcesMax ? source : "others";
  if (limits_[bucket].allow(now_seconds)) log(level, event, fields);
}

void LimitedLog::report(uint64_t now_seconds) {
  for (auto& [source, limit] : limits_) {
    const uint64_t suppressed = limit.take_suppressed();
    if (suppressed != 0) log(LogLevel::kWarning, "lines withheld", {{"source", std::string_view(source)}, {"lines", suppressed}});
  }
  std::erase_if(limits_, [now_seconds](const auto& entry) { return entry.second.as_new(now_seconds); });
}

}  // namespace tmem
