// SPDX-License-Identifier: MIT
// Who the clients are: names, uuids, and who may claim the pools of an earlier connection. Logic only: no descriptors, no
// threads, no engine calls; the service (service.h) does what the answers here say.
//
// WHO MAY CLAIM OLD POOLS
//   - uuid, nonce and epoch must match: the uuid says who, the nonce which boot, the epoch which of its connections.
//   - Each resume moves the epoch on once. A guest restored from an old image knows an old epoch and claims nothing.
//   - Who starts with no pools starts at an epoch that no connection had before, also of other lives of the service: its nonce
//     may be that of an image whose epochs are forgotten, and what it stores from now on is not for another such image.
//   - Service and client cannot learn of the new epoch in the same instant. Until the client has sent a request on the new
//     connection (confirm()), both the new epoch and the one before it are taken; the arena remembers which it is. Who shows the
//     one before is given the same new one again, however often its connection fails.
//   - A claim that does not match, and epoch 0, frees the old pools and starts with none.
//   - A uuid belongs to the user who brought it, for as long as anything of it is here, over a crash too; root, and the host
//     for a guest, may act for anybody. Nobody else frees or claims it. What a guest stores is no local user's, though one may have
//     shown its uuid before.
//   - A client that vanishes is freed at once; one that said it would be back waits suspend-grace, and after a restart of the
//     service once more, as long as there are not too many of these and they do not take too much memory; any other found in the arena after a restart waits recover-grace.
//
// Invariants: an id and a uuid stand for one entry each. Time is an argument, in seconds of one steady clock.
// Thread rule: the main thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tmem/engine.h"

namespace tmem {

enum class ClientState : uint8_t { kConnected, kRecovered, kSuspended, kClosing };

// The epoch as the arena keeps it: four times the number, plus one while the client may not know it yet, plus two while it is
// suspended or has said that it will be.
constexpr uint64_t stored_epoch(uint64_t epoch, bool confirmed, bool suspended = false) {
  return epoch * 4 + (suspended ? 2 : 0) + (confirmed ? 0 : 1);
}

struct ClientEntry {
  ClientId id;
  Uuid uuid;
  std::array<uint64_t, 2> nonce{};
  uint64_t epoch = 0;
  bool epoch_confirmed = false;
  std::string name;
  uint32_t owner = 0;          // a local user; 0: root, or the host's own word for a guest
  ClientState state = ClientState::kConnected;
  std::string transport;
  uint32_t queues = 0;
  ClientPolicy policy;         // of the whole client; engines hold shares of it
  std::string dedup_group;     // as the operator named it
  uint64_t deadline_seconds = 0;  // recovered, suspended: when its pools are freed
  bool will_be_back = false;   // connected, and said that it suspends: a crash leaves it suspended
  ClientState waited_as = ClientState::kRecovered;  // before it was resumed

  bool awaited() const { return state == ClientState::kRecovered || state == ClientState::kSuspended; }
  ClientIdentity identity() const {
    return {uuid, nonce, stored_epoch(epoch, epoch_confirmed, state == ClientState::kSuspended || will_be_back), name, owner};
  }
};

// The number of a dedup group as the operator names it: "", "self", or a name, which gives the same number after a restart; "#"
// and a number is what a recovered group is called. Numbers of groups lie above all client ids, so that none is some client's own.
uint32_t dedup_number(ClientId client, const std::string& group);

// A client's part of the policy on one of its queues, and back.
ClientPolicy policy_share(const ClientPolicy& whole, uint32_t queues, uint32_t queue);
ClientPolicy policy_whole(const std::vector<ClientPolicy>& shares);

struct ClientHello {
  Uuid uuid;
  std::array<uint64_t, 2> nonce{};
  uint64_t epoch = 0;
  std::string name;
  std::string transport;
  uint32_t queues = 0;
  uint32_t owner = 0;
  bool by_host = false;  // the uuid is the host's word: nothing that a local user brought under it is this client's
  std::optional<ClientId> wanted_id = {};  // Xen: the domain's number, so that people know it again; taken if it is free
};

struct Admission {
  enum class Outcome : uint8_t { kFresh, kResumed, kInUse, kFull, kNotOwner };
  Outcome outcome;
  ClientId id;                    // kFresh, kResumed: whose connection this is; kInUse: who has the uuid
  std::optional<ClientId> freed;  // this old client's pools are to be freed first
};

class ClientRegistry {
 public:
  struct Limits {
    uint32_t clients_max = kClientsMax;
    uint32_t suspended_max = 64;
    uint64_t recover_grace_seconds = 60;
    uint64_t suspend_grace_seconds = 86400;
  };
  // first_epoch: of the first client that starts with no pools. Random, so that lives of the service differ; not zero.
  ClientRegistry(const Limits& limits, const ClientPolicy& default_policy, uint64_t first_epoch);

  // What the shards found in their arenas; shard by shard, then recovery_done(). Returns clients whose shards contradict
  // each other: they cannot be trusted and are to be detached everywhere.
  void recovered(const ClientInfo& info);
  std::vector<ClientId> recovery_done(uint64_t now_seconds);

  Admission admit(const ClientHello& hello);
  // A client whose connection outlived the service: recovered, or suspended, if it has said so and still uses its rings. False: it is
  // not one of that many queues.
  bool reconnected(ClientId id, const std::string& transport, uint32_t queues);
  // A resumed connection never came to be: its pools wait again, as they did and as long, for the epoch before as well. That is
  // news, to be written to the shards.
  void resume_failed(ClientId id, uint64_t now_seconds);
  // The client sent a request: it knows its epoch. True: that is news, to be written to the shards.
  bool confirm(ClientId id);
  // The connected client said that it will be back, or took that word back. True: that is news, to be written to the shards.
  bool said(ClientId id, bool will_be_back);
  // The connection ended. True: nobody will be back for the pools, free them (the entry stays, kClosing, until erase()).
  // False of a suspended client: that is news, to be written to the shards.
  bool disconnected(ClientId id, bool suspended, uint64_t now_seconds);
  // Marks a client that is not connected for freeing. False: unknown or connected.
  bool forget(ClientId id);
  void erase(ClientId id);
  // Recovered and suspended clients whose time is over; they are kClosing now.
  std::vector<ClientId> expired(uint64_t now_seconds);
  // Suspended clients that have to go so that all of them have no more than bytes_max: those whose time ends first. They are
  // kClosing now. bytes: what each client has.
  std::vector<ClientId> over_memory(const std::map<ClientId, uint64_t>& bytes, uint64_t bytes_max);

  ClientEntry* find(ClientId id);
  const std::map<ClientId, ClientEntry>& entries() const { return entries_; }
  size_t count(ClientState state) const;

 private:
  ClientEntry* find_uuid(const Uuid& uuid);
  ClientId new_id(std::optional<ClientId> wanted);

  Limits limits_;
  ClientPolicy default_policy_;
  std::map<ClientId, ClientEntry> entries_;
  std::map<ClientId, std::vector<ClientPolicy>> recovered_shares_;
  std::vector<ClientId> contradicting_;
  uint32_t next_id_;
  uint64_t next_epoch_;
};

// Local processes have ids above all that Xen gives to domains.
inline constexpr uint32_t kLocalClientIdFirst = 0x8000;

}  // namespace tmem
