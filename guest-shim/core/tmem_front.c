// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The moving parts of the front: from an op to a request in the ring, and from a response to a completed op.
 * Owns nothing; see tmem_front.h for who does. Here the peer's bytes come in: each response is copied once by
 * tmem_ring_front_take(), checked against the private shadow of its request, and only then used.
 */
#include "tmem_front_core.h"

#define WORDS_PER_PAGE (TMEMIF_PAGE_BYTES / 8u)

#define MAY(status) (1u << TMEMIF_##status)
#define MAY_POOL_FLAGS (MAY(BAD_VERSION) | MAY(BAD_PAGE_SIZE) | MAY(BAD_FLAGS))

/* What the answer to each operation may be. */
static const uint32_t plausible[TMEMIF_OP_MAX + 1] = {
	[TMEMIF_OP_QUERY] = MAY(OK) | MAY(BAD_REQUEST),
	[TMEMIF_OP_NEW_POOL] = MAY(OK) | MAY(NO_SPACE) | MAY(FROZEN) | MAY(NO_POOL) | MAY(POOL_EXISTS) | MAY(NO_POOL_SLOTS) |
			       MAY_POOL_FLAGS | MAY(BAD_REQUEST),
	[TMEMIF_OP_DESTROY_POOL] = MAY(OK) | MAY(NO_POOL) | MAY(BAD_REQUEST),
	[TMEMIF_OP_PUT] = MAY(OK) | MAY(NO_SPACE) | MAY(PUT_FLUSHED) | MAY(FROZEN) | MAY(OVER_CAP) | MAY(NO_POOL) |
			  MAY(BAD_OBJECT) | MAY(BAD_REQUEST) | MAY(NO_CREDIT),
	[TMEMIF_OP_GET] = MAY(OK) | MAY(MISS) | MAY(NO_POOL) | MAY(BAD_OBJECT) | MAY(BAD_REQUEST) | MAY(CORRUPT),
	[TMEMIF_OP_FLUSH_PAGE] = MAY(OK) | MAY(MISS) | MAY(NO_POOL) | MAY(BAD_OBJECT) | MAY(BAD_REQUEST),
	[TMEMIF_OP_FLUSH_OBJECT] = MAY(OK) | MAY(MISS) | MAY(NO_POOL) | MAY(BAD_OBJECT) | MAY(BAD_REQUEST),
	[TMEMIF_OP_JOIN_POOL] = MAY(OK) | MAY(NO_SPACE) | MAY(FROZEN) | MAY(NO_POOL) | MAY(POOL_EXISTS) | MAY(NO_POOL_SLOTS) |
				MAY_POOL_FLAGS | MAY(NOT_AUTHORISED) | MAY(NOT_ALL_QUEUES) | MAY(BAD_REQUEST),
	[TMEMIF_OP_LEAVE_POOL] = MAY(OK) | MAY(NO_POOL) | MAY(BAD_FLAGS) | MAY(BAD_REQUEST),
};

static bool is_plausible(const struct tmemif_request *request, const struct tmemif_response *response)
{
	if (response->status > TMEMIF_STATUS_MAX || !(plausible[request->op] & (1u << response->status)))
		return false;
	if (response->status == TMEMIF_NO_CREDIT && !(request->flags & TMEMIF_REQUEST_CREDIT))
		return false;
	if (response->flags == TMEMIF_RESPONSE_SAME_FILLED)
		return request->op == TMEMIF_OP_GET && response->status == TMEMIF_OK;
	return response->flags == 0 && response->value == 0;
}

/* ---- pages ---- */

/* Almost every page says no in its first words. Eight at a time lets the compiler use what the processor has. */
static bool is_same_filled(const uint64_t *words)
{
	uint64_t first = words[0];
	uint64_t difference = first ^ words[WORDS_PER_PAGE - 1];
	uint32_t i, j;

	for (i = 0; !difference && i < WORDS_PER_PAGE; i += 8)
		for (j = 0; j < 8; j++)
			difference |= words[i + j] ^ first;
	return !difference;
}

/* A page that is one word repeated becomes part of the request, and needs neither slot nor copy. */
static void detect_same_filled(struct tmem_front_op *op)
{
	uint64_t *words = tmem_os_page_map(op->page);
	uint32_t i;

	/* it will be read whole, here or when it is copied, and lies in no cache: all of it is asked for before any is waited for */
	for (i = 0; i < WORDS_PER_PAGE; i += 8)
		__builtin_prefetch(words + i);
	if (is_same_filled(words)) {
		op->request.flags = TMEMIF_REQUEST_SAME_FILLED;
		op->request.value[0] = words[0];
	}
	tmem_os_page_unmap(op->page, words);
}

