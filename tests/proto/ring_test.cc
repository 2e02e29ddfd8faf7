// SPDX-License-Identifier: MIT
// The ring's arithmetic, one thread, no memory model: that is doorbell_model_test.cc.
#include "tmem/tmem_ring.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace {

constexpr uint32_t kWrap = 0xfffffff0u;  // sixteen steps before the indexes begin again at zero

struct alignas(4096) Page {
  std::byte bytes[TMEMIF_PAGE_BYTES];
};

class Ring : public testing::TestWithParam<uint32_t> {
 protected:
  Ring() : memory_(TMEMIF_QUEUE_PAGES(GetParam())) {
    tmem_ring_front_init(&front_, tmem_ring_at(memory_.data(), GetParam()));
    tmem_ring_back_init(&back_, tmem_ring_at(memory_.data(), GetParam()));
  }
  uint32_t entries() const { return front_.shared.entries; }
  tmemif_ring_control& control() { return *front_.shared.control; }

  // As if both sides had worked for a long time and all were answered.
  void start_at(uint32_t index) {
    front_.request_prod = front_.request_published = front_.response_cons = index;
    back_.request_cons = back_.response_prod = back_.response_published = index;
    control().request_prod = control().response_prod = index;
    control().request_event = control().response_event = index + 1;
  }
  int submit(uint32_t id) {
    tmemif_request* request = tmem_ring_front_next(&front_);
    *request = {};
    request->id = id;
    return tmem_ring_front_publish(&front_);
  }
  void answer(uint32_t id) {
    tmemif_response response{};
    response.id = id;
    tmem_ring_back_answer(&back_, &response);
  }

  std::vector<Page> memory_;
  tmem_ring_front front_;
  tmem_ring_back back_;
};

TEST_P(Ring, KeepsOrderAndContentAcrossTheWrapOfTheIndexes) {
  start_at(kWrap);
  uint32_t next_id = 0, expected = 0;
  for (int round = 0; round < 40; ++round) {
    while (tmem_ring_front_room(&front_) > 0) submit(next_id++);
    ASSERT_EQ(tmem_ring_back_pending(&back_), entries());
    for (uint32_t i = 0; i < entries(); ++i) answer(tmem_ring_back_take(&back_).id);
    tmem_ring_back_publish(&back_);
    ASSERT_EQ(tmem_ring_front_pending(&front_), entries());
    for (uint32_t i = 0; i < entries(); ++i) ASSERT_EQ(tmem_ring_front_take(&front_).id, expected++);
  }
  EXPECT_EQ(expected, next_id);
}

TEST_P(Ring, HasNoRoomUntilAResponseIsConsumed) {
  for (uint32_t i = 0; i < entries(); ++i) submit(i);
  EXPECT_EQ(tmem_ring_front_room(&front_), 0u);
  for (uint32_t i = 0; i < entries(); ++i) answer(tmem_ring_back_take(&back_).id);
  tmem_ring_back_publish(&back_);
  EXPECT_EQ(tmem_ring_front_room(&front_), 0u) << "answered, but the response still lies in the ring";
  tmem_ring_front_take(&front_);
  EXPECT_EQ(tmem_ring_front_room(&front_), 1u);
}

TEST_P(Ring, TheBackFindsAProducerAheadOfTheRingBroken) {
  for (uint32_t start : {0u, kWrap, 0x7fffffffu}) {
    start_at(start);
    control().request_prod = start + entries();
    EXPECT_EQ(tmem_ring_back_pending(&back_), entries());
    for (uint32_t lie : {entries() + 1, 2 * entries(), 0x80000000u, 0xffffffffu}) {
      control().request_prod = start + lie;
      EXPECT_EQ(tmem_ring_back_pending(&back_), TMEM_RING_BROKEN) << start << " + " << lie;
    }
  }
}

TEST_P(Ring, TheFrontFindsMoreResponsesThanRequestsBroken) {
  for (uint32_t start : {0u, kWrap}) {
    start_at(start);
    submit(1);
    control().response_prod = start + 1;
    EXPECT_EQ(tmem_ring_front_pending(&front_), 1u);
    for (uint32_t lie : {2u, entries(), 0x80000000u, 0xffffffffu}) {
      control().response_prod = start + lie;
      EXPECT_EQ(tmem_ring_front_pending(&front_), TMEM_RING_BROKEN) << start << " + " << lie;
    }
  }
}

TEST_P(Ring, RequestsThatAreNotPublishedCannotBeAnswered) {
  tmem_ring_front_next(&front_);
  control().response_prod = 1;
  EXPECT_EQ(tmem_ring_front_pending(&front_), TMEM_RING_BROKEN);
}

TEST_P(Ring, RingsTheDoorbellExactlyWhenTheEventIsPassed) {
  for (uint32_t start : {0u, kWrap + 10}) {
    for (uint32_t event_after = 0; event_after < 6; ++event_after) {
      for (uint32_t moved = 1; moved < 5; ++moved) {
        const bool wanted = event_after >= 1 && event_after <= moved;
        EXPECT_EQ(tmem_ring_passed(start + event_after, start, start + moved) != 0, wanted)
            << "event " << event_after << " beyond, producer moved by " << moved;
      }
    }
  }
}

