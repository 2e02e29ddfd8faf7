// SPDX-License-Identifier: MIT
#include "control/frame.h"

#include <gtest/gtest.h>

#include "tmem/limits.h"

namespace tmem {
namespace {

using namespace std::string_literals;

TEST(Frame, AMessageComesOutAsItWentIn) {
  FrameDecoder decoder(100);
  decoder.add(encode_frame("hello") + encode_frame("you"));
  EXPECT_EQ(decoder.next(), "hello");
  EXPECT_EQ(decoder.next(), "you");
  EXPECT_EQ(decoder.next(), std::nullopt);
  EXPECT_FALSE(decoder.broken());
}

TEST(Frame, BytesMayComeOneByOne) {
  FrameDecoder decoder(100);
  const std::string bytes = encode_frame("hello");
  for (size_t i = 0; i + 1 < bytes.size(); ++i) {
    decoder.add(bytes.substr(i, 1));
    ASSERT_EQ(decoder.next(), std::nullopt);
  }
  decoder.add(bytes.substr(bytes.size() - 1));
  EXPECT_EQ(decoder.next(), "hello");
}

TEST(Frame, ALengthOfZeroOrAboveTheMaximumBreaksTheStreamForGood) {
  for (const std::string& bytes : {"\0\0\0\0"s, "\x65\0\0\0"s, "\xff\xff\xff\xff"s}) {
    FrameDecoder decoder(100);
    decoder.add(bytes);
    EXPECT_EQ(decoder.next(), std::nullopt);
    EXPECT_TRUE(decoder.broken());
    decoder.add(encode_frame("hello"));
    EXPECT_EQ(decoder.next(), std::nullopt);
  }
}

TEST(Frame, TheLongestFrameIsTaken) {
  FrameDecoder decoder(100);
  decoder.add(encode_frame(std::string(100, 'x')));
  EXPECT_EQ(decoder.next()->size(), 100u);
}

TEST(Frame, NothingAndTooMuchAreNoFrames) {
  EXPECT_EQ(encode_frame(""), "");
  EXPECT_EQ(encode_frame(std::string(kControlReplyBytesMax + 1, 'x')), "");
}

}  // namespace
}  // namespace tmem
