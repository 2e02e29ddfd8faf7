// SPDX-License-Identifier: MIT
// An arena's file, read a piece at a time. Nothing is mapped: a file that is cut while it is read gives a short read, not a
// signal, and holes of a 64 GiB arena cost nothing.
//
// Owns the descriptor. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace tmem::inspect {

class ArenaBytes {
 public:
  // Throws std::runtime_error with a line for people.
  explicit ArenaBytes(const std::string& path);
  ~ArenaBytes();
  ArenaBytes(const ArenaBytes&) = delete;
  ArenaBytes& operator=(const ArenaBytes&) = delete;

  uint64_t size() const { return size_; }
  // How many bytes there were; what is missing is zero.
  size_t read(uint64_t offset, std::span<std::byte> to) const;

 private:
  std::string path_;
  int fd_;
  uint64_t size_ = 0;
};

}  // namespace tmem::inspect
