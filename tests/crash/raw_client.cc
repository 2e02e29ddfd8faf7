// SPDX-License-Identifier: MIT
#include "crash/raw_client.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <stdexcept>

namespace tmem::test {
namespace {

constexpr uint32_t kPool = 3;
constexpr uint32_t kEphemeralPool = 5;
constexpr uint32_t kWaitRoundsMax = 600'000;  // of 100 µs: reached only when something hangs

// Half of a page is hard to compress, and no two versions are alike.
void fill(void* page, uint32_t index, uint32_t version) {
  std::array<uint64_t, TMEMIF_PAGE_BYTES / 8> words;
  uint64_t x = uint64_t{index} << 32 | version;
  for (size_t i = 0; i < words.size(); ++i) {
    x = (x ^ (x >> 29)) * 0x9e3779b97f4a7c15 + 1;
    words[i] = i % 2 == 0 ? x : version;
  }
  std::memcpy(page, words.data(), sizeof(words));
}

bool holds(const void* page, uint32_t index, uint32_t version) {
  std::array<char, TMEMIF_PAGE_BYTES> expected;
  fill(expected.data(), index, version);
  return std::memcmp(page, expected.data(), expected.size()) == 0;
}

std::array<uint64_t, 3> object_of(uint32_t index) { return {index / 64, 7, 0}; }
bool persistent(uint32_t index) { return index < RawClient::kPersistentPages; }

}  // namespace

RawClient::RawClient(std::string socket_path, uint64_t seed) : socket_path_(std::move(socket_path)), random_(seed) {
  for (uint8_t& byte : uuid_) byte = static_cast<uint8_t>(random_());
  uuid_[0] |= 1;
  nonce_ = {random_(), random_()};
}

RawClient::~RawClient() {
  if (region_ != nullptr) munmap(region_, region_bytes_);
}

void RawClient::connect() {
  for (uint32_t round = 0; !try_connect(); ++round) {
    if (round > kWaitRoundsMax) throw std::runtime_error("the service does not come back");
    poll(nullptr, 0, 1);
  }
}

bool RawClient::try_connect() {
  FileDescriptor fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_path_.c_str(), sizeof(address.sun_path) - 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return false;
  tmem_memfd_hello hello{};
  hello.magic = TMEM_MEMFD_MAGIC;
  hello.version = TMEMIF_VERSION;
  hello.ring_order = TMEMIF_RING_ORDER_DEFAULT;
  std::memcpy(hello.uuid, uuid_.data(), uuid_.size());
  hello.nonce[0] = nonce_[0];
  hello.nonce[1] = nonce_[1];
  hello.epoch = epoch_;
  std::memcpy(hello.name, "crash", 6);
  if (send(fd.get(), &hello, sizeof(hello), MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof(hello))) return false;

  tmem_memfd_welcome welcome{};
  iovec part{&welcome, sizeof(welcome)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * (1 + 2 * TMEMIF_QUEUES_MAX))> control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (recvmsg(fd.get(), &message, MSG_CMSG_CLOEXEC) != static_cast<ssize_t>(sizeof(welcome))) return false;
  if (welcome.result == TMEM_MEMFD_IN_USE) return false;
  if (welcome.result != TMEM_MEMFD_WELCOME) throw std::runtime_error("refused with " + std::to_string(welcome.result));
  std::array<int, 1 + 2 * TMEMIF_QUEUES_MAX> fds;
  std::memcpy(fds.data(), CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int) * (1 + 2 * welcome.queues));
  if (epoch_ != 0 && welcome.resumed != 1 && trouble_.empty()) trouble_ = "the pools of epoch " + std::to_string(epoch_) + " were not given back";

  if (region_ != nullptr) munmap(region_, region_bytes_);
  const FileDescriptor region(fds[0]);
  order_ = welcome.ring_order;
  region_bytes_ = size_t{welcome.queues} * TMEMIF_QUEUE_PAGES(order_) * TMEMIF_PAGE_BYTES;
  region_ = mmap(nullptr, region_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, region.get(), 0);
  if (region_ == MAP_FAILED) throw std::runtime_error("cannot map the region");
  queues_.resize(welcome.queues);
  reconnects_ += epoch_ != 0 ? 1 : 0;
  epoch_ = welcome.epoch;
  socket_ = std::move(fd);
  for (uint32_t i = 0; i < welcome.queues; ++i) {
    Queue& queue = queues_[i];
    queue.memory = static_cast<char*>(region_) + size_t{i} * TMEMIF_QUEUE_PAGES(order_) * TMEMIF_PAGE_BYTES;
    queue.requests = FileDescriptor(fds[1 + 2 * i]);
    queue.responses = FileDescriptor(fds[2 + 2 * i]);
    queue.credits = 0;
    tmem_ring_front_init(&queue.ring, tmem_ring_at(queue.memory, order_));
    for (Shadow& shadow : queue.in_flight) {
      shadow.credited = false;
      publish(queue, shadow);
    }
  }
  return true;
}

RawClient::Queue& RawClient::queue_of(uint32_t index) {
  return queues_[tmemif_queue_of(object_of(index).data(), index, static_cast<uint32_t>(queues_.size()))];
}

