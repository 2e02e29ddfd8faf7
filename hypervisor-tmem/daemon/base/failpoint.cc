// SPDX-License-Identifier: MIT
#include "daemon/base/failpoint.h"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

#include "daemon/base/log.h"
#include "tmem/failpoint.h"

namespace tmem {
namespace {

std::string armed_name;
std::atomic<long> armed_count{1};

void reached(const char* name) {
  if (armed_name == name && armed_count.fetch_sub(1) == 1) raise(SIGKILL);
}

}  // namespace

void set_failpoint_from_environment() {
  const char* text = std::getenv("TMEM_FAILPOINT");
  if (text == nullptr || *text == '\0') return;
  armed_name = text;
  const size_t colon = armed_name.find(':');
  if (colon != std::string::npos) {
    armed_count = std::max(1L, std::strtol(armed_name.c_str() + colon + 1, nullptr, 10));
    armed_name.resize(colon);
  }
  log(LogLevel::kWarning, "a fail point is armed: this process will kill itself", {{"name", std::string_view(armed_name)}});
  failpoint_hook = reached;
}

}  // namespace tmem
