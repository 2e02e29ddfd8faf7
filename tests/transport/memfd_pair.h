// SPDX-License-Identifier: MIT
// A client's end of the memfd transport, made with system calls only, and both ends as a ChannelPair.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "channel_pair.h"
#include "transport/memfd/memfd_handshake.h"

namespace tmem {

inline FileDescriptor duplicate(int fd) { return FileDescriptor(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

inline std::array<FileDescriptor, 2> socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

inline tmem_memfd_hello hello_of(uint32_t queues, uint32_t order) {
  tmem_memfd_hello hello{};
  hello.magic = TMEM_MEMFD_MAGIC;
  hello.version = TMEMIF_VERSION;
  hello.queues = queues;
  hello.ring_order = order;
  hello.uuid[0] = 1;
  std::memcpy(hello.name, "test", 5);
  return hello;
}

struct Welcome {
  ssize_t bytes = 0;
  tmem_memfd_welcome message{};
  std::vector<FileDescriptor> fds;
};

inline Welcome receive_welcome(int socket) {
  Welcome w;
  iovec data{&w.message, sizeof(w.message)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 253)> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  w.bytes = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  for (cmsghdr* h = CMSG_FIRSTHDR(&message); w.bytes > 0 && h != nullptr; h = CMSG_NXTHDR(&message, h)) {
    const size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
      w.fds.emplace_back(fd);
    }
  }
  return w;
}

class MemfdPair final : public ChannelPair {
 public:
  MemfdPair(ClientId client, uint32_t order) : client_(client), order_(order) {
    auto [server, peer] = socket_pair();
    const tmem_memfd_hello hello = hello_of(1, order);
    if (::send(peer.get(), &hello, sizeof(hello), 0) != sizeof(hello)) std::abort();
    MemfdPeer who;
    tmem_memfd_result why;
    if (receive_hello(server.get(), 1, who, why) != HelloProgress::kReady) std::abort();
    connection_ = make_connection(1, order);
    // What a supervisor would keep.
    kept_region_ = duplicate(connection_->region->fd());
    kept_.requests = duplicate(connection_->doorbells[0].requests.get());
    kept_.responses = duplicate(connection_->doorbells[0].responses.get());
    if (!send_welcome(server.get(), {}, *connection_)) std::abort();
    welcome = receive_welcome(peer.get());
    bytes_ = MemfdRegion::bytes(1, order);
    memory_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, welcome.fds.at(0).get(), 0);
    if (memory_ == MAP_FAILED) std::abort();
  }
  ~MemfdPair() override { ::munmap(memory_, bytes_); }

  uint32_t ring_order() const override { return order_; }
  void* front_memory() override { return memory_; }
  void front_rings() override {
    const uint64_t one = 1;
    (void)!::write(welcome.fds.at(1).get(), &one, sizeof(one));
  }
  bool front_hears(int timeout_ms) override {
    pollfd p{welcome.fds.at(2).get(), POLLIN, 0};
    if (::poll(&p, 1, timeout_ms) != 1 || (p.revents & POLLIN) == 0) return false;
    uint64_t rings;
    while (::read(welcome.fds.at(2).get(), &rings, sizeof(rings)) == sizeof(rings)) {}
    return true;
  }
  std::unique_ptr<Channel> channel() override {
    return std::make_unique<MemfdChannel>(client_, std::move(connection_->region), 0, std::move(connection_->doorbells[0]));
  }
  std::unique_ptr<Channel> channel_again() override {
    return std::make_unique<MemfdChannel>(client_, MemfdRegion::adopt(std::move(kept_region_), 1, order_), 0, std::move(kept_));
  }

  Welcome welcome;

 private:
  ClientId client_;
  uint32_t order_;
  std::optional<MemfdConnection> connection_;
  FileDescriptor kept_region_;
  MemfdDoorbells kept_;
  void* memory_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace tmem
