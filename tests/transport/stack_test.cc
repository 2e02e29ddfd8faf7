// SPDX-License-Identifier: MIT
// The full stack in one thread: the real front, rings in plain memory, the real backends and engines. A random walk submits
// operations, serves a few requests here and there, lets the front look, and now and then kills the service, also before it
// published what it had done. Every page that comes back is compared; a model says what it must be.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <random>
#include <set>

#include "support/heap_memory.h"
#include "support/page_source.h"
#include "test_front.h"
#include "tmem_front.h"
#include "transport/backend.h"

namespace tmem {
namespace {

using Page = std::array<std::byte, kPageBytes>;

struct Geometry {
  uint32_t shards;
  uint32_t order;
  uint32_t segments;  // of arena for each shard
  uint32_t objects;   // indexes 0..255 of so many objects are used
};

// One page in eight is one word; the others compress to any size there is.
void fill(Page& page, uint64_t tag) {
  std::mt19937_64 random(tag);
  const size_t noise = tag % 8 == 0 ? 0 : random() % (kPageBytes + 1);
  for (size_t i = 0; i < kPageBytes; i += 8) {
    const uint64_t word = i < noise ? random() : tag;
    std::memcpy(page.data() + i, &word, 8);
  }
}

class Stack {
 public:
  static constexpr ClientId kClient{3};

  explicit Stack(const Geometry& geometry) : geometry_(geometry) {
    for (uint32_t s = 0; s < geometry.shards; ++s) {
      memory_.push_back(std::make_unique<test::HeapMemory>(geometry.segments));
      queues_.push_back(SimulatedChannel::memory(geometry.order));
      attachment_.memory[s] = queues_[s]->data();
    }
    start_engines();
    for (auto& engine : engines_) EXPECT_EQ(engine->attach(kClient, {}, {}, true), Status::kOk);
    static const tmem_front_owner_ops ops = {[](void*, uint32_t) {}, nullptr, nullptr, [](void*) { FAIL() << "broken"; }};
    tmem_front_config config{};
    config.queues_max = geometry.shards;
    config.ring_order_max = geometry.order;
    config.pools_max = 8;
    config.ops = &ops;
    front_memory_ = std::aligned_alloc(64, (tmem_front_memory_bytes(&config) + 63) / 64 * 64);
    tmem_front_init(&front, &config, front_memory_);
    attachment_.queues = geometry.shards;
    attachment_.ring_order = geometry.order;
    EXPECT_EQ(tmem_front_attach(&front, &attachment_), 0);
    start_backends(RingState::kNew);
  }
  ~Stack() {
    tmem_front_close(&front);
    backends_.clear();
    std::free(front_memory_);
  }

  bool drain(uint32_t shard, uint32_t most) {
    const auto progress = backends_[shard]->drain(most);
    EXPECT_NE(progress, Backend::Progress::kBroken);
    return progress == Backend::Progress::kWorked;
  }
  void settle() {
    for (bool moved = true; moved;) {
      moved = false;
      for (uint32_t s = 0; s < geometry_.shards; ++s) {
        moved |= drain(s, kDrainRequestsMax);
        moved |= tmem_front_poll(&front, s) > 0;
      }
    }
  }
  // The service dies after it did what it did and before the last of it was published, and another one starts.
  void crash(std::mt19937_64& random) {
    for (uint32_t s = 0; s < geometry_.shards; ++s) {
      tmemif_ring_control* control = tmem_ring_at(queues_[s]->data(), geometry_.order).control;
      const uint32_t before = control->response_prod;
      drain(s, kDrainRequestsMax);
      const uint32_t done = control->response_prod - before;
      control->response_prod = before + static_cast<uint32_t>(random() % (done + 1));
    }
    std::vector<std::unique_ptr<Engine>> dead = std::move(engines_);
    backends_.clear();
    dead.clear();
    start_engines();
    start_backends(RingState::kLiving);
  }
  void check() {
    for (auto& engine : engines_) EXPECT_EQ(engine->check_invariants(), "");
    for (auto& backend : backends_) {
      EXPECT_EQ(backend->stats().requests_malformed, 0u);
    }
  }
  void step() {
    for (auto& engine : engines_) engine->step();
  }

  tmem_front front;

