// SPDX-License-Identifier: MIT
// A control server inside the test: real frames over a real Unix socket, answers from a small table of clients. It does
// what control.proto says and nothing that the tool could lean on besides; faults are asked for by name.
//
// Owns the socket's directory and a thread; clients may be looked at after stop() or between calls of the tool.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tmem/control.pb.h"

namespace tmem::test {

class FakeService {
 public:
  FakeService();
  ~FakeService();
  FakeService(const FakeService&) = delete;
  FakeService& operator=(const FakeService&) = delete;

  const std::string& socket_path() const { return path_; }

  // ---- state, guarded by nothing: change it only while no call is under way ----
  std::vector<control::Client> clients;
  control::Info::Reply info;
  uint64_t freeable_bytes = 0;
  std::vector<control::Event> events;             // sent after a Subscribe; then the connection ends
  std::vector<control::Request> requests;         // every one that came
  // When set, the bytes that answer every request, sent as they are; the connection then ends.
  std::function<std::string(const control::Request&)> raw_answer;
  bool silent = false;                            // takes requests and never answers

  control::Client& add_client(uint32_t id, const std::string& name);
  static control::Pool& add_pool(control::Client& client, uint32_t id, bool persistent);
  static std::string frame(const std::string& body);

 private:
  void serve();
  void serve_connection(int connection);
  bool send_all(int connection, const std::string& bytes);
  bool read_all(int connection, char* to, size_t size);
  control::Reply answer(const control::Request& request);
  void set_policy(const control::SetPolicy::Request& request, control::Reply& reply);
  void list(const control::ListClients::Request& request, control::Reply& reply);
  void flush(const control::Flush::Request& request, control::Reply& reply);
  void destroy_pool(const control::DestroyPool::Request& request, control::Reply& reply);
  void shared_auth(const control::SharedAuth::Request& request, control::Reply& reply);
  void forget(const control::Forget::Request& request, control::Reply& reply);
  std::vector<control::Client*> chosen(const control::ClientSelector* selector, control::Reply& reply);

  std::string directory_, path_;
  int listener_ = -1;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace tmem::test
