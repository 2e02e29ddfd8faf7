// SPDX-License-Identifier: MIT
// One line for each happening, on standard error: `<6>client attached id=32768 name="web 1"`. The `<N>` prefix is the syslog
// priority that journald reads; it is left out on a terminal. Values that a client chose are quoted and cleaned, so that
// nobody can forge a line. What a client can provoke goes through a LogLimit first.
//
// Nobody waits for the reader of the log: lines that find no room are dropped, and counted in a line once there is room.
//
// Thread rule: any thread; a line is one write().
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>

#include "daemon/config/config.h"

namespace tmem {

struct LogField {
  std::string_view key;
  std::string value;

  LogField(std::string_view k, std::string_view v);  // quoted where it must be
  template <typename Number>
    requires std::is_arithmetic_v<Number>
  LogField(std::string_view k, Number v) : key(k), value(std::to_string(v)) {}
};

void set_log_level(LogLevel level);
// The default: prefix when standard error is no terminal.
void set_log_prefix(bool on);
std::string log_line(LogLevel level, bool prefix, std::string_view event, std::initializer_list<LogField> fields);
void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

// A token bucket: kBurst lines at once, then one in kRefillSeconds. Time is an argument, in seconds of any steady clock.
class LogLimit {
 public:
  static constexpr uint32_t kBurst = 10;
  static constexpr uint64_t kRefillSeconds = 10;

  bool allow(uint64_t now_seconds);
  // Nothing is lost by forgetting it.
  bool as_new(uint64_t now_seconds) const;
  // Lines withheld since this was last asked.
  uint64_t take_suppressed();

 private:
  uint32_t tokens_ = kBurst;
  uint64_t refilled_at_ = 0;
  uint64_t suppressed_ = 0;
};

// Lines that somebody outside can provoke: a bucket for each of them (a user, a guest), and what was withheld told later.
// Thread rule: one thread.
class LimitedLog {
 public:
  void write(const std::string& source, uint64_t now_seconds, LogLevel level, std::string_view event, std::initializer_list<LogField> fields);
  // Tells what was withheld since the last call, and forgets sources that were quiet long enough to have a whole burst again.
  void report(uint64_t now_seconds);
  size_t sources() const { return limits_.size(); }

 private:
  std::map<std::string, LogLimit> limits_;
};

}  // namespace tmem