TEST_P(Ring, AskingForTheDoorbellTellsOfWhatCameMeanwhile) {
  EXPECT_EQ(tmem_ring_back_arm(&back_), 0);
  EXPECT_NE(submit(1), 0) << "the back is asleep";
  EXPECT_EQ(submit(2), 0) << "and has been rung for already";
  EXPECT_NE(tmem_ring_back_arm(&back_), 0) << "there is work: it must not sleep";

  EXPECT_EQ(tmem_ring_front_arm(&front_), 0);
  answer(tmem_ring_back_take(&back_).id);
  EXPECT_NE(tmem_ring_back_publish(&back_), 0);
  EXPECT_NE(tmem_ring_front_arm(&front_), 0);
}

TEST_P(Ring, AFrontThatWaitsForALaterResponseIsNotRungForEarlierOnes) {
  for (uint32_t i = 0; i < 3; ++i) submit(i);
  EXPECT_EQ(tmem_ring_front_arm_after(&front_, 3), 0);
  for (uint32_t i = 0; i < 3; ++i) {
    answer(tmem_ring_back_take(&back_).id);
    EXPECT_EQ(tmem_ring_back_publish(&back_) != 0, i == 2);
  }
}

TEST_P(Ring, ResponsesShownToAPollingFrontAreStillAnnouncedToASleepingOne) {
  for (uint32_t i = 0; i < 3; ++i) submit(i);
  EXPECT_EQ(tmem_ring_front_arm(&front_), 0);
  answer(tmem_ring_back_take(&back_).id);
  tmem_ring_back_expose(&back_);
  EXPECT_EQ(tmem_ring_front_pending(&front_), 1u);
  answer(tmem_ring_back_take(&back_).id);
  EXPECT_NE(tmem_ring_back_publish(&back_), 0) << "the event lies at the response that was only shown";
}

TEST_P(Ring, ALaterBackGoesOnWhereTheRingStandsWithTheCreditsLastTold) {
  EXPECT_EQ(tmem_ring_back_init(&back_, front_.shared), 0u) << "a new ring holds no credits";
  for (uint32_t i = 0; i < 5; ++i) submit(i);
  for (uint32_t i = 0; i < 3; ++i) {
    tmemif_response response{};
    response.id = tmem_ring_back_take(&back_).id;
    response.credits_unspent = static_cast<uint8_t>(10 + i);
    tmem_ring_back_answer(&back_, &response);
    if (i == 1) tmem_ring_back_publish(&back_);  // the third is never published: the back dies
  }
  tmem_ring_back later;
  EXPECT_EQ(tmem_ring_back_init(&later, tmem_ring_at(memory_.data(), GetParam())), 11u);
  EXPECT_EQ(tmem_ring_back_pending(&later), 3u);
  EXPECT_EQ(tmem_ring_back_take(&later).id, 2u);
}

TEST_P(Ring, RequestsResponsesAndSlotsDoNotOverlapAndFillTheQueue) {
  char* const base = reinterpret_cast<char*>(memory_.data());
  const uint32_t order = GetParam();
  char* const responses_end = reinterpret_cast<char*>(front_.shared.responses + entries());
  char* const requests = reinterpret_cast<char*>(front_.shared.requests);
  EXPECT_EQ(reinterpret_cast<char*>(front_.shared.responses), base + TMEMIF_RESPONSES_OFFSET);
  EXPECT_LE(responses_end, base + TMEMIF_PAGE_BYTES);
  EXPECT_EQ(requests, base + TMEMIF_PAGE_BYTES);
  char* const first_slot = static_cast<char*>(tmem_ring_slot(base, order, 0));
  EXPECT_LE(requests + entries() * sizeof(tmemif_request), first_slot);
  EXPECT_EQ((first_slot - base) % TMEMIF_PAGE_BYTES, 0);
  char* const end = static_cast<char*>(tmem_ring_slot(base, order, entries() - 1)) + TMEMIF_PAGE_BYTES;
  EXPECT_EQ(end, base + memory_.size() * sizeof(Page));
}

INSTANTIATE_TEST_SUITE_P(Orders, Ring, testing::Values(TMEMIF_RING_ORDER_MIN, TMEMIF_RING_ORDER_DEFAULT, TMEMIF_RING_ORDER_MAX));

TEST(QueueOf, KeepsRunsOfEightIndexesOnOneQueue) {
  const uint64_t object[3] = {1, 2, 3};
  for (uint32_t run = 0; run < 1000; ++run)
    for (uint32_t i = 1; i < 8; ++i)
      ASSERT_EQ(tmemif_queue_of(object, run * 8 + i, 5), tmemif_queue_of(object, run * 8, 5));
}

TEST(QueueOf, SpreadsObjectsAndIndexesEvenly) {
  for (uint32_t queues : {1u, 2u, 3u, 7u, TMEMIF_QUEUES_MAX}) {
    for (int by_index = 0; by_index < 2; ++by_index) {
      std::vector<uint32_t> hits(queues);
      constexpr uint32_t kSamples = 64000;
      for (uint32_t i = 0; i < kSamples; ++i) {
        const uint64_t object[3] = {by_index ? 42 : i, 0, 0};
        const uint32_t queue = tmemif_queue_of(object, by_index ? i * 8 : 0, queues);
        ASSERT_LT(queue, queues);
        ++hits[queue];
      }
      for (uint32_t h : hits) {
        EXPECT_GT(h, kSamples / queues * 8 / 10);
        EXPECT_LT(h, kSamples / queues * 12 / 10);
      }
    }
  }
}

}  // namespace