// The slot has the number of the ring entry: as many of each.
void RawClient::publish(Queue& queue, const Shadow& shadow) {
  const uint32_t slot = queue.ring.request_prod & (queue.ring.shared.entries - 1);
  const bool page = shadow.op == TMEMIF_OP_PUT || shadow.op == TMEMIF_OP_GET;
  if (shadow.op == TMEMIF_OP_PUT) fill(tmem_ring_slot(queue.memory, order_, slot), shadow.index, shadow.version);
  tmemif_request request{};
  request.id = shadow.index;
  request.op = shadow.op;
  request.flags = shadow.credited ? TMEMIF_REQUEST_CREDIT : 0;
  request.slot = static_cast<uint16_t>(page ? slot : TMEMIF_NO_SLOT);
  request.pool = persistent(shadow.index) ? kPool : kEphemeralPool;
  if (shadow.op == TMEMIF_OP_NEW_POOL) {
    request.pool_flags = TMEMIF_POOL_FLAGS(persistent(shadow.index) ? TMEMIF_POOL_PERSISTENT : 0);
  } else {
    request.index = shadow.index;
    std::memcpy(request.object, object_of(shadow.index).data(), sizeof(request.object));
  }
  *tmem_ring_front_next(&queue.ring) = request;
  if (tmem_ring_front_publish(&queue.ring) != 0) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t rung = write(queue.requests.get(), &one, sizeof(one));
  }
}

// A pool is named by its first page.
void RawClient::make_pools() {
  for (Queue& queue : queues_) {
    for (const uint32_t first : {uint32_t{0}, kPersistentPages}) {
      queue.in_flight.push_back({TMEMIF_OP_NEW_POOL, first, 0, false});
      publish(queue, queue.in_flight.back());
    }
  }
  settle();
}

void RawClient::submit(uint8_t op, uint32_t index) {
  Queue& queue = queue_of(index);
  while (tmem_ring_front_room(&queue.ring) == 0) {
    if (!take_answers(queue)) pause_or_reconnect();
  }
  Shadow shadow{op, index, version_[index], false};
  if (op == TMEMIF_OP_PUT) {
    shadow.version = version_[index] = next_version_++;
    shadow.credited = queue.credits > 0;
    if (shadow.credited) {
      --queue.credits;
      ++credited_puts_;
    }
  }
  if (op == TMEMIF_OP_FLUSH_PAGE) version_[index] = 0;
  busy_[index] = true;
  queue.in_flight.push_back(shadow);
  publish(queue, shadow);
  ++operations_;
}

void RawClient::work() {
  const auto index = static_cast<uint32_t>(random_() % kPages);
  const uint64_t dice = random_() % 10;
  if (!busy_[index]) submit(dice < 6 ? TMEMIF_OP_PUT : dice < 9 ? TMEMIF_OP_GET : TMEMIF_OP_FLUSH_PAGE, index);
  for (Queue& queue : queues_) take_answers(queue);
}

bool RawClient::take_answers(Queue& queue) {
  const uint32_t pending = tmem_ring_front_pending(&queue.ring);
  if (pending == TMEM_RING_BROKEN) throw std::runtime_error("the service broke the ring");
  for (uint32_t i = 0; i < pending; ++i) {
    const uint32_t slot = queue.ring.response_cons & (queue.ring.shared.entries - 1);
    const tmemif_response response = tmem_ring_front_take(&queue.ring);
    const Shadow shadow = queue.in_flight.front();
    queue.in_flight.pop_front();
    check(queue, shadow, response, slot);
    busy_[shadow.index] = false;
  }
  return pending != 0;
}

void RawClient::check(Queue& queue, const Shadow& shadow, const tmemif_response& response, uint32_t slot) {
  const std::string named = "op " + std::to_string(shadow.op) + " of page " + std::to_string(shadow.index) + " version " + std::to_string(shadow.version);
  if (response.id != shadow.index && trouble_.empty()) trouble_ = named + " was answered out of order";
  uint32_t outstanding = 0;
  for (const Shadow& later : queue.in_flight) outstanding += later.credited ? 1 : 0;
  queue.credits = response.credits_unspent > outstanding ? response.credits_unspent - outstanding : 0;
  switch (shadow.op) {
    case TMEMIF_OP_GET:
      if (!persistent(shadow.index)) version_[shadow.index] = 0;  // a hit takes it away, a miss lasts
      if (shadow.version == 0) {
        wrong_ += response.status == TMEMIF_MISS ? 0 : 1;
      } else if (!persistent(shadow.index) && response.status == TMEMIF_MISS) {
        break;
      } else if (response.status != TMEMIF_OK) {
        ++lost_;
      } else if (!holds(tmem_ring_slot(queue.memory, order_, slot), shadow.index, shadow.version)) {
        ++wrong_;
      }
      break;
    case TMEMIF_OP_FLUSH_PAGE:
      if (response.status != TMEMIF_OK && response.status != TMEMIF_MISS && trouble_.empty()) trouble_ = named + ": status " + std::to_string(response.status);
      break;
    case TMEMIF_OP_PUT:
      if (!shadow.credited && (response.status == TMEMIF_NO_SPACE || response.status == TMEMIF_PUT_FLUSHED)) {
        ++refused_;
        version_[shadow.index] = 0;
        break;
      }
      [[fallthrough]];
    default:
      if (response.status != TMEMIF_OK && trouble_.empty()) trouble_ = named + ": status " + std::to_string(response.status);
  }
}

bool RawClient::connection_ended() const {
  char byte;
  const ssize_t got = recv(socket_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void RawClient::pause_or_reconnect() {
  if (connection_ended()) return connect();
  const timespec pause{0, 100'000};
  nanosleep(&pause, nullptr);
}

void RawClient::settle() {
  for (Queue& queue : queues_) {
    for (uint32_t round = 0; !queue.in_flight.empty(); ++round) {
      if (round > kWaitRoundsMax) throw std::runtime_error("the service does not answer");
      if (!take_answers(queue)) pause_or_reconnect();
    }
  }
}

void RawClient::verify_all() {
  settle();
  for (uint32_t index = 0; index < kPages; ++index) submit(TMEMIF_OP_GET, index);
  settle();
}

}  // namespace tmem::test
