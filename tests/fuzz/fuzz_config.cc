// SPDX-License-Identifier: MIT
// Any text is a configuration or a list of errors that name a line of it; a good one stays within every limit.
#include <cstdlib>
#include <string_view>

#include "daemon/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tmem::ConfigReader reader({uint64_t{8} << 30, 4});
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t half = size / 2;
  reader.add_text(text.substr(0, half), "first");
  reader.add_text(text.substr(half), "second");
  const tmem::Config config = reader.finish();
  for (const tmem::ConfigError& error : reader.errors()) {
    const std::string line = error.to_string();
    if (line.find('\n') != std::string::npos || line.size() > 500) std::abort();
  }
  if (!reader.errors().empty()) return 0;
  const bool good = config.shards >= 1 && config.shards <= 32 && config.memory_bytes / config.shards >= uint64_t{4} << 20 &&
                    config.memory_bytes_max >= config.memory_bytes && config.memfd_socket.size() <= 107 && config.memfd_socket != config.control_socket;
  if (!good) std::abort();
  return 0;
}
