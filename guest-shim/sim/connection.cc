// SPDX-License-Identifier: MIT
#include "connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

namespace tmem::sim {

namespace {

constexpr std::chrono::milliseconds kBackOffFirst{5};
constexpr std::chrono::milliseconds kBackOffMost{500};
constexpr timeval kAnswerTimeout{5, 0};

void fill_random(void* to, size_t bytes) {
  // At most 256 bytes from an initialised pool never come short.
  if (::getrandom(to, bytes, 0) != static_cast<ssize_t>(bytes)) std::abort();
}

const char* reason(uint32_t result) {
  switch (result) {
    case TMEM_MEMFD_BAD_HELLO: return "the service does not accept this hello";
    case TMEM_MEMFD_BAD_VERSION: return "the service speaks another version";
    case TMEM_MEMFD_NOT_ALLOWED: return "this uuid belongs to another user";
    case TMEM_MEMFD_IN_USE: return "a client of this uuid is connected already";
    case TMEM_MEMFD_FULL: return "the service has no room for another client";
    case TMEM_MEMFD_SHUTTING_DOWN: return "the service is shutting down";
  }
  return "the service gives an unknown reason";
}

}  // namespace

// All that one connection consists of. fds: the region, then for each queue the doorbell we ring and the one we wait on.
struct Connection::Link {
  ~Link() {
    if (memory != MAP_FAILED) ::munmap(memory, bytes);
    for (const int fd : fds) ::close(fd);
    if (socket >= 0) ::close(socket);
  }
  int ring(uint32_t queue) const { return fds[1 + 2 * queue]; }
  int bell(uint32_t queue) const { return fds[2 + 2 * queue]; }

  int socket = -1;
  std::vector<int> fds;
  tmem_memfd_welcome welcome{};
  void* memory = MAP_FAILED;
  size_t bytes = 0;

  bool dial(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) return errno = ENAMETOOLONG, false;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    socket = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (socket < 0 || ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &kAnswerTimeout, sizeof(kAnswerTimeout)) != 0) return false;
    return ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }

  // False: no welcome came, or one that does not hold together.
  bool receive() {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * (1 + 2 * TMEMIF_QUEUES_MAX))> control{};
    iovec data{&welcome, sizeof(welcome)};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != static_cast<ssize_t>(sizeof(welcome))) return false;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      fds.resize(count);
      std::memcpy(fds.data(), CMSG_DATA(header), count * sizeof(int));
    }
    return welcome.magic == TMEM_MEMFD_MAGIC && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
  }

  // The numbers are the service's; the memory must be as large as they say, or a load would be a SIGBUS.
  bool map(const tmem_memfd_hello& hello) {
    if (welcome.queues == 0 || welcome.queues > TMEMIF_QUEUES_MAX || (hello.queues && welcome.queues > hello.queues)) return false;
    if (welcome.ring_order < TMEMIF_RING_ORDER_MIN || welcome.ring_order > hello.ring_order) return false;
    bytes = size_t{welcome.queues} * TMEMIF_QUEUE_PAGES(welcome.ring_order) * TMEMIF_PAGE_BYTES;
    struct stat st;
    if (fds.size() != 1 + 2 * welcome.queues || ::fstat(fds[0], &st) != 0 || static_cast<size_t>(st.st_size) < bytes) return false;
    const int seals = ::fcntl(fds[0], F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK)) return false;
    memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    return memory != MAP_FAILED;
  }
};

Connection::Connection(const ConnectionOptions& options) : options_(options) {
  hello_.magic = TMEM_MEMFD_MAGIC;
  hello_.version = TMEMIF_VERSION;
  hello_.queues = options.queues;
  hello_.ring_order = options.ring_order;
  std::memcpy(hello_.uuid, options.uuid.data(), sizeof(hello_.uuid));
  if (options.uuid == std::array<uint8_t, 16>{}) fill_random(hello_.uuid, sizeof(hello_.uuid));
  fill_random(hello_.nonce, sizeof(hello_.nonce));
  std::memcpy(hello_.name, options.name.data(), std::min(options.name.size(), sizeof(hello_.name) - 1));
}

std::unique_ptr<Connection> Connection::open(const ConnectionOptions& options, std::string& error) {
  std::unique_ptr<Connection> self(new Connection(options));
  std::shared_ptr<Link> link;
  self->stop_ = ::eventfd(0, EFD_CLOEXEC);
  if (self->stop_ < 0) {
    error = std::string("eventfd: ") + std::strerror(errno);
    return nullptr;
  }
  if (self->connect_once(link, error) != Attempt::kConnected) return nullptr;
  self->start_front(*link);
  if (self->attach(link) != 0) {
    error = options.socket + ": the service offers queues that this client cannot use";
    return nullptr;
  }
  self->watcher_ = std::thread([raw = self.get()] { raw->watch(); });
  return self;
}

Connection::~Connection() {
  if (watcher_.joinable()) {
    const uint64_t one = 1;
    (void)!::write(stop_, &one, sizeof(one));
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
    watcher_.join();
  }
  if (front_memory_) tmem_front_close(&front_);
  if (stop_ >= 0) ::close(stop_);
}

