// SPDX-License-Identifier: MIT
// Every request of control.proto, with what is right and what is wrong about it.
#include "control/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/fake_host.h"
#include "control/translate.h"
#include "tmem/tmemif.h"

namespace tmem::test {
namespace {

using control::Reply;
using control::Request;
using testing::HasSubstr;

constexpr const char* kUuid = "01234567-89ab-cdef-0123-456789abcdef";

class Control : public testing::Test {
 protected:
  Reply ask(const Request& request) {
    std::optional<Reply> got;
    service_.handle(request, [&](Reply reply) { got = std::move(reply); });
    EXPECT_TRUE(got.has_value()) << "no answer";
    return got.value_or(Reply());
  }
  void expect_refused(const Request& request, control::ErrorCode code, const std::string& words) {
    const Reply reply = ask(request);
    EXPECT_EQ(reply.code(), code);
    EXPECT_THAT(reply.error(), HasSubstr(words));
    EXPECT_EQ(reply.error().find('\n'), std::string::npos);
  }

  FakeHost host_;
  ControlService service_{host_};
};

TEST_F(Control, InfoGathersEveryShard) {
  host_.add(7, "web");
  Request request;
  request.set_id(42);
  request.mutable_info();
  const Reply reply = ask(request);
  EXPECT_EQ(reply.id(), 42u);
  EXPECT_EQ(reply.code(), control::ERROR_NONE);
  ASSERT_EQ(reply.info().shards_size(), 2);
  EXPECT_EQ(reply.info().shards(1).id(), 1u);
  EXPECT_EQ(reply.info().shards(1).sleeps(), 3u);
  EXPECT_EQ(reply.info().shards(1).channels_broken(), 6u);
  EXPECT_GT(reply.info().shards(0).memory_bytes(), 0u);
  EXPECT_EQ(reply.info().clients(), 1u);
  EXPECT_EQ(reply.info().version(), "1.2.3");
}

TEST_F(Control, AListingAddsUpShardsAndShowsPoolsOnlyWhenAsked) {
  const ClientId id = host_.add(7, "web");
  host_.make_pool(id, 0, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT));
  host_.put(id, 0, 5);
  Request request;
  request.mutable_list_clients();
  EXPECT_EQ(ask(request).list_clients().clients(0).pools_size(), 0);
  request.mutable_list_clients()->set_pools(true);
  request.mutable_list_clients()->mutable_client()->set_name("web");
  const Reply reply = ask(request);
  ASSERT_EQ(reply.list_clients().clients_size(), 1);
  const control::Client& client = reply.list_clients().clients(0);
  EXPECT_EQ(client.space().pages_persistent(), 10u);
  EXPECT_EQ(client.ops().put_same_filled(), 10u);
  EXPECT_EQ(client.requests(), 20u);
  EXPECT_EQ(client.refused().no_pool(), 10u);
  ASSERT_EQ(client.pools_size(), 1);
  EXPECT_EQ(client.pools(0).space().pages_persistent(), 10u);
  EXPECT_TRUE(client.pools(0).persistent());
}

TEST_F(Control, AClientIsNamedByIdOrByNameAndNotByBothOrNeither) {
  host_.add(7, "web");
  host_.add(8, "db");
  host_.add(9, "db");
  Request request;
  control::ClientSelector& selector = *request.mutable_list_clients()->mutable_client();
  expect_refused(request, control::ERROR_BAD_REQUEST, "either by id or by name");
  selector.set_name("nobody");
  expect_refused(request, control::ERROR_NO_CLIENT, "no client 'nobody'");
  selector.set_name("db");
  expect_refused(request, control::ERROR_BAD_REQUEST, "2 clients are called 'db'");
  selector.set_id(8);
  expect_refused(request, control::ERROR_BAD_REQUEST, "either by id or by name");
  selector.clear_name();
  EXPECT_EQ(ask(request).list_clients().clients(0).name(), "db");
}

TEST_F(Control, APolicyChangesOnlyWhatIsPresent) {
  host_.add(7, "web");
  Request request;
  request.mutable_set_policy()->mutable_client()->set_id(7);
  request.mutable_set_policy()->mutable_policy()->set_weight(5);
  EXPECT_EQ(ask(request).set_policy().clients_changed(), 1u);
  request.mutable_set_policy()->clear_policy();
  request.mutable_set_policy()->mutable_policy()->set_frozen(true);
  ask(request);
  EXPECT_EQ(host_.rows[0].policy.weight, 5u);
  EXPECT_TRUE(host_.rows[0].policy.frozen);
  EXPECT_TRUE(host_.rows[0].policy.compress);
}

TEST_F(Control, APolicyForAllIsTestedForAllBeforeOneIsChanged) {
  host_.add(7, "web");
  host_.add(8, "db");
  host_.rows[1].policy.min_pages = 1000;
  Request request;
  request.mutable_set_policy()->mutable_policy()->set_cap_pages(10);
  expect_refused(request, control::ERROR_BAD_REQUEST, "min 1000 pages is above cap 10 pages");
  EXPECT_EQ(host_.rows[0].policy.cap_pages, 0u);
}

TEST_F(Control, APolicyThatCannotBeWrittenDownIsNotReportedAsSet) {
  host_.add(7, "web");
  host_.add(8, "db");
  host_.without_room = ClientId(8);
  Request request;
  request.mutable_set_policy()->mutable_policy()->set_frozen(true);
  expect_refused(request, control::ERROR_NOT_POSSIBLE, "policy of 'db' (client 8) unchanged: the service has no room");
  EXPECT_TRUE(host_.rows[0].policy.frozen);
  EXPECT_FALSE(host_.rows[1].policy.frozen);
}

TEST_F(Control, PolicyValuesOutOfRangeAreRefused) {
  host_.add(7, "web");
  Request request;
  request.mutable_set_policy()->mutable_policy()->set_weight(65536);
  expect_refused(request, control::ERROR_BAD_REQUEST, "weight 65536 is out of range");
  request.mutable_set_policy()->clear_policy();
  request.mutable_set_policy()->mutable_policy()->set_dedup_group("two words");
  expect_refused(request, control::ERROR_BAD_REQUEST, "dedup group");
}

TEST_F(Control, AFlushDropsEphemeralPagesOfOneClientAndNoOther) {
  const ClientId web = host_.add(7, "web");
  const ClientId db = host_.add(8, "db");
  for (const ClientId id : {web, db}) {
    host_.make_pool(id, 0, TMEMIF_POOL_FLAGS(0));
    host_.put(id, 0, 8);
  }
  Request request;
  request.mutable_flush()->mutable_client()->set_name("web");
  EXPECT_EQ(ask(request).flush().pages_flushed(), 16u);
  EXPECT_EQ(host_.engine(0).client_info(db).value().space.pages_ephemeral, 8u);
  request.mutable_flush()->clear_client();
  EXPECT_EQ(ask(request).flush().pages_flushed(), 16u);
}

TEST_F(Control, AFlushOfEverythingServesOthersBetweenItsSlices) {
  const ClientId web = host_.add(7, "web");
  const ClientId db = host_.add(8, "db");
  host_.make_pool(web, 0, TMEMIF_POOL_FLAGS(0));
  host_.make_pool(db, 0, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT));
  constexpr uint32_t kPages = 5 * kTeardownPagesPerStep;
  host_.put(web, 0, kPages);
  for (const bool everyone : {false, true}) {
    Request request;
    request.mutable_flush();
    if (!everyone) {
      request.mutable_flush()->mutable_client()->set_name("web");
      request.mutable_flush()->set_bytes(2 * kTeardownPagesPerStep * sizeof(uint64_t));  // of each shard half of it
    }
    host_.hold = true;
    std::optional<Reply> got;
    service_.handle(request, [&](Reply reply) { got = std::move(reply); });
    uint32_t slices = 0;
    uint64_t there = host_.engine(0).client_info(web).value().space.pages_ephemeral;
    while (!host_.held.empty()) {
      ++slices;
      host_.put(db, 0, 1);  // a shard's thread is free for it
      const auto done = std::move(host_.held.back());
      host_.held.pop_back();
      done();
      const uint64_t left = host_.engine(0).client_info(web).value().space.pages_ephemeral;
      EXPECT_LE(there - left, kTeardownPagesPerStep + 7);
      there = left;
    }
    ASSERT_TRUE(got);
    EXPECT_GT(slices, everyone ? 4u : 1u);
    EXPECT_EQ(there, everyone ? 0u : kPages - got->flush().pages_flushed() / 2);
  }
}

