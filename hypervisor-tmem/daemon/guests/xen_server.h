// SPDX-License-Identifier: MIT
// Connections of Xen guests: dom0's agent makes a directory for each under backend/tmem, and this takes the device through
// its states (docs/abi.md, "Connecting over Xen"; nodes in proto/tmem/tmem_xs.h).
//
//   ours Initialising           -> say what we serve, InitWait
//   ours InitWait, theirs Initialised -> admit, attach, map the queues; Connected
//   theirs Initialising again   -> its driver was loaded anew: connection ends, back to InitWait
//   theirs Closing or Closed, or online 0 -> connection ends, Closed; with online 0 the directory is removed
//   Connected, but we know nothing of it  -> we are a restarted service: adopt() maps the same grants and binds the same
//                                            ports, unseen by the guest; where that fails InitWait tells it to reconnect
//
// The pairing comes from our own path; the frontend's nodes are read as text that a hostile guest wrote. step() looks at all
// of a guest's nodes and does the one thing that is due, so events may be lost, doubled or late.
//
// A guest makes events as fast as it can write. However many came, it is looked at once in its turn; a turn looks at a few guests
// and then lets the main loop do its other work.
//
// Owns the connection to xenstored. Borrows the rest for its whole life. Thread rule: the main thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/guests/client_life.h"
#include "transport/xen/xen_channel.h"
#include "transport/xen/xen_nodes.h"
#include "transport/xen/xen_store.h"

namespace boost::asio {
class io_context;
}

namespace tmem {

class XenServer {
 public:
  struct Observer {
    std::function<void(const ClientEntry&, uint32_t domid, bool resumed)> attached;
    std::function<void(const ClientEntry&, bool suspended)> detached;
    std::function<void(uint32_t domid, const std::string& why)> refused;
    std::function<void()> lost;  // xenstored ended the connection or fails: guests stay connected, new ones cannot come
  };

  XenServer(boost::asio::io_context& io, ClientRegistry& registry, ClientLife& life, ShardSet& shards, const Config& config, Observer observer);
  ~XenServer();

  // False: this is no Xen domain, or the devices are not to be had; why says which.
  bool open(std::string& why);
  // Takes up living connections of an earlier service; before the shards' threads run.
  void adopt();
  AdoptedChannels& adopted() { return adopted_; }
  // Of an adopted client that a shard cannot serve: InitWait tells it to reconnect, its pools wait. Safe as drop() is.
  void give_up(ClientId client);
  void listen();
  // Ends a client's connection; its pools are freed. Safe to call for clients of other transports.
  void drop(ClientId client);
  void close();

 private:
  struct Guest;
  struct Events;
  struct Handshake;

  void wait();
  void take_events();
  void serve_soon();
  void serve_due();
  bool in_touch();
  void scan();
  void forget_missing(const std::vector<uint32_t>& present);
  Guest& guest(uint32_t domid);
  void step(Guest& guest);
  bool is_gone(const Guest& guest);
  void hear(Guest& guest, bool connected);
  void offer(Guest& guest);
  void connect(Guest& guest);
  bool admit(Guest& guest, const Handshake& handshake, bool& resumed);
  void map(Guest& guest, const Handshake& handshake, bool resumed);
  void connected(Guest& guest, bool resumed);
  void refuse(Guest& guest, const std::string& why);
  void not_connected(Guest& guest, const std::string& why, bool resumed);
  void leave_pools(Guest& guest, std::function<void()> then);
  void end(Guest& guest, std::function<void()> then);
  void shut(Guest& guest, bool online);
  void apply_policy(Guest& guest);
  void apply_name(const Guest& guest);
  bool adopt_one(Guest& guest);
  std::string read(const std::string& path);
  bool read_handshake(const Guest& guest, Handshake& out, std::string& why);
  std::vector<std::unique_ptr<Channel>> map_queues(const Guest& guest, ClientId client, const Handshake& handshake, std::string& why);
  XenService service_figures() const;

  boost::asio::io_context& io_;
  ClientRegistry& registry_;
  ClientLife& life_;
  ShardSet& shards_;
  uint32_t ring_order_max_;
  Observer observer_;
  std::unique_ptr<XenStore> store_;
  std::shared_ptr<GrantTable> grants_;
  std::unique_ptr<Events> events_;
  std::map<uint32_t, std::unique_ptr<Guest>> guests_;
  std::set<uint32_t> due_;  // guests to be looked at
  uint32_t last_served_ = 0;
  bool serving_soon_ = false;
  AdoptedChannels adopted_;
};

}  // namespace tmem
