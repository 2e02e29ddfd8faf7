// SPDX-License-Identifier: MIT
#include "control/frame.h"

#include "tmem/limits.h"

namespace tmem {
namespace {

constexpr size_t kLengthBytes = 4;

}  // namespace

std::string encode_frame(std::string_view payload) {
  if (payload.empty() || payload.size() > kControlReplyBytesMax) return {};
  std::string frame;
  frame.reserve(kLengthBytes + payload.size());
  for (unsigned i = 0; i < kLengthBytes; ++i) frame += static_cast<char>(payload.size() >> (8 * i) & 0xff);
  frame += payload;
  return frame;
}

std::optional<std::string> FrameDecoder::next() {
  if (broken_ || buffer_.size() < kLengthBytes) return std::nullopt;
  size_t length = 0;
  for (unsigned i = 0; i < kLengthBytes; ++i) length |= static_cast<size_t>(static_cast<unsigned char>(buffer_[i])) << (8 * i);
  if (length == 0 || length > bytes_max_) {
    broken_ = true;
    return std::nullopt;
  }
  if (buffer_.size() < kLengthBytes + length) return std::nullopt;
  std::string frame = buffer_.substr(kLengthBytes, length);
  buffer_.erase(0, kLengthBytes + length);
  return frame;
}

}  // namespace tmem