TEST_F(Control, AFlushDropsWhatWasThereAndIsNotKeptBusyByWhoPutsOn) {
  const ClientId web = host_.add(7, "web");
  host_.make_pool(web, 0, TMEMIF_POOL_FLAGS(0));
  host_.put(web, 0, 100);
  Request request;
  request.mutable_flush();
  host_.hold = true;
  std::optional<Reply> got;
  service_.handle(request, [&](Reply reply) { got = std::move(reply); });
  for (uint32_t turns = 0; !host_.held.empty(); ++turns) {
    ASSERT_LT(turns, 10u);
    host_.put(web, 0, 100);
    const auto done = std::move(host_.held.back());
    host_.held.pop_back();
    done();
  }
  ASSERT_TRUE(got);
  EXPECT_EQ(got->flush().pages_flushed(), 200u);
}

TEST_F(Control, APersistentPoolIsDestroyedByForceOnly) {
  const ClientId id = host_.add(7, "web");
  host_.make_pool(id, 3, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT));
  host_.put(id, 3, 4);
  Request request;
  request.mutable_destroy_pool()->set_pool(3);
  expect_refused(request, control::ERROR_BAD_REQUEST, "needs a client");
  request.mutable_destroy_pool()->mutable_client()->set_id(7);
  expect_refused(request, control::ERROR_NOT_POSSIBLE, "pool 3 of 'web' (client 7) is persistent");
  EXPECT_EQ(host_.engine(0).client_info(id).value().space.pages_persistent, 4u);
  request.mutable_destroy_pool()->set_force(true);
  EXPECT_EQ(ask(request).destroy_pool().pages_destroyed(), 8u);
  expect_refused(request, control::ERROR_NO_POOL, "has no pool 3");
}

