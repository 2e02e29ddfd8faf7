// SPDX-License-Identifier: MIT
#include <csignal>
#include <exception>
#include <iostream>

#include "cli.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    int status = tmem::inspect::run_inspect({argv + 1, argv + argc}, std::cout, std::cerr);
    std::cout.flush();
    if (std::cout) return status;
    std::cerr << "tmem-inspect: the output could not be written in full\n";
  } catch (const std::exception& error) {
    std::cerr << "tmem-inspect: unexpected: " << error.what() << '\n';
  }
  return 1;
}
