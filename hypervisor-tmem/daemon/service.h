// SPDX-License-Identifier: MIT
// The wiring: builds all parts, connects them, runs the main thread's loop until a signal ends it. Also what the control
// plane asks of its host. Decisions stand elsewhere (clients.h, monitor.h, control/service.h); here they meet.
//
// Owns everything. Thread rule: the main thread.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "control/server.h"
#include "control/service.h"
#include "daemon/base/log.h"
#include "daemon/base/notify.h"
#include "daemon/config/config.h"
#include "daemon/guests/client_life.h"
#include "daemon/guests/clients.h"
#include "daemon/guests/memfd_server.h"
#include "daemon/guests/xen_server.h"
#include "daemon/monitor.h"
#include "daemon/shards.h"
#include "daemon/vchan_server.h"

namespace tmem {

class Service final : public ControlHost {
 public:
  Service(const Config& config, std::string config_path);
  ~Service() override;

  // Serves until SIGTERM or SIGINT. An exit status of supervisor.h.
  int run();

  // ---- ControlHost ----
  ServiceFigures figures() const override;
  uint32_t shards() const override { return shards_.count(); }
  std::vector<ControlClient> clients() const override;
  void on_shards(std::function<void(ShardAccess&)> work, std::function<void()> done) override;
  void set_policy(ClientId client, const ClientPolicy& policy, const std::string& dedup_group, std::function<void(bool)> done) override;
  bool forget(ClientId client) override;
  std::optional<uint64_t> set_memory(uint64_t bytes) override;

 private:
  struct Listening {
    FileDescriptor memfd;
    FileDescriptor control;
  };
  int open_sockets(std::map<std::string, FileDescriptor>& inherited, Listening& out);
  int open_socket(const char* name, const std::string& path, int type, FileDescriptor inherited, FileDescriptor& out);
  void take_memory(std::map<std::string, FileDescriptor>& inherited);
  void keep_room_for_awaited(Engine& engine);
  void recover_clients(std::map<std::string, FileDescriptor>& inherited);
  void start(Listening listening);
  void say_ready();
  void tick();
  void take_samples(const std::vector<ShardSample>& samples);
  void free_over_memory(const std::vector<ShardSample>& samples);
  void watch_life();
  void stop();

  MemfdServer::Observer observer();
  XenServer::Observer xen_observer();
  bool open_xen();
  void offer_control_to_dom0();
  void client_broken(ClientId client);
  void event_attached(const ClientEntry& client, bool resumed);
  void event(control::Event::Kind kind, const ClientEntry* client, const std::string& text);

  Config config_;
  std::string config_path_;
  uint64_t started_at_seconds_;
  uint32_t restarts_ = 0;
  uint64_t memory_bytes_ = 0;
  uint64_t clients_refused_ = 0;

  boost::asio::io_context io_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer tick_;
  boost::asio::steady_timer life_sign_;
  Notifier notifier_;
  LimitedLog client_log_;
  Monitor monitor_;
  ClientRegistry registry_;
  ShardSet shards_;
  ClientLife life_;
  MemfdServer memfd_;
  XenServer xen_;
  ControlService control_;
  std::unique_ptr<ControlServer> control_server_;
  VchanServer control_from_dom0_;
};

}  // namespace tmem