static void copy_to_slot(const struct tmem_front_queue *q, uint32_t slot, void *page)
{
	void *bytes = tmem_os_page_map(page);

	memcpy(tmem_ring_slot(q->memory, q->order, slot), bytes, TMEMIF_PAGE_BYTES);
	tmem_os_page_unmap(page, bytes);
}

static void answer_to_page(const struct tmem_front_queue *q, const struct tmemif_request *request,
			   const struct tmemif_response *response, void *page)
{
	uint64_t *words = tmem_os_page_map(page);
	uint32_t i;

	if (response->flags & TMEMIF_RESPONSE_SAME_FILLED)
		for (i = 0; i < WORDS_PER_PAGE; i++)
			words[i] = response->value;
	else
		memcpy(words, tmem_ring_slot(q->memory, q->order, request->slot), TMEMIF_PAGE_BYTES);
	tmem_os_page_unmap(page, words);
}

/* Who puts a page soon puts another: into the slot on top of the stack, which the service read last. */
static void prefetch_next_slot(const struct tmem_front_queue *q)
{
	if (q->slots_free)
		tmem_ring_prefetch_slot(tmem_ring_slot(q->memory, q->order, q->slots[q->slots_free - 1]));
}

/* ---- sending ---- */

/* Puts the shadow's request into the ring. There is room. */
static void send_shadow(struct tmem_front_queue *q, struct tmem_front_shadow *shadow)
{
	shadow->request.id = q->ring.request_prod;
	q->awaited += tmem_front_is_awaited(shadow);
	*tmem_ring_front_next(&q->ring) = shadow->request;
}

/* Only a private pool's put may be done before the service has seen it. */
static bool may_use_credit(const struct tmem_front *front, const struct tmem_front_queue *q, uint32_t pool)
{
	uint32_t flags = tmem_load_once(&front->pools[pool].flags);

	return q->credits && flags && !(flags & TMEMIF_POOL_SHARED);
}

static void send_op(struct tmem_front *front, struct tmem_front_queue *q, struct tmem_front_op *op)
{
	struct tmem_front_shadow *shadow = tmem_front_shadow_at(q, q->ring.request_prod);
	struct tmemif_request *request = &shadow->request;
	bool is_put = op->request.op == TMEMIF_OP_PUT;

	*request = op->request;
	shadow->op = op;
	/* as many slots as ring entries, one at most for each request: room in the ring is room here */
	if (request->op == TMEMIF_OP_GET || request->op == TMEMIF_OP_QUERY ||
	    (is_put && !(request->flags & TMEMIF_REQUEST_SAME_FILLED)))
		request->slot = q->slots[--q->slots_free];
	if (is_put && request->slot != TMEMIF_NO_SLOT)
		copy_to_slot(q, request->slot, op->page);
	if (is_put && may_use_credit(front, q, request->pool)) {
		request->flags |= TMEMIF_REQUEST_CREDIT;
		shadow->op = NULL;
		tmem_store_once(&q->credits, q->credits - 1);
		q->credited++;
		q->stats.put_credited++;
	}
	send_shadow(q, shadow);
	if (!shadow->op)
		tmem_front_complete_locked(q, op, TMEMIF_OK);
}

static void send_again(struct tmem_front_queue *q)
{
	struct tmem_front_shadow *shadow = tmem_front_shadow_at(q, q->ring.request_prod);

	*shadow = q->replay[q->replay_next++];
	q->credited += (shadow->request.flags & TMEMIF_REQUEST_CREDIT) != 0;
	send_shadow(q, shadow);
	q->stats.requests_replayed++;
}

/* Ephemeral pools are made again after every reconnection; with their pages still there that changes nothing. */
static void remake_pool(struct tmem_front *front, struct tmem_front_queue *q)
{
	const struct tmem_front_pool *pool = &front->pools[q->remake_next];
	uint32_t flags = tmem_load_acquire(&pool->flags);
	struct tmem_front_shadow *shadow;
	struct tmem_front_op op;

	if (flags && !(flags & TMEMIF_POOL_PERSISTENT)) {
		tmem_front_op_new_pool(&op, q->remake_next, flags, flags & TMEMIF_POOL_SHARED ? pool->uuid : NULL);
		shadow = tmem_front_shadow_at(q, q->ring.request_prod);
		shadow->request = op.request;
		shadow->op = NULL;
		send_shadow(q, shadow);
	}
	q->remake_next++;
}

