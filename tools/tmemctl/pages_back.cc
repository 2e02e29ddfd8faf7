// SPDX-License-Identifier: MIT
#include "tools/tmemctl/pages_back.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

#include "agent/attach.h"
#include "breathe/words.h"
#include "tmem/tmem_xs.h"

namespace tmem::tool {
namespace {

constexpr std::chrono::milliseconds kLook{50};
constexpr std::chrono::seconds kHears{10};

std::string request_path(agent::Domid guest) { return "/local/domain/" + std::to_string(guest) + "/" TMEM_XS_PAGES_TARGET; }
std::string answer_path(agent::Domid guest) { return agent::frontend_path(guest) + "/" TMEM_XS_PAGES_BACK; }

}  // namespace

PagesRequest::~PagesRequest() {
  try {
    withdraw();
  } catch (const agent::StoreError&) {  // xenstored is away; whoever waits for it hears of that
  }
}

void PagesRequest::ask(uint64_t may_stay) {
  store_.remove(answer_path(guest_));  // of an earlier request
  store_.transaction([&](agent::StoreView& t) {
    if (agent::is_there(t, guest_)) t.write(request_path(guest_), std::to_string(may_stay), {0, guest_});
  });
  asked_ = true;
}

std::optional<PagesBack> PagesRequest::look() const {
  const std::string answer = store_.read(answer_path(guest_)).value_or("");
  const auto busy = breathe::word_number(answer, "busy"), left = breathe::word_number(answer, "left"), error = breathe::word_number(answer, "error");
  if (!busy || !left || !error) return std::nullopt;
  return PagesBack{*busy != 0, *left, static_cast<int>(std::min<uint64_t>(*error, 4095))};
}

void PagesRequest::withdraw() {
  if (asked_) store_.remove(request_path(guest_));
  asked_ = false;
}

std::optional<PagesBack> take_back(PagesRequest& request, uint64_t may_stay, double timeout_seconds) {
  request.ask(may_stay);
  const auto begin = std::chrono::steady_clock::now();
  const auto end = begin + std::chrono::duration<double>(timeout_seconds);
  for (;;) {
    const auto answer = request.look();
    const auto now = std::chrono::steady_clock::now();
    if ((answer && !answer->busy) || now >= end || (!answer && now >= begin + kHears)) return answer;
    std::this_thread::sleep_for(kLook);
  }
}

Kept take_all_back(PagesRequest& request, double timeout_seconds, const std::function<uint64_t()>& count) {
  const auto answer = take_back(request, 0, timeout_seconds);
  return {count(), answer};
}

}  // namespace tmem::tool
