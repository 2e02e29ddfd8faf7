// SPDX-License-Identifier: MIT
// xenstored, granted pages and event channels as far as the service uses them, in memory: fake_xen.cc defines the functions of
// Xen's libraries that a program would otherwise take from them. So the code under test is the code that runs on Xen.
//
// One at a time; the functions work on the one there is. Thread rule: the test's main thread, but for event channels.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "tmem/tmemif.h"
#include "transport/file_descriptor.h"

namespace tmem {

class FakeXen {
 public:
  FakeXen();
  ~FakeXen();

  // Written by whomever: watches above fire.
  void write(const std::string& path, const std::string& value);
  void remove(const std::string& path);
  std::string read(const std::string& path) const;
  void fire(const std::string& path);

  std::map<std::string, std::string> nodes;
  std::set<std::pair<std::string, std::string>> watches;  // path, token
  std::deque<std::pair<std::string, std::string>> events;  // likewise
  std::map<std::string, unsigned> reads;                   // how often each node was read
  void* granted = nullptr;           // what a guest's grants lead to: its queue's pages; the directory is the page after them
  uint32_t granted_pages = 0;
  std::map<std::string, int> failures;  // errno of whoever reads or lists that path
  bool maps = true;                  // false: a queue's pages cannot be mapped
  FileDescriptor bell;               // readable while there are events
};

}  // namespace tmem