TEST_F(Control, SharedPoolsAreAllowedByUuidOnEveryShard) {
  const ClientId id = host_.add(7, "web");
  Request request;
  request.mutable_shared_auth()->set_uuid("nonsense");
  expect_refused(request, control::ERROR_BAD_REQUEST, "uuid is malformed");
  request.mutable_shared_auth()->set_uuid(kUuid);
  request.mutable_shared_auth()->set_allow(true);
  EXPECT_EQ(ask(request).shared_auth().clients_changed(), 1u);
  for (uint32_t shard = 0; shard < 2; ++shard) EXPECT_THAT(host_.engine(shard).authorised(id), testing::ElementsAre(*parse_uuid(kUuid)));
  Request list;
  list.mutable_list_clients()->set_authorised(true);
  EXPECT_EQ(ask(list).list_clients().clients(0).authorised(0), kUuid);
}

TEST_F(Control, MoreAuthorisationsThanTheLimitAreRefusedWithARemedy) {
  host_.add(7, "web");
  Request request;
  request.mutable_shared_auth()->set_allow(true);
  for (uint32_t i = 0; i <= kAuthorisedUuidsMax; ++i) {
    Uuid uuid;
    uuid.byte[0] = static_cast<uint8_t>(i);
    uuid.byte[1] = static_cast<uint8_t>(1 + i / 256);
    request.mutable_shared_auth()->set_uuid(uuid_text(uuid));
    if (i < kAuthorisedUuidsMax) {
      ASSERT_EQ(ask(request).code(), control::ERROR_NONE) << i;
    }
  }
  expect_refused(request, control::ERROR_NOT_POSSIBLE, "revoke one first");
}

TEST_F(Control, FreeableIsWhatAFlushWouldFree) {
  const ClientId id = host_.add(7, "web");
  host_.make_pool(id, 0, TMEMIF_POOL_FLAGS(0));
  Request request;
  request.mutable_freeable();
  const uint64_t before = ask(request).freeable().bytes();
  host_.put(id, 0, 64);
  EXPECT_GT(ask(request).freeable().bytes(), before);
}

TEST_F(Control, MemoryIsSetWithinItsBounds) {
  Request request;
  request.mutable_set_memory()->set_bytes(32 << 20);
  EXPECT_EQ(ask(request).set_memory().bytes_before(), uint64_t{16} << 20);
  request.mutable_set_memory()->set_bytes(FakeHost::kMemoryMax + 1);
  expect_refused(request, control::ERROR_BAD_REQUEST, "memory-max");
}

TEST_F(Control, OnlyClientsThatAreAwayAreForgotten) {
  host_.add(7, "web");
  const ClientId away = host_.add(8, "away", ControlClientState::kRecovered);
  host_.make_pool(away, 0, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT));
  host_.put(away, 0, 3);
  Request request;
  request.mutable_forget()->mutable_client()->set_id(7);
  expect_refused(request, control::ERROR_NOT_POSSIBLE, "'web' (client 7) is connected");
  request.mutable_forget()->mutable_client()->set_id(8);
  EXPECT_EQ(ask(request).forget().pages_destroyed(), 6u);
}

TEST_F(Control, ARequestOfNothingIsRefused) { expect_refused(Request(), control::ERROR_BAD_REQUEST, "nothing that this version knows"); }

TEST(Translate, AUuidIsReadAsItIsWritten) {
  const auto uuid = parse_uuid(kUuid);
  ASSERT_TRUE(uuid);
  EXPECT_EQ(uuid->byte[15], 0xef);
  EXPECT_EQ(uuid_text(*uuid), kUuid);
  for (const char* wrong : {"", "01234567-89ab-cdef-0123-456789abcde", "01234567089ab-cdef-0123-456789abcdef", "g1234567-89ab-cdef-0123-456789abcdef"}) {
    EXPECT_FALSE(parse_uuid(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace tmem::test
