// SPDX-License-Identifier: MIT
// How a benchmark says what it found: a line for people, or with --json one object per line with the same fields.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace tmem::bench {

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// CPU time of this thread: what a noisy machine steals does not count.
inline double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

class Report {
 public:
  Report(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) json_ |= std::strcmp(argv[i], "--json") == 0;
  }
  // target: the ratio that must be reached; at_most: from below or from above. 0: none, only told.
  void line(const std::string& name, double value, const char* unit, double baseline, double target, bool at_most, int repeated) {
    const double ratio = baseline == 0 ? value : value / baseline;
    const bool met = target == 0 || (at_most ? ratio <= target : ratio >= target);
    if (json_) {
      std::printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\",\"baseline\":%.6g,\"ratio\":%.6g,\"target\":%.6g,\"at_most\":%s,\"met\":%s,\"repeated\":%d}\n",
                  name.c_str(), value, unit, baseline, ratio, target, at_most ? "true" : "false", met ? "true" : "false", repeated);
    } else {
      std::printf("%-44s %10.4g %-10s", name.c_str(), value, unit);
      if (baseline != 0) std::printf(" ratio %6.3f", ratio);
      if (target != 0) std::printf("  target %s %.3g  %s", at_most ? "<=" : ">=", target, met ? "met" : "MISSED");
      std::printf("\n");
    }
    std::fflush(stdout);
    missed_ |= !met;
  }
  int exit_status() const { return missed_ ? 1 : 0; }

 private:
  bool json_ = false;
  bool missed_ = false;
};

}  // namespace tmem::bench
