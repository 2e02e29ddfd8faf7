// SPDX-License-Identifier: MIT
// What the guest tells dom0 about its balloon, below data/tmem/selfballoon of its own domain. Nodes are written when their
// text changes. Thread rule: one thread.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "agent/xenstore.h"
#include "selfballoon/controller.h"

namespace tmem::selfballoon {

class Report {
 public:
  explicit Report(agent::StoreView& store) : store_(store) {}

  void state(const std::string& words) { put(TMEM_SELFBALLOON_STATE, words); }
  void refused(const std::string& lines) { put(TMEM_SELFBALLOON_REFUSED, lines); }
  // Told when the target moves or the reason changes; a move also goes into the log. A look between intervals that moves nothing
  // is no decision.
  void decision(uint64_t time_s, const Sample& sample, const Decision& decision);
  // Writes what is not there as it was told: a restored or migrated domain starts with nothing in xenstore.
  void tell_again();

 private:
  void put(const char* node, const std::string& text);
  void write(const std::string& node, const std::string& text);

  agent::StoreView& store_;
  std::map<std::string, std::string> told_;
  std::deque<std::string> log_;
  Reason last_reason_ = Reason::kOff;
  bool any_ = false;
};

}  // namespace tmem::selfballoon