/* Old things first: pools, then what the last connection left, then what is new. */
static bool more_to_send(const struct tmem_front *front, const struct tmem_front_queue *q)
{
	return q->backlog || q->replay_next < tmem_front_entries(q) || q->remake_next < front->config.pools_max;
}

bool tmem_front_pump_locked(struct tmem_front *front, struct tmem_front_queue *q)
{
	uint64_t credited = q->stats.put_credited;
	bool doorbell;

	if (q->state != TMEM_FRONT_STATE_CONNECTED)
		return false;
	while (tmem_ring_front_room(&q->ring) && more_to_send(front, q)) {
		if (q->remake_next < front->config.pools_max)
			remake_pool(front, q);
		else if (q->replay_next < tmem_front_entries(q))
			send_again(q);
		else
			send_op(front, q, tmem_front_pop(&q->backlog, &q->backlog_end));
	}
	if (q->ring.request_prod == q->ring.request_published)
		return false;
	doorbell = tmem_ring_front_publish(&q->ring);
	q->stats.doorbells_sent += doorbell;
	if (q->stats.put_credited != credited)
		prefetch_next_slot(q);
	return doorbell;
}

/* ---- receiving ---- */

void tmem_front_complete_locked(struct tmem_front_queue *q, struct tmem_front_op *op, uint32_t status)
{
	op->status = status;
	if (op->done || tmem_front_visits_all(&op->request)) {
		tmem_front_append(&q->completed_end, op);
	} else {
		q->wake = true;
		tmem_store_release(&op->finished, 1); /* the last touch: its waiter may return at once */
	}
}

static void count_answer(struct tmem_front_stats *stats, const struct tmem_front_shadow *shadow, uint32_t status)
{
	switch (shadow->request.op) {
	case TMEMIF_OP_PUT:
		stats->put_answered++;
		stats->put_refused += status != TMEMIF_OK;
		stats->put_lost += status != TMEMIF_OK && !shadow->op;
		break;
	case TMEMIF_OP_GET:
		stats->get_hit += status == TMEMIF_OK;
		stats->get_miss += status == TMEMIF_MISS;
		stats->get_failed += status != TMEMIF_OK && status != TMEMIF_MISS;
		break;
	default:
		stats->other_answered++;
	}
}

/* The response at a position of the ring. False: it is not the answer to the request there. */
static bool take_answer(struct tmem_front_queue *q, uint32_t position, const struct tmemif_response *response)
{
	struct tmem_front_shadow *shadow = tmem_front_shadow_at(q, position);
	const struct tmemif_request *request = &shadow->request;
	struct tmem_front_op *op = shadow->op;
	uint32_t status = response->status;

	if (response->id != position || !is_plausible(request, response))
		return false;
	/* the service tells what is left after this request; it has not seen yet what is spent behind it */
	q->credited -= (request->flags & TMEMIF_REQUEST_CREDIT) != 0;
	tmem_store_once(&q->credits, response->credits_unspent > q->credited ? response->credits_unspent - q->credited : 0);
	count_answer(&q->stats, shadow, status);
	if (op && status == TMEMIF_OK && (request->op == TMEMIF_OP_GET || request->op == TMEMIF_OP_QUERY))
		answer_to_page(q, request, response, op->page);
	if (request->slot != TMEMIF_NO_SLOT)
		q->slots[q->slots_free++] = request->slot;
	q->awaited -= tmem_front_is_awaited(shadow);
	if (op) {
		if (op->request.op != request->op)
			status = TMEMIF_NO_SPACE; /* a shared pool's put, replayed as a flush */
		shadow->op = NULL;
		tmem_front_complete_locked(q, op, status);
	}
	return true;
}

void tmem_front_consume_locked(struct tmem_front *front, struct tmem_front_queue *q)
{
	uint64_t answered = q->stats.put_answered;
	uint32_t pending;

	(void)front;
	if (q->state != TMEM_FRONT_STATE_CONNECTED)
		return;
	pending = tmem_ring_front_pending(&q->ring);
	if (pending == TMEM_RING_BROKEN) {
		q->state = TMEM_FRONT_STATE_BROKEN;
		return;
	}
	while (pending--) {
		uint32_t position = q->ring.response_cons;
		struct tmemif_response response = tmem_ring_front_take(&q->ring);

		if (!take_answer(q, position, &response)) {
			q->ring.response_cons = position; /* its op, too, will be told */
			q->state = TMEM_FRONT_STATE_BROKEN;
			return;
		}
		tmem_store_once(&q->answered, q->answered + 1);
	}
	if (q->stats.put_answered != answered)
		prefetch_next_slot(q);
}

