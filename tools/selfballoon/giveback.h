// SPDX-License-Identifier: MIT
// Lets the kernel bring swapped pages back from tmem, where it has frontswap: a number written to pages_target of the guest's
// module, how many may stay. The write blocks until they have come, and where the kernel runs out of memory meanwhile it kills
// who wrote; so a child writes, one at a time, and the daemon goes on.
//
// Owns the child; the destructor ends it. Thread rule: one thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace tmem::selfballoon {

class GiveBack {
 public:
  explicit GiveBack(std::filesystem::path pages_target) : pages_target_(std::move(pages_target)) {}
  ~GiveBack();
  GiveBack(const GiveBack&) = delete;
  GiveBack& operator=(const GiveBack&) = delete;

  // Does nothing while one is under way. Throws std::runtime_error.
  void start(uint64_t may_stay);
  bool under_way();

 private:
  std::filesystem::path pages_target_;
  pid_t child_ = 0;  // 0: none
};

}  // namespace tmem::selfballoon
