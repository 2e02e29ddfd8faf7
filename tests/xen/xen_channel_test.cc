// SPDX-License-Identifier: MIT
// The Xen transport under the suite of all transports, and what a hostile guest can name. Runs inside a Xen domain (lab scenario
// transport), whose number is the first argument.
#include "xen_pair.h"

#include "channel_suite.h"

namespace tmem {
namespace {

uint32_t own_domid = 0;

std::unique_ptr<ChannelPair> xen_pair(ClientId client, uint32_t order) { return std::make_unique<XenPair>(client, order, own_domid); }

INSTANTIATE_TEST_SUITE_P(Xen, ChannelSuite,
                         testing::Combine(testing::Values(&xen_pair),
                                          testing::Values(TMEMIF_RING_ORDER_MIN, TMEMIF_RING_ORDER_DEFAULT)));

TEST(XenHostile, OldDefect_9_2_10_AReferenceOrPortThatWasNotGivenIsARefusalWithItsReason) {
  const auto grants = GrantTable::open();
  ASSERT_TRUE(grants);
  std::string why;
  EXPECT_FALSE(XenChannel::create(grants, ClientId(1), own_domid, {0x7ffffff0, 1}, TMEMIF_RING_ORDER_MIN, why));
  EXPECT_NE(why.find("directory"), std::string::npos) << why;
}

TEST(XenHostile, ADirectoryOfNonsenseIsARefusalAndLeavesNothingMapped) {
  XenPair pair(ClientId(1), TMEMIF_RING_ORDER_MIN, own_domid);
  auto* directory = static_cast<uint8_t*>(pair.front_memory()) + size_t{TMEMIF_QUEUE_PAGES(TMEMIF_RING_ORDER_MIN)} * TMEMIF_PAGE_BYTES;
  uint32_t kept;
  std::memcpy(&kept, directory, sizeof(kept));
  const uint32_t nonsense = 0x7ffffff0;
  std::memcpy(directory, &nonsense, sizeof(nonsense));
  EXPECT_FALSE(pair.try_channel());
  std::memcpy(directory, &kept, sizeof(kept));
  EXPECT_TRUE(pair.try_channel()) << "and it can be tried again";
}

TEST(XenHostile, AFrontThatIsGoneCannotMakeTheServiceWaitOrFault) {
  auto pair = std::make_unique<XenPair>(ClientId(1), TMEMIF_RING_ORDER_MIN, own_domid);
  const std::unique_ptr<Channel> channel = pair->channel();
  pair.reset();
  channel->notify();
  channel->acknowledge();
  auto* bytes = static_cast<volatile uint8_t*>(channel->queue_memory());
  for (size_t i = 0; i < TMEMIF_QUEUE_PAGES(TMEMIF_RING_ORDER_MIN); ++i) bytes[i * TMEMIF_PAGE_BYTES] = 1;
}

}  // namespace
}  // namespace tmem

int main(int count, char** words) {
  testing::InitGoogleTest(&count, words);
  if (count != 2) {
    std::fprintf(stderr, "usage: xen_channel_test DOMID [--gtest_...], inside that domain\n");
    return 2;
  }
  tmem::own_domid = static_cast<uint32_t>(std::strtoul(words[1], nullptr, 10));
  return RUN_ALL_TESTS();
}
