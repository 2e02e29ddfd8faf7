// SPDX-License-Identifier: MIT
// The service's side of connecting over a Unix SOCK_SEQPACKET socket (proto/tmem/tmem_memfd.h): plain functions on a
// connected descriptor, none of which blocks or throws, so that whoever waits for sockets can drive them.
//
//   receive_hello     -> kReady: decide who this is; then make_connection and send_welcome, or send_refusal
//                     -> kRefused: send_refusal(why)       -> kAgain: wait until readable       -> kClosed: forget it
//
// After the welcome nothing more is said; the client's end of the socket closing is the end of the connection.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "tmem/tmem_memfd.h"
#include "tmem/types.h"
#include "transport/memfd/memfd_channel.h"

namespace tmem {

// Who is at the other end: what it says, and what the kernel says.
struct MemfdPeer {
  tmem_memfd_hello hello;  // checked; name ends with a zero byte; queues is never 0
  uid_t uid;
  pid_t pid;
  Uuid uuid() const;
};

// Is this a hello that we can answer with a welcome? A pure function of the bytes.
tmem_memfd_result check_hello(const void* message, size_t bytes, uint32_t shards);

enum class HelloProgress { kReady, kAgain, kClosed, kRefused };
// why is set with kRefused. A hello with queues 0 asks for as many as there are shards.
HelloProgress receive_hello(int socket, uint32_t shards, MemfdPeer& peer, tmem_memfd_result& why);

struct MemfdConnection {
  std::shared_ptr<MemfdRegion> region;
  std::vector<MemfdDoorbells> doorbells;           // one for each queue: ours
  std::vector<FileDescriptor> client_responses;    // the client's ends of the response doorbells, until the welcome is sent
};
// Empty: no memory or no descriptors; answer TMEM_MEMFD_FULL.
std::optional<MemfdConnection> make_connection(uint32_t queues, uint32_t ring_order);

// welcome: client, resumed, epoch, generation are the caller's; the rest is filled in here. Closes the client's ends.
// False: the client is gone.
bool send_welcome(int socket, tmem_memfd_welcome welcome, MemfdConnection& connection);
bool send_refusal(int socket, tmem_memfd_result why);

}  // namespace tmem
