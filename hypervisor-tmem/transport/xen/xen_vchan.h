// SPDX-License-Identifier: MIT
// A byte stream to one domain over shared pages (libxenvchan), this end the server: offered, taken by one client, then over.
// Nothing here waits for the peer, and what it writes into the shared page is bounded by the library.
//
// Owns the pages and the event channel. Thread rule: one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tmem {

class XenVchan {
 public:
  enum class Peer : uint8_t { kAwaited, kHere, kGone };

  // Offers a stream to a domain in our own domain's directory `path`; tmem_xs.h says what stands there. Null: no page can be
  // shared here, or xenstored refused.
  static std::unique_ptr<XenVchan> offer(uint32_t domid, const std::string& path);
  virtual ~XenVchan() = default;

  virtual int fd() const = 0;        // readable: acknowledge(), then look at everything
  virtual void acknowledge() = 0;    // only when fd() is readable: it would wait
  virtual Peer peer() const = 0;
  // Bytes moved. Less than there is room for: fd() becomes readable when more can be.
  virtual size_t read(std::span<char> into) = 0;
  virtual size_t write(std::string_view bytes) = 0;
};

}  // namespace tmem
