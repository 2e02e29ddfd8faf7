// SPDX-License-Identifier: MIT
#include "transport/xen/xen_vchan.h"

extern "C" {  // the header does not say so itself
#include <libxenvchan.h>
}

#include <sys/random.h>

#include <array>

#include "tmem/tmem_xs.h"
#include "transport/xen/xen_store.h"

namespace tmem {
namespace {

// Requests are short; a list of clients is some kilobytes, and a ring of it saves wake-ups.
constexpr size_t kReadRingBytes = 4096;
constexpr size_t kWriteRingBytes = 16384;

std::string random_word() {
  uint64_t bits = 0;
  if (getrandom(&bits, sizeof(bits), 0) != static_cast<ssize_t>(sizeof(bits))) return {};
  std::string word;
  for (unsigned i = 0; i < 16; ++i) word += "0123456789abcdef"[bits >> (4 * i) & 15];
  return word;
}

class LibraryVchan final : public XenVchan {
 public:
  explicit LibraryVchan(libxenvchan* vchan) : vchan_(vchan) { vchan_->blocking = 0; }
  ~LibraryVchan() override { libxenvchan_close(vchan_); }
  LibraryVchan(const LibraryVchan&) = delete;
  LibraryVchan& operator=(const LibraryVchan&) = delete;

  int fd() const override { return libxenvchan_fd_for_select(vchan_); }
  void acknowledge() override { libxenvchan_wait(vchan_); }

  Peer peer() const override {
    const int state = libxenvchan_is_open(vchan_);
    return state == 2 ? Peer::kAwaited : state == 1 ? Peer::kHere : Peer::kGone;
  }

  size_t read(std::span<char> into) override {
    const int bytes = libxenvchan_read(vchan_, into.data(), into.size());
    return bytes > 0 ? static_cast<size_t>(bytes) : 0;
  }

  size_t write(std::string_view bytes) override {
    const int written = libxenvchan_write(vchan_, bytes.data(), bytes.size());
    return written > 0 ? static_cast<size_t>(written) : 0;
  }

 private:
  libxenvchan* const vchan_;
};

}  // namespace

std::unique_ptr<XenVchan> XenVchan::offer(uint32_t domid, const std::string& path) {
  const std::unique_ptr<XenStore> store = XenStore::open();
  const std::string session = random_word();
  if (!store || session.empty()) return nullptr;
  libxenvchan* made = libxenvchan_server_init(nullptr, static_cast<int>(domid), path.c_str(), kReadRingBytes, kWriteRingBytes);
  if (made == nullptr) return nullptr;
  auto vchan = std::make_unique<LibraryVchan>(made);
  // Last: who sees a new session finds the new pages behind it.
  if (!store->write(path + "/" TMEM_XS_CONTROL_SESSION, session)) return nullptr;
  return vchan;
}

}  // namespace tmem
