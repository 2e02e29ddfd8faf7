// SPDX-License-Identifier: MIT
// What top shows: two samples of the counters become rates. No terminal and no clock here: the caller says how much time
// lies between two samples, so that tests do too.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tmem/control.pb.h"
#include "tools/tmemctl/json.h"

namespace tmem::tool {

struct TopRow {
  uint32_t client = 0;
  std::optional<uint32_t> pool;  // absent: the client itself
  std::string name;
  int pools = 0;
  uint64_t bytes_ephemeral = 0, bytes_persistent = 0, bytes_compressed = 0;
  std::optional<double> hit_percent;  // absent: nobody asked in this interval
  double puts_per_second = 0, gets_per_second = 0;
  uint32_t weight = 0;
  std::string state;
};

enum class TopSort { kName, kEphemeral, kPersistent, kRatio, kHits, kPuts, kGets, kWeight };
inline constexpr TopSort kTopSorts[] = {TopSort::kName, TopSort::kEphemeral, TopSort::kPersistent, TopSort::kRatio,
                                        TopSort::kHits, TopSort::kPuts,      TopSort::kGets,       TopSort::kWeight};
const char* to_string(TopSort sort);

struct TopView {
  TopSort sort = TopSort::kName;
  bool reverse = false;
  bool pools = false;  // a line for each pool below its client
  bool human = false;
};

class TopModel {
 public:
  // Takes the next sample. A counter that went back (the service lost its memory) counts from zero.
  void sample(const control::Info::Reply& info, const control::ListClients::Reply& clients, double seconds);
  // Clients in the order of the view, each followed by its pools. Numbers sort the largest first, names from a to z.
  std::vector<TopRow> rows(const TopView& view) const;
  // Two lines about the service, then the table with its heading.
  std::vector<std::string> text(const TopView& view) const;
  Json json() const;

 private:
  struct Counters {
    uint64_t puts = 0, gets = 0, hits = 0;
  };
  using Key = std::pair<uint32_t, std::optional<uint32_t>>;
  struct Entry {
    TopRow row;
    std::vector<TopRow> pools;
  };
  void fill_rates(TopRow& row, const control::OpStats& ops, std::map<Key, Counters>& now) const;

  control::Info::Reply info_;
  double seconds_ = 0;  // 0: the first sample, no rates yet
  std::vector<Entry> entries_;
  std::map<Key, Counters> last_;
};

}  // namespace tmem::tool