 private:
  void start_engines() {
    engines_.clear();
    for (auto& memory : memory_) {
      const EngineConfig config{uint64_t{geometry_.segments} * kSegmentBytes, true};
      auto engine = Engine::create(*memory, config);
      ASSERT_TRUE(engine.ok());
      engines_.push_back(std::move(engine.value()));
    }
  }
  void start_backends(RingState state) {
    channels_.clear();
    for (uint32_t s = 0; s < geometry_.shards; ++s) {
      channels_.push_back(std::make_unique<SimulatedChannel>(kClient, queues_[s], geometry_.order));
      backends_.push_back(std::make_unique<Backend>(*channels_[s], *engines_[s], geometry_.shards, state));
    }
  }

  const Geometry geometry_;
  std::vector<std::unique_ptr<test::HeapMemory>> memory_;
  std::vector<std::shared_ptr<SimulatedChannel::Memory>> queues_;
  std::vector<std::unique_ptr<Engine>> engines_;
  std::vector<std::unique_ptr<SimulatedChannel>> channels_;
  std::vector<std::unique_ptr<Backend>> backends_;
  tmem_front_attachment attachment_{};
  void* front_memory_ = nullptr;
};

// One operation in flight, with what its answer must be.
struct Flight {
  tmem_front_op op;
  Page page;
  uint64_t tag = 0;  // of the page: a put's, or the one that a get expects; 0: nothing is there
  // Get: what the handle became while the get was under way. A get that is served again after a crash may see that: the put
  // or flush behind it had been served already, and neither was answered when the other was submitted.
  std::vector<uint64_t> later;
  bool done = false;
};

class StackTest : public testing::TestWithParam<Geometry> {
 protected:
  void walk(uint32_t crash_once_in) {
    seed_ = test::seed_or(std::random_device{}());
    printf("TMEM_SEED=%llu\n", static_cast<unsigned long long>(seed_));
    random_.seed(seed_);
    may_crash_ = crash_once_in != 0;
    make_pool();
    constexpr uint64_t kStepsMin = 20000;  // fewer do not fill what is to become full
    const uint64_t steps = std::max(kStepsMin, test::rounds_or("TMEM_MODEL_OPS", 100000));
    for (uint64_t i = 0; i < steps && !HasFailure(); ++i) {
      const uint64_t dice = random_() % 100;
      if (dice < 50) submit();
      else if (dice < 75) stack_.drain(shard(), 1 + static_cast<uint32_t>(random_() % 20));
      else if (dice < 98) tmem_front_poll(&stack_.front, shard());
      else stack_.step();
      if (crash_once_in != 0 && random_() % crash_once_in == 0) stack_.crash(random_);
      collect();
    }
    stack_.settle();
    collect();
    EXPECT_TRUE(flights_.empty());
    verify_all();
    stack_.check();
    tmem_front_stats stats;
    tmem_front_read_stats(&stack_.front, &stats);
    EXPECT_EQ(stats.put_lost, 0u) << "a put that was done for its caller was refused";
    EXPECT_GT(stats.put_credited, 0u);
    EXPECT_GT(gets_hit_, 0u);
    EXPECT_EQ(may_refuse(), !refused_.empty()) << "the cramped geometries, and only they, are full";
  }

  uint32_t shard() { return static_cast<uint32_t>(random_() % GetParam().shards); }

  void make_pool() {
    Flight flight{};
    tmem_front_op_new_pool(&flight.op, 1, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT), nullptr);
    flight.op.done = [](tmem_front_op* op) { static_cast<Flight*>(op->context)->done = true; };
    flight.op.context = &flight;
    tmem_front_submit(&stack_.front, &flight.op);
    stack_.settle();
    ASSERT_TRUE(flight.done);
    ASSERT_EQ(flight.op.status, uint32_t{TMEMIF_OK});
  }

  Flight& start(tmemif_op kind, uint32_t object, uint32_t index) {
    Flight& flight = flights_.emplace_back();
    const tmem_front_handle handle{1, index, {object, 0, 1}};
    tmem_front_op_page(&flight.op, kind, &handle, kind == TMEMIF_OP_FLUSH_PAGE ? nullptr : flight.page.data());
    flight.op.done = [](tmem_front_op* op) { static_cast<Flight*>(op->context)->done = true; };
    flight.op.context = &flight;
    return flight;
  }

