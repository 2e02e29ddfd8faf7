// SPDX-License-Identifier: MIT
// One key of the configuration and how its text becomes a value; private to tmem_config.
#pragma once

#include "daemon/config.h"

namespace tmem {

struct ConfigValue {
  ConfigKey key;
  // False: the text is not what `allowed` says.
  bool (*set)(Config& config, std::string_view text, const HostFigures& host);
};
std::span<const ConfigValue> config_values();

}  // namespace tmem
