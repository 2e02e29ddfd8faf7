// SPDX-License-Identifier: MIT
#include "store/codec.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "store/cpu/kernels.h"
#include "support/page_source.h"

namespace tmem::test {
namespace {

struct Page {
  alignas(64) std::array<std::byte, kPageBytes> bytes{};
  operator PageView() const { return bytes; }
  operator PageBuffer() { return bytes; }
};

Page filled(uint64_t word) {
  Page page;
  fill_page(page, word);
  return page;
}

Page compressible(uint64_t seed) {
  Page page;
  const std::vector<std::byte> words = payload_of(seed, 16 * 32);
  Random random(seed);
  for (size_t i = 0; i < kPageBytes; i += 16) std::memcpy(page.bytes.data() + i, words.data() + random() % 32 * 16, 16);
  return page;
}

Page incompressible(uint64_t seed) {
  Page page;
  const std::vector<std::byte> noise = payload_of(seed, kPageBytes);
  std::copy(noise.begin(), noise.end(), page.bytes.begin());
  return page;
}

TEST(SameFilled, IsFoundForAnyWord) {
  for (uint64_t word : {uint64_t{0}, ~uint64_t{0}, uint64_t{0x0123456789abcdef}, uint64_t{1} << 63}) {
    EXPECT_EQ(same_filled_word(filled(word)), word);
  }
}

TEST(SameFilled, IsNotFoundWhenOneBitDiffersAnywhere) {
  for (uint64_t word : {uint64_t{0}, uint64_t{0x5555aaaa5555aaaa}}) {
    for (size_t bit = 0; bit < kPageBytes * 8; bit += 3) {
      Page page = filled(word);
      page.bytes[bit / 8] ^= std::byte{static_cast<uint8_t>(1u << (bit % 8))};
      ASSERT_EQ(same_filled_word(page), std::nullopt) << bit;
    }
  }
}

TEST(SameFilled, AShorterPeriodIsFoundAndALongerOneIsNot) {
  Page page;
  for (size_t i = 0; i < kPageBytes; ++i) page.bytes[i] = static_cast<std::byte>(i % 4);
  EXPECT_NE(same_filled_word(page), std::nullopt);
  for (size_t i = 0; i < kPageBytes; ++i) page.bytes[i] = static_cast<std::byte>(i / 8 % 2);
  EXPECT_EQ(same_filled_word(page), std::nullopt);
}

TEST(Kernels, EveryOneThatRunsHereAgreesWithTheGenericOne) {
  int families = 0;
  for (const cpu::Kernels* const* at = cpu::runnable(); *at != nullptr; ++at, ++families) {
    SCOPED_TRACE((*at)->name);
    for (uint64_t seed = 0; seed < 50; ++seed) {
      const Page page = seed % 5 == 0 ? filled(seed * 77) : incompressible(seed);
      uint64_t word = 1, want = 1;
      ASSERT_EQ((*at)->same_filled(page.bytes.data(), &word), cpu::kGeneric.same_filled(page.bytes.data(), &want));
      ASSERT_EQ(word, want);
      const size_t size = seed == 0 ? 0 : static_cast<size_t>(seed * 83) % (kPageBytes + 1);
      ASSERT_EQ((*at)->hash64(page.bytes.data(), size), cpu::kGeneric.hash64(page.bytes.data(), size));
      uint64_t got[2], expected[2];
      (*at)->hash128(page.bytes.data(), size, seed, &got[0], &got[1]);
      cpu::kGeneric.hash128(page.bytes.data(), size, seed, &expected[0], &expected[1]);
      ASSERT_EQ(got[0], expected[0]);
      ASSERT_EQ(got[1], expected[1]);
    }
  }
  EXPECT_GE(families, 1);
  EXPECT_EQ(cpu::runnable()[0], &cpu::best());
}

TEST(Kernels, EveryFamilyThatThisCpuHasIsBuiltInAndTheWidestIsTaken) {
  std::vector<std::string> wanted;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) wanted.push_back("avx512");
  if (__builtin_cpu_supports("avx2")) wanted.push_back("avx2");
#endif
  wanted.push_back("generic");
  std::vector<std::string> found;
  for (const cpu::Kernels* const* at = cpu::runnable(); *at != nullptr; ++at) found.push_back((*at)->name);
  EXPECT_EQ(found, wanted);
  EXPECT_EQ(cpu::best().name, wanted[0]);
}

TEST(Compressor, GivesAPageBackByteForByte) {
  Compressor compressor;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Page page = compressible(seed);
    if (seed % 2 == 0) std::memset(page.bytes.data() + seed * 20, static_cast<int>(seed), 1500);
    const Compressor::Packed packed = compressor.compress(page);
    ASSERT_EQ(packed.codec, Codec::kLz4);
    ASSERT_LE(packed.payload.size(), kCompressedBytesMax);
    Page back = filled(~seed);
    ASSERT_TRUE(decompress(packed.codec, packed.payload, back));
    ASSERT_EQ(back.bytes, page.bytes);
  }
}

TEST(Compressor, LeavesAPageRawThatDoesNotPay) {
  Compressor compressor;
  const Page page = incompressible(5);
  const Compressor::Packed packed = compressor.compress(page);
  EXPECT_EQ(packed.codec, Codec::kRaw);
  EXPECT_EQ(packed.payload.data(), page.bytes.data());
  EXPECT_EQ(packed.payload.size(), kPageBytes);
}

TEST(Compressor, DoesNotRememberThePageBefore) {
  Compressor used;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Compressor fresh;
    const auto before = used.compress(compressible(seed));
    ASSERT_EQ(before.codec, Codec::kLz4);
    const Page page = compressible(1000 + seed);
    const auto one = used.compress(page).payload, other = fresh.compress(page).payload;
    ASSERT_TRUE(std::equal(one.begin(), one.end(), other.begin(), other.end()));
  }
}

TEST(Decompress, RefusesWhatItsCodecDoesNotWrite) {
  Page page;
  const std::vector<std::byte> noise = payload_of(9, 500);
  EXPECT_FALSE(decompress(Codec::kRaw, noise, page));
  EXPECT_FALSE(decompress(Codec::kSameFilled, noise, page));
  EXPECT_FALSE(decompress(Codec::kMeta, noise, page));
  EXPECT_FALSE(decompress(Codec::kDead, noise, page));
  Compressor compressor;
  const Compressor::Packed packed = compressor.compress(compressible(1));
  EXPECT_FALSE(decompress(Codec::kLz4, packed.payload.first(packed.payload.size() / 2), page));
  EXPECT_FALSE(decompress(Codec::kLz4, {}, page));
}

TEST(Decompress, SurvivesAnyBytes) {
  Random random(seed_or(10));
  for (int i = 0; i < 20000; ++i) {
    const std::vector<std::byte> noise = payload_of(random(), static_cast<uint32_t>(random() % 200));
    Page page;
    (void)decompress(Codec::kLz4, noise, page);
  }
}

TEST(ContentHash, IsEqualForEqualPagesUnderOneSeedOnly) {
  const Page page = compressible(3);
  Page other = page;
  EXPECT_EQ(content_hash(page, 7), content_hash(other, 7));
  EXPECT_FALSE(content_hash(page, 7) == content_hash(page, 8));
  other.bytes[4095] ^= std::byte{1};
  EXPECT_FALSE(content_hash(page, 7) == content_hash(other, 7));
}

}  // namespace
}  // namespace tmem::test
