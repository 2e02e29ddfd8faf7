// SPDX-License-Identifier: MIT
#include "pager.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <utility>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

namespace tmem::sim {

namespace {

constexpr uint32_t kNone = ~uint32_t{0};
constexpr uint32_t kInactiveShare = 8;  // one page of so many of the budget is inactive
constexpr uint32_t kBudgetPagesLeast = 16;

uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::abort();  // the faulting thread cannot go on, nor can it be told
}

}  // namespace

Pager::Pager(size_t bytes, size_t budget_bytes, PageStore& store, std::function<void(uint32_t)> on_lost)
    : pages_count_(static_cast<uint32_t>((bytes + kPageBytes - 1) / kPageBytes)),
      budget_pages_(std::max(static_cast<uint32_t>(budget_bytes / kPageBytes), kBudgetPagesLeast)),
      inactive_target_(budget_pages_ / kInactiveShare), store_(store), on_lost_(std::move(on_lost)),
      state_(pages_count_, State::kUntouched), sequence_(pages_count_), incoming_(new std::byte[kPageBytes]) {}

std::unique_ptr<Pager> Pager::create(size_t bytes, size_t budget_bytes, PageStore& store,
                                     std::function<void(uint32_t)> on_lost, std::string& error) {
  std::unique_ptr<Pager> self(new Pager(bytes, budget_bytes, store, std::move(on_lost)));
  if (!self->set_up(error)) {
    error += std::string(": ") + std::strerror(errno);
    return nullptr;
  }
  self->thread_ = std::thread([raw = self.get()] { raw->run(); });
  return self;
}

bool Pager::set_up(std::string& error) {
  error = "eventfd";
  stop_fd_ = ::eventfd(0, EFD_CLOEXEC);
  if (stop_fd_ < 0) return false;
  error = "userfaultfd";  // faults of user space only: that needs no privilege
  fault_fd_ = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY));
  if (fault_fd_ < 0) return false;
  uffdio_api api{UFFD_API, UFFD_FEATURE_PAGEFAULT_FLAG_WP, 0};
  if (::ioctl(fault_fd_, UFFDIO_API, &api) != 0) return false;
  error = "mmap";
  void* memory = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return false;
  base_ = static_cast<std::byte*>(memory);
  ::madvise(base_, bytes(), MADV_NOHUGEPAGE);
  error = "userfaultfd: register with write protection";
  uffdio_register range{{address_of(0), bytes()}, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP, 0};
  return ::ioctl(fault_fd_, UFFDIO_REGISTER, &range) == 0;
}

Pager::~Pager() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    (void)!::write(stop_fd_, &one, sizeof(one));
    thread_.join();
  }
  if (base_) ::munmap(base_, bytes());
  if (fault_fd_ >= 0) ::close(fault_fd_);
  if (stop_fd_ >= 0) ::close(stop_fd_);
}

uint64_t Pager::address_of(uint32_t page) const {
  return reinterpret_cast<uint64_t>(base_) + uint64_t{page} * kPageBytes;
}