bool tmem_front_arm_locked(struct tmem_front_queue *q)
{
	uint32_t in_flight = q->ring.request_published - q->ring.response_cons;
	/* what waits for room waits for half of the ring: the service has the other half to go on with */
	uint32_t limit = q->backlog ? in_flight / 2 : in_flight, after = 1;

	if (q->awaited || q->backlog)
		while (after < limit && !tmem_front_is_awaited(tmem_front_shadow_at(q, q->ring.response_cons + after - 1)))
			after++;
	/* What came before the service could see the wish rings nobody: then none is pending, and the next to send asks again. */
	q->armed = !tmem_ring_front_arm_after(&q->ring, after);
	q->armed_at = q->ring.response_cons;
	return !q->armed;
}

bool tmem_front_serve_locked(struct tmem_front *front, struct tmem_front_queue *q)
{
	bool doorbell = false;

	do {
		tmem_front_consume_locked(front, q);
		doorbell |= tmem_front_pump_locked(front, q);
	} while (!front->config.ops->wait && q->state == TMEM_FRONT_STATE_CONNECTED &&
		 (q->awaited || more_to_send(front, q)) && tmem_front_arm_locked(q));
	return doorbell;
}

/* ---- without the lock ---- */

static bool enqueue(struct tmem_front *front, struct tmem_front_op *op, enum tmem_front_how how);

/* An op that visits all queues was answered by one. Returns whether it goes on; then it has moved to its next queue. */
static bool visit_next(struct tmem_front *front, struct tmem_front_op *op)
{
	bool making = op->request.op == TMEMIF_OP_NEW_POOL || op->request.op == TMEMIF_OP_JOIN_POOL;
	uint32_t queue = op->queue;
	uint32_t losses = tmem_load_once(&front->losses);

	if (op->status == TMEM_FRONT_CLOSED || (making && op->status != TMEMIF_OK))
		return false;
	op->any_ok |= op->status == TMEMIF_OK;
	if (making && op->losses != losses)
		queue = 0; /* the queues visited so far have forgotten */
	else
		queue++;
	op->losses = losses;
	if (queue < tmem_load_once(&front->queues)) {
		tmem_store_once(&op->queue, queue);
		return true;
	}
	if (op->any_ok)
		op->status = TMEMIF_OK;
	return false;
}

static void finish(struct tmem_front *front, struct tmem_front_queue *q, struct tmem_front_op *op)
{
	bool more = false, wake;

	if (tmem_front_visits_all(&op->request)) {
		tmem_os_acquire(&q->lock); /* whoever sleeps on this queue for the op sees it move */
		more = visit_next(front, op);
		wake = q->sleepers;
		tmem_os_release(&q->lock);
		if (more)
			enqueue(front, op, TMEM_FRONT_ASKED);
		else
			tmem_front_note_pool(front, op);
		if (more && wake)
			tmem_os_event_signal(&q->event);
	}
	if (more)
		return;
	if (op->done) {
		op->done(op);
		return;
	}
	tmem_os_acquire(&q->lock);
	tmem_store_release(&op->finished, 1);
	wake = q->sleepers;
	tmem_os_release(&q->lock);
	if (wake)
		tmem_os_event_signal(&q->event);
}

/* One at a time for each queue, so that a done() which submits does not pile up stack. */
static void drain_completed(struct tmem_front *front, struct tmem_front_queue *q)
{
	struct tmem_front_op *op;

	for (;;) {
		tmem_os_acquire(&q->lock);
		op = tmem_front_pop(&q->completed, &q->completed_end);
		q->draining = op != NULL;
		tmem_os_release(&q->lock);
		if (!op)
			return;
		finish(front, q, op);
	}
}

