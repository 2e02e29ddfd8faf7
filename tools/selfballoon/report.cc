// SPDX-License-Identifier: MIT
#include "selfballoon/report.h"

#include "selfballoon/parse.h"

namespace tmem::selfballoon {

void Report::put(const char* node, const std::string& text) {
  const auto found = told_.find(node);
  if (found != told_.end() && found->second == text) return;
  write(node, text);
  told_[node] = text;
}

void Report::tell_again() {
  for (const auto& [node, text] : told_) {
    if (store_.read(TMEM_SELFBALLOON_REPORT "/" + node) != text) write(node, text);
  }
}

void Report::write(const std::string& node, const std::string& text) {
  // The id is another after a restore.
  const auto self = parse_number(store_.read("domid").value_or("")).value_or(0);
  const agent::Permissions own{static_cast<agent::Domid>(self), 0};
  store_.write(TMEM_SELFBALLOON_REPORT "/" + node, text, own);
}

void Report::decision(uint64_t time_s, const Sample& sample, const Decision& decision) {
  const bool moved = decision.target_kib != sample.target_kib;
  if (!moved && any_ && decision.reason == last_reason_) return;
  if (!moved && sample.between && decision.reason == Reason::kSettled) return;  // only the end of an interval can say so
  any_ = true;
  last_reason_ = decision.reason;
  const std::string reason = to_string(decision.reason);
  const auto word = [](const char* key, uint64_t value) { return std::string(key) + "=" + std::to_string(value) + " "; };
  put(TMEM_SELFBALLOON_DECISION,
      word("time", time_s) + word("from-kib", sample.target_kib) + word("target-kib", decision.target_kib) +
          word("current-kib", sample.current_kib) + word("floor-kib", decision.floor_kib) + word("limit-kib", sample.limit_kib) +
          word("available-kib", sample.available_kib) + word("in-tmem-kib", sample.in_tmem_kib) + "reason=" + reason);
  if (!moved) return;
  log_.push_back(std::to_string(time_s) + " " + std::to_string(sample.target_kib) + " " + std::to_string(decision.target_kib) + " " + reason);
  if (log_.size() > TMEM_SELFBALLOON_LOG_LINES_MAX) log_.pop_front();
  std::string lines;
  for (const std::string& line : log_) lines += (lines.empty() ? "" : "\n") + line;
  put(TMEM_SELFBALLOON_LOG, lines);
}

}  // namespace tmem::selfballoon
