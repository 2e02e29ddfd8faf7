// SPDX-License-Identifier: MIT
// Scripts of the administrator that are run when something happens to a host's memory: every executable file of a directory
// whose name has letters, digits, - and _ only (as run-parts does), in the order of their names, all at once. A script is told
// the event, the domain's number and its name as arguments. Nobody waits for one: who takes too long is killed with all that it
// started, and when too many run, no more are begun.
//
// Owns the processes that it started. Thread rule: one thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace tmem::breathe {

class Hooks {
 public:
  using Complain = std::function<void(const std::string&)>;
  static constexpr size_t kRunningMax = 32;

  Hooks(std::filesystem::path directory, uint64_t limit_ms, Complain complain);
  ~Hooks();
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;

  void run(const std::vector<std::string>& arguments, uint64_t now_ms);
  // Sees who has ended, and ends who runs for too long. To be called now and then; returns how many still run.
  size_t look(uint64_t now_ms);

 private:
  struct Running {
    pid_t pid;
    std::string script;
    uint64_t began_ms;
    bool killed;
  };
  void start(const std::filesystem::path& script, const std::vector<std::string>& arguments, uint64_t now_ms);
  bool has_ended(const Running& one);

  std::filesystem::path directory_;
  uint64_t limit_ms_;
  Complain complain_;
  std::vector<Running> running_;
};

}  // namespace tmem::breathe