void Connection::start_front(const Link& link) {
  static constexpr tmem_front_owner_ops kOps = {
      [](void* self, uint32_t queue) { static_cast<Connection*>(self)->notify(queue); },
      [](void* self, uint32_t queue) { static_cast<Connection*>(self)->wait(queue); },
      [](void* self) {
        const auto& tell = static_cast<Connection*>(self)->options_.on_forgotten;
        if (tell) tell();
      },
      nullptr,
  };
  tmem_front_config config{};
  config.queues_max = link.welcome.queues;
  config.ring_order_max = link.welcome.ring_order;
  config.pools_max = options_.pools_max;
  config.poll_ns = static_cast<uint32_t>(options_.poll_window.count());
  config.ops = &kOps;
  config.owner = this;
  front_memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, tmem_front_memory_bytes(&config))));
  if (!front_memory_) std::abort();
  tmem_front_init(&front_, &config, front_memory_.get());
}

Connection::Attempt Connection::connect_once(std::shared_ptr<Link>& link, std::string& error) {
  link = std::make_shared<Link>();
  if (!link->dial(options_.socket)) {
    const bool other_kind = errno == EPROTOTYPE;
    error = options_.socket + ": " + std::strerror(errno) + (other_kind ? "; is this the socket for clients?" : "; is xen-tmemd running?");
    return Attempt::kLater;
  }
  if (::send(link->socket, &hello_, sizeof(hello_), MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof(hello_)) || !link->receive()) {
    error = options_.socket + ": no welcome came; is this the socket for clients?";
    return Attempt::kLater;
  }
  const uint32_t result = link->welcome.result;
  if (result != TMEM_MEMFD_WELCOME) {
    error = options_.socket + ": " + reason(result);
    return result == TMEM_MEMFD_IN_USE || result == TMEM_MEMFD_FULL || result == TMEM_MEMFD_SHUTTING_DOWN ? Attempt::kLater
                                                                                                             : Attempt::kNever;
  }
  if (!link->map(hello_)) {
    error = options_.socket + ": the service's queues cannot be mapped";
    return Attempt::kNever;
  }
  hello_.epoch = link->welcome.epoch;
  hello_.queues = link->welcome.queues;  // pages are found by the number of queues: it stays
  return Attempt::kConnected;
}

// The new link is the current one before the front uses it, because attach rings doorbells already; the old one stays until
// the front has copied its pages.
int Connection::attach(const std::shared_ptr<Link>& link) {
  tmem_front_attachment attachment{};
  attachment.queues = link->welcome.queues;
  attachment.ring_order = link->welcome.ring_order;
  attachment.resumed = link->welcome.resumed != 0;
  const size_t queue_bytes = size_t{TMEMIF_QUEUE_PAGES(attachment.ring_order)} * TMEMIF_PAGE_BYTES;
  for (uint32_t i = 0; i < attachment.queues; ++i) attachment.memory[i] = static_cast<char*>(link->memory) + i * queue_bytes;
  std::shared_ptr<Link> old;
  {
    const std::lock_guard lock(mutex_);
    old = std::exchange(link_, link);
  }
  const int error = tmem_front_attach(&front_, &attachment);
  changed_.notify_all();
  return error;
}

void Connection::watch() {
  for (;;) {
    const std::shared_ptr<Link> current = link();
    pollfd fds[] = {{current->socket, 0, 0}, {stop_, POLLIN, 0}};
    ::poll(fds, 2, -1);
    if (fds[1].revents) return;
    if (!fds[0].revents) continue;
    tmem_front_lost(&front_);
    if (connect_again()) continue;
    tmem_front_close(&front_);
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
    return;
  }
}

bool Connection::connect_again() {
  const auto deadline = std::chrono::steady_clock::now() + options_.give_up_after;
  auto back_off = kBackOffFirst;
  for (;;) {
    std::shared_ptr<Link> link;
    std::string error;
    const Attempt attempt = connect_once(link, error);
    if (attempt == Attempt::kConnected && attach(link) == 0) {
      const std::lock_guard lock(mutex_);
      ++reconnects_;
      return true;
    }
    if (attempt != Attempt::kLater || std::chrono::steady_clock::now() >= deadline) {
      tmem_os_warn("giving up: %s", error.c_str());
      return false;
    }
    if (!pause(back_off)) return false;
    back_off = std::min(back_off * 2, kBackOffMost);
  }
}

// False: the end.
bool Connection::pause(std::chrono::milliseconds time) {
  pollfd fd{stop_, POLLIN, 0};
  return ::poll(&fd, 1, static_cast<int>(time.count())) == 0;
}

std::shared_ptr<Connection::Link> Connection::link() const {
  const std::lock_guard lock(mutex_);
  return link_;
}

uint32_t Connection::reconnects() const {
  const std::lock_guard lock(mutex_);
  return reconnects_;
}

uint32_t Connection::client() const { return link()->welcome.client; }

void Connection::notify(uint32_t queue) {
  const uint64_t one = 1;
  (void)!::write(link()->ring(queue), &one, sizeof(one));  // full: it is rung already
}

void Connection::wait(uint32_t queue) {
  const std::shared_ptr<Link> mine = link();
  pollfd fds[] = {{mine->bell(queue), POLLIN, 0}, {mine->socket, 0, 0}};
  ::poll(fds, 2, -1);
  if ((fds[0].revents | fds[1].revents) & (POLLHUP | POLLERR | POLLNVAL)) {
    // The watching thread connects again; once the front is attached, its waiters look after their operations.
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return link_ != mine || closed_; });
    return;
  }
  uint64_t rings;
  while (::read(mine->bell(queue), &rings, sizeof(rings)) > 0) {
  }
}

}  // namespace tmem::sim
