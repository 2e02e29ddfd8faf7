// SPDX-License-Identifier: MIT
// Frames of the control plane: a 32-bit little-endian length, then that many bytes. Pure: bytes in, frames out, so that any
// byte stream (Unix socket, vchan) can carry it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tmem {

// Empty when the payload is longer than a reply may be.
std::string encode_frame(std::string_view payload);

class FrameDecoder {
 public:
  explicit FrameDecoder(size_t bytes_max) : bytes_max_(bytes_max) {}

  void add(std::string_view bytes) { buffer_.append(bytes); }
  // The next whole frame. Nothing: more bytes are needed, or broken().
  std::optional<std::string> next();
  // A length of zero or above the maximum: the stream has no meaning from here on.
  bool broken() const { return broken_; }

 private:
  size_t bytes_max_;
  std::string buffer_;
  bool broken_ = false;
};

}  // namespace tmem
