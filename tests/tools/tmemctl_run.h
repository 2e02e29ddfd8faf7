// SPDX-License-Identifier: MIT
// Runs the tool's whole command line in the test and keeps what a person would see.
#pragma once

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tools/fake_service.h"
#include "tools/tmemctl/cli.h"

namespace tmem::test {

struct Ran {
  int status;
  std::string out, err;
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

inline Ran run_tool(std::vector<std::string> arguments) {
  std::ostringstream out, err;
  int status = tool::run_tmemctl(arguments, out, err);
  return {status, out.str(), err.str()};
}

inline Ran run_tool(const FakeService& service, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"--socket", service.socket_path()});
  return run_tool(std::move(arguments));
}

}  // namespace tmem::test
