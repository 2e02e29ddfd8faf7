// SPDX-License-Identifier: MIT
#include "transport/xen/xen_nodes.h"

#include <gtest/gtest.h>

#include <random>

namespace tmem {
namespace {

constexpr const char* kUuid = "01234567-89ab-cdef-0123-456789abcdef";

TEST(XenNodes, ConnectIsTakenWithinTheServicesLimits) {
  const auto c = parse_xen_connect("version=1 queues=2 ring-order=6", 2, 6);
  ASSERT_TRUE(c);
  EXPECT_EQ(c->queues, 2u);
  EXPECT_EQ(c->ring_order, 6u);
  EXPECT_TRUE(parse_xen_connect("ring-order=3 later=7 queues=1 version=1", 2, 6)) << "unknown keys are ignored";
}

TEST(XenNodes, ConnectOutsideTheLimitsIsRefused) {
  for (const char* text : {"", "version=1", "version=2 queues=1 ring-order=6", "version=1 queues=0 ring-order=6", "version=1 queues=3 ring-order=6",
                           "version=1 queues=1 ring-order=7", "version=1 queues=1 ring-order=2", "version=1 queues=-1 ring-order=6",
                           "version=1 queues=1 ring-order=6x", "version=1 queues ring-order=6", "version=1  queues=1 ring-order=6",
                           "version=1 queues=4294967297 ring-order=6", "=1"}) {
    EXPECT_FALSE(parse_xen_connect(text, 2, 6)) << text;
  }
}

TEST(XenNodes, QueuesMustBeExactlyAsManyAsSaid) {
  const auto q = parse_xen_queues("8:12 900:13", 2);
  ASSERT_TRUE(q);
  EXPECT_EQ((*q)[1].directory, 900u);
  EXPECT_EQ((*q)[1].port, 13u);
  for (const char* text : {"", "8:12", "8:12 9:13 10:14", "8 9", "8:12 9:", ":1 2:3", "8:12 -9:13", "8:12  9:13", "99999999999:1 2:3"}) {
    EXPECT_FALSE(parse_xen_queues(text, 2)) << text;
  }
}

TEST(XenNodes, IdentityNeedsNonceAndEpoch) {
  const auto i = parse_xen_identity("nonce=00000000000000ff8000000000000001 epoch=7 suspended=1");
  ASSERT_TRUE(i);
  EXPECT_EQ(i->nonce[0], 0xffu);
  EXPECT_EQ(i->nonce[1], 0x8000000000000001u);
  EXPECT_EQ(i->epoch, 7u);
  EXPECT_TRUE(i->suspended);
  for (const char* text : {"", "epoch=1", "nonce=00000000000000ff8000000000000001", "nonce=ff epoch=1", "nonce=00000000000000ff800000000000000g epoch=1",
                           "nonce=00000000000000ff8000000000000001 epoch=1 suspended=2"}) {
    EXPECT_FALSE(parse_xen_identity(text)) << text;
  }
}

TEST(XenNodes, AGuestsNameIsEverythingBehindTheUuidAndMadePrintable) {
  const auto g = parse_xen_guest(std::string("uuid=") + kUuid + " name=my guest=1\x1b[31m");
  ASSERT_TRUE(g);
  EXPECT_EQ(g->name, "my guest=1?[31m");
  EXPECT_EQ(g->uuid.byte[0], 0x01);
  EXPECT_EQ(g->uuid.byte[15], 0xef);
  EXPECT_FALSE(parse_xen_guest("uuid=01234567 name=x"));
  EXPECT_FALSE(parse_xen_guest("name=x"));
}

TEST(XenNodes, PolicyHasOnlyWhatIsThere) {
  const auto p = parse_xen_policy(std::string("weight=5 cap-pages=256 compress=0 shared=") + kUuid);
  ASSERT_TRUE(p);
  EXPECT_EQ(p->weight, 5u);
  EXPECT_EQ(p->cap_pages, 256u);
  EXPECT_FALSE(p->min_pages);
  EXPECT_EQ(p->compress, false);
  EXPECT_EQ(p->shared.size(), 1u);
  EXPECT_TRUE(parse_xen_policy(""));
  for (const char* text : {"weight=65536", "weight", "compress=2", "shared=x", "cap-pages=1e9"}) EXPECT_FALSE(parse_xen_policy(text)) << text;
}

TEST(XenNodes, ServiceTellsVersionLimitsAndWhatBecameOfThePools) {
  EXPECT_EQ(format_xen_service({2, 6, 99}, true, 4), "versions=1-1 max-queues=2 max-ring-order=6 generation=99 resumed=1 epoch=4");
}

TEST(XenNodes, AnyBytesAreAnswered) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::string alphabet = "01289af=: -.version queues ring-order nonce epoch uuid name weight";
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (unsigned n = random() % 60; n > 0; --n) text += random() % 8 ? alphabet[random() % alphabet.size()] : static_cast<char>(random());
    const auto connect = parse_xen_connect(text, 4, 6);
    EXPECT_TRUE(!connect || connect->queues <= 4u) << text;
    const auto queues = parse_xen_queues(text, 3);
    EXPECT_TRUE(!queues || queues->size() == 3u) << text;
    (void)parse_xen_identity(text);
    (void)parse_xen_guest(text);
    (void)parse_xen_policy(text);
  }
}

}  // namespace
}  // namespace tmem
