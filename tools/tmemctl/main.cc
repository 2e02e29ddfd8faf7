// SPDX-License-Identifier: MIT
#include <csignal>
#include <exception>
#include <iostream>

#include "tools/tmemctl/cli.h"
#include "tools/tmemctl/failure.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    int status = tmem::tool::run_tmemctl({argv + 1, argv + argc}, std::cout, std::cerr);
    std::cout.flush();
    if (std::cout) return status;
    std::cerr << "xen-tmemctl: the output could not be written in full\n";
  } catch (const std::exception& error) {
    std::cerr << "xen-tmemctl: unexpected: " << error.what() << '\n';
  }
  return static_cast<int>(tmem::tool::ExitCode::kFailed);
}