  void submit() {
    if (flights_.size() > 200) return;
    const auto object = static_cast<uint32_t>(random_() % GetParam().objects);
    const auto index = static_cast<uint32_t>(random_() % 256);
    const uint64_t dice = random_() % 10;
    uint64_t& tag = model_[{object, index}];
    if (dice < 5) {
      tag = ++last_tag_;
      becomes(object, index, tag);
      Flight& flight = start(TMEMIF_OP_PUT, object, index);
      flight.tag = tag;
      fill(flight.page, tag);
      tmem_front_submit(&stack_.front, &flight.op);
    } else if (dice < 8) {
      Flight& flight = start(TMEMIF_OP_GET, object, index);
      flight.tag = tag;
      tmem_front_submit(&stack_.front, &flight.op);
    } else {
      tag = 0;
      becomes(object, index, tag);
      tmem_front_submit(&stack_.front, &start(TMEMIF_OP_FLUSH_PAGE, object, index).op);
    }
  }

  void becomes(uint32_t object, uint32_t index, uint64_t tag) {
    for (Flight& flight : flights_) {
      const tmemif_request& r = flight.op.request;
      if (may_crash_ && r.op == TMEMIF_OP_GET && r.object[0] == object && r.index == index) flight.later.push_back(tag);
    }
  }

  void collect() {
    while (!flights_.empty() && flights_.front().done) {
      judge(flights_.front());
      flights_.pop_front();
    }
  }

  void judge(Flight& flight) {
    const uint32_t status = flight.op.status;
    switch (flight.op.request.op) {
      case TMEMIF_OP_PUT:
        EXPECT_TRUE(status == TMEMIF_OK || refusal(status)) << status;
        if (status != TMEMIF_OK) refused_.insert(flight.tag);
        break;
      case TMEMIF_OP_FLUSH_PAGE: EXPECT_TRUE(status == TMEMIF_OK || status == TMEMIF_MISS) << status; break;
      case TMEMIF_OP_GET:
        if (status == TMEMIF_MISS && may_miss(flight)) break;
        flight.later.push_back(flight.tag);
        EXPECT_EQ(status, uint32_t{TMEMIF_OK});
        EXPECT_TRUE(std::ranges::any_of(flight.later, [&](uint64_t tag) {
          Page right;
          fill(right, tag);
          return tag != 0 && right == flight.page;
        })) << "wrong bytes, or a page where none can be";
        ++gets_hit_;
    }
  }
  // Nothing is there, or only what was told to be refused; a get that was served again may come behind such a refusal.
  bool may_miss(const Flight& get) const {
    const bool absent = get.tag == 0 || refused_.contains(get.tag);
    return absent || std::ranges::count(get.later, 0u) > 0 || (may_refuse() && !get.later.empty());
  }
  bool may_refuse() const { return GetParam().segments < 64; }
  bool refusal(uint32_t status) const {
    return may_refuse() && (status == TMEMIF_NO_SPACE || status == TMEMIF_PUT_FLUSHED);
  }

  void verify_all() {
    for (const auto& [where, tag] : model_) {
      Flight& flight = start(TMEMIF_OP_GET, where.first, where.second);
      flight.tag = tag;
      tmem_front_submit(&stack_.front, &flight.op);
      stack_.settle();
      collect();
    }
  }

  Stack stack_{GetParam()};
  uint64_t seed_ = 0;
  std::mt19937_64 random_;
  std::deque<Flight> flights_;
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> model_;
  std::set<uint64_t> refused_;  // tags of puts whose caller was told so: every other one must be there
  uint64_t last_tag_ = 0;
  uint64_t gets_hit_ = 0;
  bool may_crash_ = false;
};

TEST_P(StackTest, EveryPageComesBackAsItWasPutLast) { walk(0); }
TEST_P(StackTest, NothingIsLostWhenTheServiceDiesBeforeItPublished) { walk(300); }

INSTANTIATE_TEST_SUITE_P(Geometries, StackTest,
                         testing::Values(Geometry{2, TMEMIF_RING_ORDER_DEFAULT, 64, 8}, Geometry{1, TMEMIF_RING_ORDER_MIN, 8, 8},
                                         Geometry{1, TMEMIF_RING_ORDER_DEFAULT, 12, 12}),
                         [](const auto& p) { return p.param.segments == 64 ? "Normal" : p.param.segments == 8 ? "Cramped" : "Full"; });

}  // namespace
}  // namespace tmem