void tmem_front_settle(struct tmem_front *front, struct tmem_front_queue *q, bool doorbell)
{
	bool drain = q->completed && !q->draining;
	bool wake = q->wake && q->sleepers;
	bool broken = q->state == TMEM_FRONT_STATE_BROKEN;

	q->wake = false;
	if (drain)
		q->draining = true;
	tmem_os_release(&q->lock);
	if (doorbell)
		front->config.ops->notify(front->config.owner, (uint32_t)(q - front->queue));
	if (wake)
		tmem_os_event_signal(&q->event);
	if (drain)
		drain_completed(front, q);
	if (broken)
		tmem_front_break(front);
}

/* Returns whether the op was taken. */
static bool enqueue(struct tmem_front *front, struct tmem_front_op *op, enum tmem_front_how how)
{
	struct tmem_front_queue *q = &front->queue[op->queue];
	bool doorbell = false, taken = true;

	tmem_os_acquire(&q->lock);
	if (how == TMEM_FRONT_OR_NOT) {
		tmem_front_consume_locked(front, q);
		doorbell = tmem_front_pump_locked(front, q); /* who waits for room may count on whoever makes some */
	}
	if (how == TMEM_FRONT_OR_NOT && (q->state != TMEM_FRONT_STATE_CONNECTED || more_to_send(front, q) || !tmem_ring_front_room(&q->ring))) {
		taken = false;
	} else if (q->state == TMEM_FRONT_STATE_CLOSED || q->state == TMEM_FRONT_STATE_BROKEN) {
		tmem_front_complete_locked(q, op, TMEM_FRONT_CLOSED);
	} else if (op->request.pool >= front->config.pools_max) {
		tmem_front_complete_locked(q, op, TMEMIF_NO_POOL);
	} else {
		tmem_front_append(&q->backlog_end, op);
		/* responses are a cache miss away: not fetched while there are credits and room without */
		if (!q->credits || tmem_ring_front_room(&q->ring) <= tmem_front_entries(q) / 4)
			tmem_front_consume_locked(front, q);
		doorbell |= tmem_front_pump_locked(front, q);
		/* a sleeper may have been here before its operation, which came from another queue */
		if ((op->done || q->sleepers) && how != TMEM_FRONT_UNASKED && !front->config.ops->wait && !q->armed)
			doorbell |= tmem_front_serve_locked(front, q);
		q->stats.requests_delayed += q->backlog != NULL;
	}
	tmem_front_settle(front, q, doorbell);
	return taken;
}

bool tmem_front_begin(struct tmem_front *front, struct tmem_front_op *op, enum tmem_front_how how)
{
	uint32_t queue = 0;

	op->finished = 0;
	op->any_ok = 0;
	op->losses = tmem_load_once(&front->losses);
	if (op->request.op >= TMEMIF_OP_PUT && op->request.op <= TMEMIF_OP_FLUSH_PAGE)
		queue = tmemif_queue_of(op->request.object, op->request.index, tmem_load_once(&front->queues));
	tmem_store_once(&op->queue, queue);
	if (op->request.op == TMEMIF_OP_PUT)
		detect_same_filled(op);
	return enqueue(front, op, how);
}

/**
 * tmem_front_submit() - begin an operation
 * @front: an initialised front, in any state
 * @op: set up by a tmem_front_op_*() function; @op and its page are the front's until it has completed
 *
 * A page that waits in the backlog is read later: it must not change before completion.
 *
 * Context: any; takes short locks. Calls done() of this and of other operations, but never from inside a done().
 */
void tmem_front_submit(struct tmem_front *front, struct tmem_front_op *op)
{
	tmem_front_begin(front, op, TMEM_FRONT_ASKED);
}

/* The same, if nothing delays it: a put's page is not needed any more on return. False: not begun. */
bool tmem_front_try_submit(struct tmem_front *front, struct tmem_front_op *op)
{
	return tmem_front_begin(front, op, TMEM_FRONT_OR_NOT);
}

/**
 * tmem_front_poll() - complete what has been answered
 * @front: the front
 * @queue: number of the queue
 *
 * Context: any; takes short locks; calls done().
 * Return: number of responses consumed.
 */
uint32_t tmem_front_poll(struct tmem_front *front, uint32_t queue)
{
	struct tmem_front_queue *q = &front->queue[queue];
	uint32_t before, consumed;
	bool doorbell = false;

	tmem_os_acquire(&q->lock);
	before = q->ring.response_cons;
	tmem_front_consume_locked(front, q);
	consumed = q->ring.response_cons - before;
	if (consumed || q->backlog)
		doorbell = tmem_front_pump_locked(front, q);
	tmem_front_settle(front, q, doorbell);
	return consumed;
}
