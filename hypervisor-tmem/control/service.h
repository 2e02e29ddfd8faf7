// SPDX-License-Identifier: MIT
// A control request to its answer: checks it, asks the shards on their own threads, gathers what they say, replies. Knows
// neither sockets nor framing. Every wrong value has an answer that says for whom, why, and what to do.
//
// Borrows the host for its whole life, which outlasts every answer. Thread rule: the main thread; an answer comes there too,
// at once or later.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/host.h"
#include "tmem/control.pb.h"

namespace tmem {

class ControlService {
 public:
  using Answer = std::function<void(control::Reply)>;
  explicit ControlService(ControlHost& host) : host_(host) {}

  // Subscribe is the session's affair (session.h) and is only acknowledged here.
  void handle(const control::Request& request, Answer answer);

 private:
  void info(Answer answer);
  void list_clients(const control::ListClients::Request& request, Answer answer);
  struct Listing;
  void list_next(const std::shared_ptr<Listing>& listing, Answer answer);
  void set_policy(const control::SetPolicy::Request& request, Answer answer);
  void flush(const control::Flush::Request& request, Answer answer);
  struct Flushing;
  void flush_on(const std::shared_ptr<Flushing>& flushing, Answer answer);
  void destroy_pool(const control::DestroyPool::Request& request, Answer answer);
  void destroy_pool_found(const ControlClient& client, const control::DestroyPool::Request& request, const PoolInfo& pool, Answer answer);
  void shared_auth(const control::SharedAuth::Request& request, Answer answer);
  void freeable(Answer answer);
  void set_memory(const control::SetMemory::Request& request, Answer answer);
  void forget(const control::Forget::Request& request, Answer answer);

  // The clients that a selector means; all of them without one. On failure answers and returns nothing.
  std::optional<std::vector<ControlClient>> select(const control::ClientSelector* selector, const Answer& answer) const;
  std::optional<ControlClient> select_one(bool present, const control::ClientSelector& selector, const Answer& answer) const;

  ControlHost& host_;
};

}  // namespace tmem
