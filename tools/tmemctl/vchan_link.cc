// SPDX-License-Identifier: MIT
// The link into a tmem domain. It offers some streams, each for one client at a time; a lock file in dom0 keeps two operators off
// one stream, and remembers which session was taken last, so that nobody talks into a stream whose client has just gone.
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <thread>
#include <utility>

extern "C" {  // the header does not say so itself
#include <libxenvchan.h>
}

#include "agent/xenstore.h"
#include "tmem/tmem_xs.h"
#include "tools/tmemctl/link.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

constexpr const char* kLocks = "/run/xen-tmem";
constexpr Milliseconds kRetry{20};  // while all streams are taken, or the service makes new ones

std::string named(const std::string& name, uint32_t domid) {
  const std::string number = std::to_string(domid);
  return "xen-tmemd in domain " + (name.empty() ? number : "'" + printable(name) + "' (" + number + ")");
}

// The lock of one stream; held as long as this lives.
class StreamLock {
 public:
  StreamLock(uint32_t domid, uint32_t number) {
    mkdir(kLocks, 0755);
    const std::string path = std::string(kLocks) + "/control-" + std::to_string(domid) + "-" + std::to_string(number) + ".lock";
    fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd_ < 0)
      throw Failure(ExitCode::kFailed, "cannot open " + path + ": " + std::generic_category().message(errno) + "; run as root");
    held_ = flock(fd_, LOCK_EX | LOCK_NB) == 0;
  }
  ~StreamLock() {
    if (fd_ >= 0) close(fd_);
  }
  StreamLock(StreamLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)), held_(other.held_) {}
  StreamLock& operator=(StreamLock&&) = delete;

  // False: somebody else has the stream, or its session was taken before.
  bool may_take(const std::string& session) const {
    std::array<char, 64> last;
    const ssize_t length = held_ ? pread(fd_, last.data(), last.size(), 0) : -1;
    return length >= 0 && std::string_view(last.data(), static_cast<size_t>(length)) != session;
  }
  // Once there is a connection: one that could not be made has used nothing up.
  bool took(const std::string& session) {
    return ftruncate(fd_, 0) == 0 && pwrite(fd_, session.data(), session.size(), 0) == static_cast<ssize_t>(session.size());
  }

 private:
  int fd_;
  bool held_ = false;
};

class VchanLink final : public Link {
 public:
  VchanLink(libxenvchan* vchan, StreamLock lock, std::string service, uint32_t domid)
      : lock_(std::move(lock)), vchan_(vchan), service_(std::move(service)), domid_(domid) {
    vchan_->blocking = 0;
  }
  ~VchanLink() override { libxenvchan_close(vchan_); }
  VchanLink(const VchanLink&) = delete;
  VchanLink& operator=(const VchanLink&) = delete;

  std::string service() const override { return service_; }
  std::string see() const override { return "xl console " + std::to_string(domid_); }

  size_t read(std::span<char> into) override {
    const int bytes = libxenvchan_read(vchan_, into.data(), into.size());
    if (bytes < 0) ended("the service closed it, or has just died");
    return static_cast<size_t>(bytes);
  }

  size_t write(std::span<const char> bytes) override {
    const int written = libxenvchan_write(vchan_, bytes.data(), bytes.size());
    if (written < 0) ended("the service closed it, or has just died");
    return static_cast<size_t>(written);
  }

  // Events tell of a change since the last one; so the rings are looked at first.
  bool wait(Direction direction, Deadline deadline) override {
    for (;;) {
      const int possible = direction == Direction::kRead ? libxenvchan_data_ready(vchan_) : libxenvchan_buffer_space(vchan_);
      if (possible > 0 || libxenvchan_is_open(vchan_) == 0) return true;
      const int ready = poll_until(libxenvchan_fd_for_select(vchan_), POLLIN, deadline);
      if (ready == 0) return false;
      if (ready < 0 || libxenvchan_wait(vchan_) < 0) ended(std::generic_category().message(errno));
    }
  }

 private:
  StreamLock lock_;
  libxenvchan* const vchan_;
  const std::string service_;
  const uint32_t domid_;
};

}  // namespace

std::unique_ptr<Link> connect_domain(uint32_t domid, const std::string& name, Milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const std::string all = "/local/domain/" + std::to_string(domid) + "/" TMEM_XS_CONTROL;
  agent::XenStore store;
  if (store.list(all).empty())
    throw Failure(ExitCode::kUnreachable, "cannot reach " + named(name, domid) + ": it offers no control there; is xen-tmemd up in it? See: xl console " +
                                              std::to_string(domid));
  std::string why = "all its streams are taken";
  for (;;) {
    for (uint32_t n = 0; n < TMEM_XS_CONTROL_STREAMS; ++n) {
      const std::string path = all + "/" + std::to_string(n);
      const auto session = store.read(path + "/" TMEM_XS_CONTROL_SESSION);
      if (!session) continue;
      StreamLock lock(domid, n);
      if (!lock.may_take(*session)) continue;
      libxenvchan* vchan = libxenvchan_client_init(nullptr, static_cast<int>(domid), path.c_str());
      if (vchan == nullptr) why = "its pages cannot be mapped (is it starting anew? is xen-gntdev loaded here?)";
      if (vchan == nullptr) continue;
      const bool noted = lock.took(*session);
      auto link = std::make_unique<VchanLink>(vchan, std::move(lock), named(name, domid), domid);
      // The same session still: these are the pages that it stands for.
      if (noted && store.read(path + "/" TMEM_XS_CONTROL_SESSION) == session) return link;
    }
    if (std::chrono::steady_clock::now() >= deadline)
      throw Failure(ExitCode::kUnreachable, "cannot reach " + named(name, domid) + " within " + std::to_string(timeout.count()) +
                                                " ms: " + why + ". See: xl console " + std::to_string(domid));
    std::this_thread::sleep_for(kRetry);
  }
}

}  // namespace tmem::tool
