// SPDX-License-Identifier: MIT
#include "transport/backend.h"

#include <algorithm>
#include <cstring>

#include "tmem/failpoint.h"

namespace tmem {

namespace {

// What each op may carry. Everything not named here is zero (the slot: TMEMIF_NO_SLOT), or the request is malformed.
struct OpRule {
  bool known = false;
  uint8_t flags = 0;
  bool slot = false, pool = false, object = false, index = false, pool_flags = false, uuid = false;
};

constexpr auto kRules = [] {
  std::array<OpRule, TMEMIF_OP_MAX + 1> rule{};
  rule[TMEMIF_OP_QUERY] = {.known = true, .slot = true};
  rule[TMEMIF_OP_NEW_POOL] = {.known = true, .pool = true, .pool_flags = true};
  rule[TMEMIF_OP_DESTROY_POOL] = {.known = true, .pool = true};
  rule[TMEMIF_OP_PUT] = {.known = true, .flags = TMEMIF_REQUEST_CREDIT | TMEMIF_REQUEST_SAME_FILLED,
                         .slot = true, .pool = true, .object = true, .index = true};
  rule[TMEMIF_OP_GET] = {.known = true, .slot = true, .pool = true, .object = true, .index = true};
  rule[TMEMIF_OP_FLUSH_PAGE] = {.known = true, .pool = true, .object = true, .index = true};
  rule[TMEMIF_OP_FLUSH_OBJECT] = {.known = true, .pool = true, .object = true};
  rule[TMEMIF_OP_JOIN_POOL] = {.known = true, .pool = true, .pool_flags = true, .uuid = true};
  rule[TMEMIF_OP_LEAVE_POOL] = {.known = true, .pool = true};
  return rule;
}();

constexpr tmemif_status translate(Status status) {
  switch (status) {
    case Status::kOk: return TMEMIF_OK;
    case Status::kMiss: return TMEMIF_MISS;
    case Status::kNoSpace: return TMEMIF_NO_SPACE;
    case Status::kPutFlushed: return TMEMIF_PUT_FLUSHED;
    case Status::kFrozen: return TMEMIF_FROZEN;
    case Status::kOverCap: return TMEMIF_OVER_CAP;
    case Status::kNoPool: return TMEMIF_NO_POOL;
    case Status::kPoolExists: return TMEMIF_POOL_EXISTS;
    case Status::kNoPoolSlots: return TMEMIF_NO_POOL_SLOTS;
    case Status::kBadVersion: return TMEMIF_BAD_VERSION;
    case Status::kBadPageSize: return TMEMIF_BAD_PAGE_SIZE;
    case Status::kBadFlags: return TMEMIF_BAD_FLAGS;
    case Status::kNotAuthorised: return TMEMIF_NOT_AUTHORISED;
    case Status::kNotAllQueues: return TMEMIF_NOT_ALL_QUEUES;
    case Status::kBadObject: return TMEMIF_BAD_OBJECT;
    case Status::kCorrupt: return TMEMIF_CORRUPT;
    case Status::kNoCredit: return TMEMIF_NO_CREDIT;
    // A client that is being detached has no pools any more.
    case Status::kNoClient: return TMEMIF_NO_POOL;
    // Answers of the control plane and of start-up; a request cannot bring them about.
    case Status::kClientExists:
    case Status::kNoClientSlots:
    case Status::kBadArgument:
    case Status::kBadArena: return TMEMIF_BAD_REQUEST;
  }
  return TMEMIF_BAD_REQUEST;
}

// Every status of the ABI up to NO_CREDIT, except BAD_REQUEST, is the image of the Status of the same name: a table that
// lost a line would have a hole here.
constexpr bool covers_the_abi() {
  uint32_t seen = uint32_t{1} << TMEMIF_BAD_REQUEST;
  for (unsigned s = 0; s <= static_cast<unsigned>(Status::kNoCredit); ++s) {
    const tmemif_status to = translate(static_cast<Status>(s));
    if (to > TMEMIF_STATUS_MAX || (seen & (uint32_t{1} << to))) return false;
    seen |= uint32_t{1} << to;
  }
  return seen == (uint32_t{1} << (TMEMIF_STATUS_MAX + 1)) - 1;
}
static_assert(kAbiVersion == TMEMIF_VERSION && kPoolVersionShift == TMEMIF_POOL_VERSION_SHIFT);
static_assert(kPoolPersistent == TMEMIF_POOL_PERSISTENT && kPoolShared == TMEMIF_POOL_SHARED &&
              kPoolPrecompressed == TMEMIF_POOL_PRECOMPRESSED && kPoolPageMask == TMEMIF_POOL_PAGE_MASK &&
              kPoolReserved == TMEMIF_POOL_RESERVED && pool_flags(kPoolShared) == TMEMIF_POOL_FLAGS(TMEMIF_POOL_SHARED));
static_assert(covers_the_abi());
static_assert(translate(Status::kOk) == TMEMIF_OK && TMEMIF_OK == 0);
static_assert(static_cast<unsigned>(Status::kBadArena) + 1 == kStatusCount, "a new Status needs a line in translate()");

Handle handle_of(const tmemif_request& r) {
  return {PoolId(r.pool), ObjectId{{r.object[0], r.object[1], r.object[2]}}, PageIndex(r.index)};
}

Uuid uuid_of(const tmemif_request& r) {
  Uuid uuid;
  static_assert(sizeof(uuid.byte) == sizeof(r.value));
  std::memcpy(uuid.byte.data(), r.value, sizeof(r.value));
  return uuid;
}

void count(RefusalStats& refused, uint16_t status) {
  switch (status) {
    case TMEMIF_NO_POOL: ++refused.no_pool; break;
    case TMEMIF_POOL_EXISTS: ++refused.pool_exists; break;
    case TMEMIF_NO_POOL_SLOTS: ++refused.no_pool_slots; break;
    case TMEMIF_BAD_VERSION: ++refused.bad_version; break;
    case TMEMIF_BAD_PAGE_SIZE: ++refused.bad_page_size; break;
    case TMEMIF_BAD_FLAGS: ++refused.bad_flags; break;
    case TMEMIF_NOT_AUTHORISED: ++refused.not_authorised; break;
    case TMEMIF_NOT_ALL_QUEUES: ++refused.not_all_queues; break;
    case TMEMIF_BAD_OBJECT: ++refused.bad_object; break;
    case TMEMIF_NO_CREDIT: ++refused.no_credit; break;
    default: break;  // done, or counted elsewhere
  }
}

// The front wrote these lines last: fetching them takes longer than looking at one request, and less time than compressing a
// page. Into the second level: the first is the compressor's.
void prefetch_page(const std::byte* page) {
  for (size_t line = 0; line < kPageBytes; line += 64) __builtin_prefetch(page + line, 0, 2);
}

}  // namespace

tmemif_status abi_status(Status status) { return translate(status); }

bool well_formed(const tmemif_request& r, uint32_t slots) {
  if (r.op > TMEMIF_OP_MAX || !kRules[r.op].known) return false;
  const OpRule& rule = kRules[r.op];
  if ((r.flags & ~rule.flags) != 0 || r.reserved != 0) return false;
  const bool same_filled = (r.flags & TMEMIF_REQUEST_SAME_FILLED) != 0;
  const bool has_slot = rule.slot && !same_filled;
  if (has_slot ? r.slot >= slots : r.slot != TMEMIF_NO_SLOT) return false;
  if (!rule.pool && r.pool != 0) return false;
  if (!rule.object && (r.object[0] | r.object[1] | r.object[2]) != 0) return false;
  if (!rule.index && r.index != 0) return false;
  if (!rule.pool_flags && r.pool_flags != 0) return false;
  if (!rule.uuid && !same_filled && r.value[0] != 0) return false;
  return rule.uuid || r.value[1] == 0;
}

Backend::Backend(Channel& channel, Engine& engine, uint32_t shards, RingState state)
    : channel_(channel), engine_(engine), shards_(shards) {
  // Room that was kept for a client which was away, or what a living ring says that its front was told. A new ring says
  // nothing: its front could write there what it liked, and credits are beyond cap and freeze.
  const uint32_t kept = engine_.revoke_credits(channel_.client());
  const uint32_t said =
      tmem_ring_back_init(&ring_, tmem_ring_at(channel_.queue_memory(), channel_.ring_order()));
  const uint32_t told = state == RingState::kLiving ? said : 0;
  const uint32_t owed = std::min(std::max(told, kept), kCreditsPerQueueMax);
  credits_ = owed == 0 ? 0 : engine_.top_up_credits(channel_.client(), owed);
  stats_.credits_not_kept = owed - std::min(owed, credits_);
  // Of a new ring only the front knows how many of its puts come again.
  replays_left_ = state == RingState::kNew && kept > 0 ? kCreditsPerQueueMax : static_cast<uint32_t>(stats_.credits_not_kept);
  channel_.notify();
}

Backend::~Backend() { engine_.revoke_credits(channel_.client()); }

Backend::Progress Backend::drain(uint32_t requests_max) {
  const uint32_t pending = tmem_ring_back_pending(&ring_);
  if (pending == 0) return Progress::kIdle;
  if (pending == TMEM_RING_BROKEN) return Progress::kBroken;

  // One less than a ring: the last published response, which tells a later backend the credits, is not written over before
  // this batch is published.
  uint32_t count = std::min({pending, requests_max, kDrainRequestsMax, ring_.shared.entries - 1});
  for (uint32_t i = 0; i < count; ++i) batch_[i] = tmem_ring_back_take(&ring_);
  const uint64_t work_before = engine_.work_done();
  prefetch_slot(batch_[0]);
  for (uint32_t i = 0; i < count; ++i) {
    if (i + 1 < count) prefetch(batch_[i + 1]);
    const tmemif_response response = handle(batch_[i]);
    failpoint("request-handled");
    tmem_ring_back_answer(&ring_, &response);
    failpoint("response-written");
    // A page takes microseconds: a front that polls shall have its answer now. Small answers are shown together.
    if (batch_[i].slot != TMEMIF_NO_SLOT) tmem_ring_back_expose(&ring_);
    if (engine_.work_done() - work_before < kDrainWorkMax) continue;
    tmem_ring_back_untake(&ring_, count - i - 1);
    count = i + 1;
  }
  const bool wanted = tmem_ring_back_publish(&ring_) != 0;
  failpoint("responses-published");
  if (wanted) {
    ++stats_.doorbells_sent;
    channel_.notify();
  } else {
    ++stats_.doorbells_saved;
  }
  return Progress::kWorked;
}

bool Backend::arm() { return tmem_ring_back_arm(&ring_) == 0; }

// What the request behind the one in hand will touch.
void Backend::prefetch(const tmemif_request& r) const {
  if (r.op < TMEMIF_OP_PUT || r.op > TMEMIF_OP_FLUSH_PAGE) return;
  engine_.prefetch(channel_.client(), handle_of(r));
  prefetch_slot(r);
}

void Backend::prefetch_slot(const tmemif_request& r) const {
  if (r.slot >= ring_.shared.entries) return;
  if (r.op == TMEMIF_OP_PUT) prefetch_page(slot(r));
  if (r.op == TMEMIF_OP_GET) tmem_ring_prefetch_slot(slot(r));
}

tmemif_response Backend::handle(const tmemif_request& r) {
  tmemif_response response{};
  response.id = r.id;
  ++stats_.requests;
  if (well_formed(r, ring_.shared.entries)) {
    response.status = static_cast<uint16_t>(dispatch(r, response));
    if (response.status > TMEMIF_OVER_CAP) count(stats_.refused, response.status);
  } else {
    ++stats_.requests_malformed;
    response.status = TMEMIF_BAD_REQUEST;
  }
  response.credits_unspent = static_cast<uint8_t>(credits_);
  return response;
}

tmemif_status Backend::dispatch(const tmemif_request& r, tmemif_response& response) {
  const ClientId client = channel_.client();
  switch (r.op) {
    case TMEMIF_OP_QUERY: return query(r);
    case TMEMIF_OP_PUT: return translate(put(r));
    case TMEMIF_OP_GET: return get(r, response);
    case TMEMIF_OP_FLUSH_PAGE: return translate(engine_.flush_page(client, handle_of(r)));
    case TMEMIF_OP_FLUSH_OBJECT: return translate(engine_.flush_object(client, PoolId(r.pool), handle_of(r).object));
    case TMEMIF_OP_NEW_POOL: return translate(engine_.new_pool(client, PoolId(r.pool), r.pool_flags));
    case TMEMIF_OP_DESTROY_POOL: return translate(engine_.destroy_pool(client, PoolId(r.pool)));
    case TMEMIF_OP_JOIN_POOL: return translate(engine_.join_pool(client, PoolId(r.pool), r.pool_flags, uuid_of(r)));
    case TMEMIF_OP_LEAVE_POOL: return translate(engine_.leave_pool(client, PoolId(r.pool)));
  }
  return TMEMIF_BAD_REQUEST;
}

tmemif_status Backend::query(const tmemif_request& r) {
  const tmemif_capabilities capabilities{
      .version = TMEMIF_VERSION,
      .features = TMEMIF_FEATURE_EPHEMERAL | TMEMIF_FEATURE_PERSISTENT | TMEMIF_FEATURE_SHARED |
                  TMEMIF_FEATURE_CREDITS | TMEMIF_FEATURE_SAME_FILLED,
      .shards = shards_,
      .pools_max = kPoolsPerClientMax,
      .credits_max = kCreditsPerQueueMax,
      .reserved = {},
  };
  std::memset(slot(r), 0, kPageBytes);
  std::memcpy(slot(r), &capabilities, sizeof(capabilities));
  return TMEMIF_OK;
}

Status Backend::put(const tmemif_request& r) {
  const bool credit = (r.flags & TMEMIF_REQUEST_CREDIT) != 0;
  if ((r.flags & TMEMIF_REQUEST_SAME_FILLED) == 0) std::memcpy(page_, slot(r), kPageBytes);
  Status status = Status::kNoCredit;
  if (credit && replays_left_ > 0) {
    // The backend before us has stored some of what comes again, and that credit is spent: it finds its own place. What does
    // not has a credit.
    --replays_left_;
    status = put_page(r, false);
  }
  if (!credit || status != Status::kOk) status = put_page(r, credit && credits_ > 0);
  // None was left: it is stored if there is room without one, and refused by a name of its own otherwise.
  if (credit && credits_ == 0 && status == Status::kNoSpace) status = Status::kNoCredit;
  if (credit || credits_ < kCreditsPerQueueMax) credits_ = engine_.grant_credits(channel_.client(), kCreditsPerQueueMax);
  return status;
}

Status Backend::put_page(const tmemif_request& r, bool credit) {
  if (r.flags & TMEMIF_REQUEST_SAME_FILLED)
    return engine_.put(channel_.client(), handle_of(r), SameFilled{r.value[0]}, credit);
  return engine_.put(channel_.client(), handle_of(r), PageView(page_), credit);
}

// The page is made in the slot itself, though its owner may write there meanwhile. That is safe: what a decoder reads back
// from its output are bytes to repeat, never lengths or offsets (those come from the record, which is ours), so that a
// front which writes into its own slot changes what it gets and nothing else. The record is checked before, not the slot.
tmemif_status Backend::get(const tmemif_request& r, tmemif_response& response) {
  const Result<GetAnswer> answer = engine_.get(channel_.client(), handle_of(r), PageBuffer(slot(r), kPageBytes));
  if (!answer) return translate(answer.status());
  if (answer.value().same_filled) {
    response.flags = TMEMIF_RESPONSE_SAME_FILLED;
    response.value = answer.value().word;
  }
  return TMEMIF_OK;
}

std::byte* Backend::slot(const tmemif_request& r) const {
  // Checked already; the mask keeps a mispredicted branch from reading beyond the queue.
  const uint32_t number = r.slot & (ring_.shared.entries - 1);
  return static_cast<std::byte*>(tmem_ring_slot(channel_.queue_memory(), channel_.ring_order(), number));
}

}  // namespace tmem
