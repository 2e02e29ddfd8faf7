// SPDX-License-Identifier: MIT
// flow_report DIRECTORY: runs the days that docs/memory-flow.md shows; its tables go to standard output, its plots to DIRECTORY.
// flow_report --thousand: the day of 1000 guests alone, which takes minutes.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "flow/host_sim.h"

namespace {
using namespace tmem::flow;

constexpr int kWidth = 900, kHeight = 260, kLeft = 60, kBottom = 30;

std::string line(const std::vector<uint64_t>& values, uint64_t most, const char* colour, const char* name, int row) {
  std::string points;
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = kLeft + static_cast<double>(i) * (kWidth - kLeft - 10) / static_cast<double>(std::max<size_t>(values.size() - 1, 1));
    const double y = kHeight - kBottom - static_cast<double>(values[i]) * (kHeight - kBottom - 40) / static_cast<double>(most);
    char point[48];
    std::snprintf(point, sizeof point, "%.1f,%.1f ", x, y);
    points += point;
  }
  const std::string x = std::to_string(kLeft + row * 220), c = colour;
  return "<polyline fill=\"none\" stroke=\"" + c + "\" stroke-width=\"1.2\" points=\"" + points + "\"/>\n<text x=\"" + x +
         "\" y=\"18\" fill=\"" + c + "\">" + name + "</text>\n";
}

void plot(const std::string& path, const HostResult& result) {
  uint64_t most = 1;
  for (const auto* values : {&result.guests_mib, &result.tmem_mib, &result.wanted_mib}) most = std::max(most, *std::max_element(values->begin(), values->end()));
  std::ofstream out(path);
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << kWidth << "\" height=\"" << kHeight << "\" font-family=\"sans-serif\" font-size=\"12\">\n"
      << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      << line(result.wanted_mib, most, "#999999", "what guests want", 0) << line(result.guests_mib, most, "#1f5fa8", "what guests have", 1)
      << line(result.tmem_mib, most, "#c0562b", "the tmem domain", 2) << "<text x=\"4\" y=\"44\">" << most / 1024 << " GiB</text>\n<text x=\"4\" y=\"" << kHeight - kBottom
      << "\">0</text>\n<text x=\"" << kLeft << "\" y=\"" << kHeight - 8 << "\">0 h</text>\n<text x=\"" << kWidth - 40 << "\" y=\"" << kHeight - 8 << "\">"
      << result.guests_mib.size() / 60 << " h</text>\n</svg>\n";
}

void table(const HostSetup& base, const std::vector<Scheme>& schemes = {Scheme::kStatic, Scheme::kCommitted, Scheme::kPressure}) {
  std::printf("| scheme | wanted (GiB h) | short, out of tmem | short, from disk | guest-seconds short | reversals per guest | fairness |\n");
  std::printf("| --- | --- | --- | --- | --- | --- | --- |\n");
  for (const Scheme scheme : schemes) {
    HostSetup setup = base;
    setup.scheme = scheme;
    const HostResult r = simulate(setup);
    const auto hours = [](uint64_t gib_seconds) { return static_cast<double>(gib_seconds) / 3600; };
    std::printf("| %s | %.1f | %.2f | %.2f | %llu | %.1f | %.4f |\n", to_string(scheme), hours(r.wanted_gib_seconds), hours(r.in_tmem_gib_seconds),
                hours(r.on_disk_gib_seconds), static_cast<unsigned long long>(r.short_seconds), static_cast<double>(r.moves_reversed) / setup.guests, r.fairness);
  }
}

void newcomers_table(const HostSetup& setup) {
  const Newcomers n = simulate(setup).newcomers;
  const auto gib = [](uint64_t kib) { return static_cast<double>(kib) / (1024 * 1024); };
  std::printf("| built | gave up | waited, on average (s) | at most, where there was enough (s) | asked of balloons: weight 100 (GiB) | weight 200 | pages taken back (GiB) | reversals of limits per guest |\n");
  std::printf("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
  std::printf("| %llu | %llu | %.1f | %llu | %.1f | %.1f | %.2f | %.1f |\n", static_cast<unsigned long long>(n.built), static_cast<unsigned long long>(n.given_up),
              static_cast<double>(n.wait_seconds) / static_cast<double>(n.built + n.given_up), static_cast<unsigned long long>(n.wait_seconds_max),
              gib(n.asked_kib.at(100)), gib(n.asked_kib.at(200)), gib(n.taken_back_kib), static_cast<double>(n.limits_reversed) / setup.guests);
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) {
    std::fprintf(stderr, "usage: flow_report DIRECTORY | --thousand\n");
    return 2;
  }
  const std::string folder = words[1];
  HostSetup setup;
  if (folder == "--thousand") {
    setup.guests = 1000;
    std::printf("A day of 1000 guests of 1 GiB, on a host of 550 GiB:\n\n");
    table(setup, {Scheme::kPressure});
    return 0;
  }
  std::printf("A day of 40 guests of 1 GiB, on a host of 22 GiB:\n\n");
  table(setup);
  plot(folder + "/memory-flow-day.svg", simulate(setup));
  setup.guests = 4;
  setup.turns = true;
  setup.seconds = 4 * 3600;
  std::printf("\nFour guests of 1 GiB whose bursts come in turn, on a host of 2.2 GiB, for four hours:\n\n");
  table(setup);
  plot(folder + "/memory-flow-turns.svg", simulate(setup));
  setup = {};
  setup.guests = 24;
  setup.percent = 45;
  setup.newcomer_seconds = 1200;
  std::printf("\nA day of 24 guests of 0.5 to 1.5 GiB, on a host of 10.8 GiB, where a guest of 0.3 to 2.1 GiB is built every 20 minutes:\n\n");
  newcomers_table(setup);
  return 0;
}
