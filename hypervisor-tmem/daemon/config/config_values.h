// SPDX-License-Identifier: MIT
// One key of the configuration, how its text becomes a value and a value becomes text again; private to tmem_config.
#pragma once

#include "daemon/config/config.h"

namespace tmem {

struct ConfigValue {
  ConfigKey key;
  // False: the text is not what `allowed` says.
  bool (*set)(Config& config, std::string_view text, const HostFigures& host);
  // What set() would take to come to the same value, percentages and "auto" resolved.
  std::string (*show)(const Config& config);
};
std::span<const ConfigValue> config_values();

}  // namespace tmem
