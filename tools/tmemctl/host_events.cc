// SPDX-License-Identifier: MIT
#include "tools/tmemctl/host_events.h"

#include <algorithm>
#include <sstream>

#include "tmem/tmem_xs.h"

namespace tmem::tool {
namespace {

std::vector<std::string> lines_of(agent::StoreView& store) {
  std::istringstream text(store.read(TMEM_XS_FLOW_EVENTS).value_or(""));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

HostEvent parse(const std::string& line) {
  HostEvent event;
  std::istringstream words(line);
  words >> event.time_s >> event.kind >> event.domain >> std::ws;
  std::getline(words, event.name);
  return event;
}

// How many of the first lines of now are the last ones of before: the rest has come since.
size_t known(const std::vector<std::string>& before, const std::vector<std::string>& now) {
  size_t count = std::min(before.size(), now.size());
  const auto same = [&] { return std::equal(now.begin(), now.begin() + static_cast<ptrdiff_t>(count), before.end() - static_cast<ptrdiff_t>(count)); };
  while (!same()) --count;
  return count;
}

}  // namespace

HostEvents::HostEvents(agent::StoreView& store) : store_(store), seen_(lines_of(store)) {}

std::vector<HostEvent> HostEvents::fresh() {
  std::vector<std::string> now = lines_of(store_);
  std::vector<HostEvent> events;
  for (size_t i = known(seen_, now); i < now.size(); ++i) events.push_back(parse(now[i]));
  seen_ = std::move(now);
  return events;
}

}  // namespace tmem::tool
