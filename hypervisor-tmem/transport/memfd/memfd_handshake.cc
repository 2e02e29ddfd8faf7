// SPDX-License-Identifier: MIT
#include "transport/memfd/memfd_handshake.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace tmem {

namespace {

// The first twelve bytes, magic and version, mean the same in every version: whoever speaks another one is told so.
constexpr size_t kPrologueBytes = offsetof(tmem_memfd_hello, queues);

bool printable(const char (&name)[TMEM_MEMFD_NAME_BYTES]) {
  const char* const end = std::find(std::begin(name), std::end(name), '\0');
  return end != std::end(name) && std::all_of(std::begin(name), end, [](char c) { return c >= 0x20 && c <= 0x7e; }) &&
         std::all_of(end, std::end(name), [](char c) { return c == '\0'; });
}

// Rings over the socket carry no news beyond the first: a small buffer bounds what a deaf client makes the kernel keep.
bool make_response_doorbell(FileDescriptor& ours, FileDescriptor& client) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return false;
  ours = FileDescriptor(ends[0]);
  client = FileDescriptor(ends[1]);
  const int least = 1;  // the kernel makes it its own minimum
  return ::setsockopt(ours.get(), SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)) == 0 &&
         ::shutdown(ours.get(), SHUT_RD) == 0;
}

bool send_message(int socket, const tmem_memfd_welcome& welcome, const int* fds, size_t fds_count) {
  iovec data{const_cast<tmem_memfd_welcome*>(&welcome), sizeof(welcome)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * (1 + 2 * TMEMIF_QUEUES_MAX))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (fds_count > 0) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds_count);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fds_count);
    std::memcpy(CMSG_DATA(header), fds, sizeof(int) * fds_count);
  }
  return ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof(welcome));
}

}  // namespace

Uuid MemfdPeer::uuid() const {
  Uuid uuid;
  std::memcpy(uuid.byte.data(), hello.uuid, sizeof(hello.uuid));
  return uuid;
}

tmem_memfd_result check_hello(const void* message, size_t bytes, uint32_t shards) {
  tmem_memfd_hello hello{};
  if (bytes < kPrologueBytes) return TMEM_MEMFD_BAD_HELLO;
  std::memcpy(&hello, message, std::min(bytes, sizeof(hello)));
  if (hello.magic != TMEM_MEMFD_MAGIC) return TMEM_MEMFD_BAD_HELLO;
  if (hello.version != TMEMIF_VERSION) return TMEM_MEMFD_BAD_VERSION;
  if (bytes != sizeof(hello) || hello.flags != 0 || hello.queues > shards) return TMEM_MEMFD_BAD_HELLO;
  if (hello.ring_order < TMEMIF_RING_ORDER_MIN || hello.ring_order > TMEMIF_RING_ORDER_MAX) return TMEM_MEMFD_BAD_HELLO;
  const bool nobody = std::all_of(std::begin(hello.uuid), std::end(hello.uuid), [](uint8_t b) { return b == 0; });
  return nobody || !printable(hello.name) ? TMEM_MEMFD_BAD_HELLO : TMEM_MEMFD_WELCOME;
}

HelloProgress receive_hello(int socket, uint32_t shards, MemfdPeer& peer, tmem_memfd_result& why) {
  // One byte more than a hello, so that a longer one is not taken for one. Descriptors sent along are dropped by the kernel.
  std::array<std::byte, sizeof(tmem_memfd_hello) + 1> message;
  const ssize_t bytes = ::recv(socket, message.data(), message.size(), MSG_DONTWAIT);
  if (bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return HelloProgress::kAgain;
  if (bytes <= 0) return HelloProgress::kClosed;
  why = check_hello(message.data(), static_cast<size_t>(bytes), shards);
  if (why != TMEM_MEMFD_WELCOME) return HelloProgress::kRefused;

  ucred credentials{};
  socklen_t length = sizeof(credentials);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return HelloProgress::kClosed;
  std::memcpy(&peer.hello, message.data(), sizeof(peer.hello));
  if (peer.hello.queues == 0) peer.hello.queues = shards;
  peer.uid = credentials.uid;
  peer.pid = credentials.pid;
  return HelloProgress::kReady;
}

std::optional<MemfdConnection> make_connection(uint32_t queues, uint32_t ring_order) {
  MemfdConnection connection;
  connection.region = MemfdRegion::create(queues, ring_order);
  if (!connection.region) return std::nullopt;
  for (uint32_t queue = 0; queue < queues; ++queue) {
    MemfdDoorbells ours{FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), {}};
    FileDescriptor client;
    if (!ours.requests.valid() || !make_response_doorbell(ours.responses, client)) return std::nullopt;
    connection.doorbells.push_back(std::move(ours));
    connection.client_responses.push_back(std::move(client));
  }
  return connection;
}

bool send_welcome(int socket, tmem_memfd_welcome welcome, MemfdConnection& connection) {
  welcome.magic = TMEM_MEMFD_MAGIC;
  welcome.result = TMEM_MEMFD_WELCOME;
  welcome.version = TMEMIF_VERSION;
  welcome.queues = connection.region->queues();
  welcome.ring_order = connection.region->ring_order();
  std::vector<int> fds{connection.region->fd()};
  for (size_t queue = 0; queue < connection.doorbells.size(); ++queue) {
    fds.push_back(connection.doorbells[queue].requests.get());
    fds.push_back(connection.client_responses[queue].get());
  }
  const bool sent = send_message(socket, welcome, fds.data(), fds.size());
  connection.client_responses.clear();
  return sent;
}

bool send_refusal(int socket, tmem_memfd_result why) {
  tmem_memfd_welcome answer{};
  answer.magic = TMEM_MEMFD_MAGIC;
  answer.result = why;
  answer.version = TMEMIF_VERSION;
  return send_message(socket, answer, nullptr, 0);
}

}  // namespace tmem
