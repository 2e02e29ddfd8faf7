// SPDX-License-Identifier: MIT
// How a tool ends. The numbers are documented in xen-tmemctl(1) and stay as they are: scripts rely on them.
#pragma once

#include <stdexcept>
#include <string>

namespace tmem::tool {

enum class ExitCode : int {
  kOk = 0,
  kFailed = 1,       // understood and tried, but it failed; or a check found something wrong
  kUsage = 2,        // the command line or a value on it is wrong
  kNotFound = 3,     // no such client or pool
  kUnreachable = 4,  // the service does not answer
  kNotPossible = 5,  // the state of the client or pool forbids it
  kProtocol = 6,     // the answer was cut off or is not understood
};

// One line for people: what failed, for whom, why, what to do. main prints it behind the program's name.
class Failure : public std::runtime_error {
 public:
  Failure(ExitCode code, const std::string& line) : std::runtime_error(line), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

}  // namespace tmem::tool
