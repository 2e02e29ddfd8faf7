// SPDX-License-Identifier: MIT
// Makes events out of figures: the engines only count, and once a second somebody looks. Pure.
// Thread rule: the main thread.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "tmem/types.h"

namespace tmem {

struct ClientSample {
  ClientId id;
  uint64_t put_no_space = 0;
  uint64_t get_corrupt = 0;
  uint64_t requests = 0;  // on its channel of now
  uint64_t epoch = 0;     // as the shard has it
  uint64_t bytes = 0;     // its pages, compressed
};

struct ShardSample {
  uint64_t memory_bytes = 0;
  uint64_t memory_bytes_target = 0;
  uint64_t freeable_bytes = 0;
  std::vector<ClientSample> clients;
};

struct MonitorEvent {
  enum class Kind : uint8_t { kMemoryLow, kMemoryOk, kPutRefused, kPageCorrupt };
  Kind kind;
  ClientId client;      // of the last two
  uint64_t figure = 0;  // memory: percent in use that cannot be freed; else how many since the last look
};

class Monitor {
 public:
  // Of the memory target, what persistent pages and the index take.
  static constexpr uint64_t kLowPercent = 90;
  static constexpr uint64_t kOkPercent = 85;

  std::vector<MonitorEvent> look(const std::vector<ShardSample>& shards);

 private:
  bool low_ = false;
  std::map<ClientId, ClientSample> last_;
};

}  // namespace tmem