void Pager::run() {
  pollfd fds[] = {{fault_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  for (;;) {
    ::poll(fds, 2, -1);
    if (fds[1].revents) return;
    uffd_msg message;
    while (::read(fault_fd_, &message, sizeof(message)) == static_cast<ssize_t>(sizeof(message)))
      if (message.event == UFFD_EVENT_PAGEFAULT) serve(message.arg.pagefault.address, message.arg.pagefault.flags);
  }
}

void Pager::serve(uint64_t address, uint64_t flags) {
  const auto page = static_cast<uint32_t>((address - address_of(0)) / kPageBytes);
  if (flags & UFFD_PAGEFAULT_FLAG_WP) ++stats_.faults_write;
  // Eviction unmaps what it has protected before the next fault is served: whoever met the protection, or came a second time
  // for a page that another fault has brought meanwhile, only has to look again.
  if (state_[page] == State::kActive || (flags & UFFD_PAGEFAULT_FLAG_WP)) wake(page);
  else serve_missing(page);
}

void Pager::serve_missing(uint32_t page) {
  switch (state_[page]) {
    case State::kUntouched: {
      make_room();
      uffdio_zeropage zero{{address_of(page), kPageBytes}, 0, 0};
      if (::ioctl(fault_fd_, UFFDIO_ZEROPAGE, &zero) != 0) die("userfaultfd: zeropage");
      ++stats_.faults_zero;
      break;
    }
    case State::kInactive: {
      Buffer buffer = take_inactive(page);
      place(page, buffer.bytes.get());
      spare_.push_back(std::move(buffer.bytes));
      --resident_;
      ++stats_.faults_inactive;
      break;
    }
    default: {
      make_room();
      const uint64_t since = now_ns();
      if (state_[page] == State::kLost || !store_.get(page, incoming_.get())) {
        state_[page] = State::kLost;
        on_lost_(page);
        return;
      }
      stats_.nanoseconds_stored += now_ns() - since;
      place(page, incoming_.get());
      ++stats_.faults_stored;
    }
  }
  state_[page] = State::kActive;
  active_.push_back(page);
  ++resident_;
  // before the budget is full: a page shall have been inactive for a while before it is the one to go
  while (active_.size() > budget_pages_ - inactive_target_) deactivate_oldest();
}

void Pager::make_room() {
  if (resident_ < budget_pages_) return;
  while (resident_ >= budget_pages_)
    if (!evict_oldest()) {
      ++stats_.evictions_refused;
      return;
    }
}

void Pager::deactivate_oldest() {
  const uint32_t page = active_.front();
  active_.pop_front();
  uffdio_writeprotect protect{{address_of(page), kPageBytes}, UFFDIO_WRITEPROTECT_MODE_WP};
  if (::ioctl(fault_fd_, UFFDIO_WRITEPROTECT, &protect) != 0) die("userfaultfd: writeprotect");
  Buffer buffer{page, nullptr};
  if (spare_.empty()) {
    buffer.bytes.reset(new std::byte[kPageBytes]);
  } else {
    buffer.bytes = std::move(spare_.back());
    spare_.pop_back();
  }
  std::memcpy(buffer.bytes.get(), base_ + size_t{page} * kPageBytes, kPageBytes);
  if (::madvise(base_ + size_t{page} * kPageBytes, kPageBytes, MADV_DONTNEED) != 0) die("madvise");
  wake(page);  // a writer that waits at the protection faults anew, and finds the page missing
  state_[page] = State::kInactive;
  append_inactive(std::move(buffer));
}

// False: there is none, or the store refused; then the page goes to the young end, and another will be tried the next time.
bool Pager::evict_oldest() {
  while (!inactive_.empty() && inactive_.front().page == kNone) {
    inactive_.pop_front();
    ++inactive_first_;
  }
  if (inactive_.empty()) return false;
  Buffer buffer = take_inactive(inactive_.front().page);
  if (!store_.put(buffer.page, buffer.bytes.get())) {
    append_inactive(std::move(buffer));
    return false;
  }
  state_[buffer.page] = State::kStored;
  spare_.push_back(std::move(buffer.bytes));
  --resident_;
  ++stats_.evictions;
  return true;
}

void Pager::append_inactive(Buffer buffer) {
  sequence_[buffer.page] = inactive_first_ + static_cast<uint32_t>(inactive_.size());
  inactive_.push_back(std::move(buffer));
  ++inactive_count_;
}

Pager::Buffer Pager::take_inactive(uint32_t page) {
  Buffer& at = inactive_[sequence_[page] - inactive_first_];
  --inactive_count_;
  return {std::exchange(at.page, kNone), std::move(at.bytes)};
}

void Pager::place(uint32_t page, const std::byte* bytes) {
  uffdio_copy copy{address_of(page), reinterpret_cast<uint64_t>(bytes), kPageBytes, 0, 0};
  if (::ioctl(fault_fd_, UFFDIO_COPY, &copy) != 0 && errno != EEXIST) die("userfaultfd: copy");
}

void Pager::wake(uint32_t page) {
  uffdio_range range{address_of(page), kPageBytes};
  ::ioctl(fault_fd_, UFFDIO_WAKE, &range);
}

}  // namespace tmem::sim
