// SPDX-License-Identifier: MIT
// The parameters in force: defaults, what the guest's own command line says, and above both what dom0 wrote to xenstore.
// Thread rule: one thread.
#pragma once

#include <map>
#include <string>

#include "agent/xenstore.h"
#include "selfballoon/params.h"

namespace tmem::selfballoon {

class Tuning {
 public:
  explicit Tuning(const Params& own) : own_(own), params_(own) {}

  // Reads every key again. A bad value is refused, and what was in force stays; a key that is gone means the guest's own value.
  // True: something is different now, be it a parameter or a refusal.
  bool refresh(agent::StoreView& store);

  const Params& params() const { return params_; }
  const std::map<std::string, std::string>& refused() const { return refused_; }  // key -> why
  std::string refused_text() const;
  // Every parameter as KEY=VALUE, separated by spaces.
  std::string text() const;

 private:
  Params own_, params_;
  std::map<std::string, std::string> refused_;
};

}  // namespace tmem::selfballoon
