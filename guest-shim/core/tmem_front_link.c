// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The front's connections: init, attach, lost, close, and what is carried from one to the next.
 *
 * What was in flight moves to the end of replay[] when a connection is lost, and from there into the next ring. As much fits
 * there as the ring has entries, and what moves back after a second loss came out of it before; so it never overflows.
 * Slots keep their numbers over connections, so that the same memory can be attached again.
 *
 * Thread rule: the owner makes these calls one at a time; tmem_front_break() comes from any thread. front->lock orders them.
 */
#include "tmem_front_core.h"

#define CACHE_LINE 64u

static size_t aligned(size_t bytes)
{
	return (bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
}

/* The parts of the memory that init is given, in this order; all are multiples of a cache line. */
static size_t queues_bytes(const struct tmem_front_config *config)
{
	return aligned(config->queues_max * sizeof(struct tmem_front_queue));
}

static size_t pools_bytes(const struct tmem_front_config *config)
{
	return aligned(config->pools_max * sizeof(struct tmem_front_pool));
}

static size_t shadows_bytes(const struct tmem_front_config *config)
{
	return aligned(sizeof(struct tmem_front_shadow) << config->ring_order_max);
}

static size_t slots_bytes(const struct tmem_front_config *config)
{
	return aligned(sizeof(uint16_t) << config->ring_order_max);
}

/**
 * tmem_front_memory_bytes() - how much memory the front's private tables take
 * @config: as for init
 *
 * Return: bytes; the memory must be aligned to 64.
 */
size_t tmem_front_memory_bytes(const struct tmem_front_config *config)
{
	return queues_bytes(config) + pools_bytes(config) +
	       config->queues_max * (2 * shadows_bytes(config) + slots_bytes(config));
}

/* The replay list is empty when replay_next is at the end of the ring's length; before the first attach there is no ring. */
static void init_queue(struct tmem_front_queue *q)
{
	tmem_os_lock_init(&q->lock);
	tmem_os_event_init(&q->event);
	q->state = TMEM_FRONT_STATE_CLOSED;
	q->backlog_end = &q->backlog;
	q->completed_end = &q->completed;
}

/**
 * tmem_front_init() - make a front, CLOSED
 * @front: to initialise
 * @config: copied
 * @memory: tmem_front_memory_bytes() bytes, aligned to 64; borrowed for the front's life
 */
void tmem_front_init(struct tmem_front *front, const struct tmem_front_config *config, void *memory)
{
	char *at = memory;
	uint32_t i;

	memset(memory, 0, tmem_front_memory_bytes(config));
	memset(front, 0, sizeof(*front));
	tmem_os_lock_init(&front->lock);
	front->config = *config;
	front->state = TMEM_FRONT_STATE_CLOSED;
	front->queue = (void *)at;
	at += queues_bytes(config);
	front->pools = (void *)at;
	at += pools_bytes(config);
	for (i = 0; i < config->queues_max; i++) {
		struct tmem_front_queue *q = &front->queue[i];

		init_queue(q);
		q->shadows = (void *)at;
		at += shadows_bytes(config);
		q->replay = (void *)at;
		at += shadows_bytes(config);
		q->slots = (void *)at;
		at += slots_bytes(config);
	}
}

/* ---- attach ---- */

/* Pages on their way to the service come along; slots that wait for an answer have nothing in them yet. */
static void carry_slots(struct tmem_front_queue *q, void *memory)
{
	uint32_t i;

	for (i = q->replay_next; i < tmem_front_entries(q); i++) {
		const struct tmemif_request *request = &q->replay[i].request;

		if (request->op == TMEMIF_OP_PUT && request->slot != TMEMIF_NO_SLOT)
			memcpy(tmem_ring_slot(memory, q->order, request->slot),
			       tmem_ring_slot(q->memory, q->order, request->slot), TMEMIF_PAGE_BYTES);
	}
}

static void start_anew(struct tmem_front_queue *q, uint32_t order)
{
	uint32_t entries = 1u << order;

	q->order = order;
	q->replay_next = entries;
	for (q->slots_free = 0; q->slots_free < entries; q->slots_free++)
		q->slots[q->slots_free] = (uint16_t)(entries - 1 - q->slots_free);
}

static void attach_queue(struct tmem_front *front, struct tmem_front_queue *q, uint32_t order, void *memory)
{
	bool doorbell;

	tmem_os_acquire(&q->lock);
	if (q->state == TMEM_FRONT_STATE_CLOSED)
		start_anew(q, order);
	else if (q->memory != memory)
		carry_slots(q, memory);
	q->memory = memory;
	tmem_ring_front_init(&q->ring, tmem_ring_at(memory, order));
	q->remake_next = 0;
	tmem_store_once(&q->credits, 0);
	q->credited = 0;
	q->awaited = 0;
	q->armed = false;
	/* another queue may have found the service lying already */
	q->state = tmem_load_once(&front->state);
	doorbell = tmem_front_serve_locked(front, q);
	q->wake = true; /* who slept through the reconnection takes up waiting on the new doorbell */
	tmem_front_settle(front, q, doorbell);
}

/* What the service has lost, the front no longer counts on. */
static void forget_persistent(struct tmem_front *front)
{
	uint32_t i;

	for (i = 0; i < front->config.pools_max; i++)
		if (front->pools[i].flags & TMEMIF_POOL_PERSISTENT)
			tmem_store_once(&front->pools[i].flags, 0);
	tmem_store_once(&front->losses, front->losses + 1);
	if (front->config.ops->forgotten)
		front->config.ops->forgotten(front->config.owner);
}

/**
 * tmem_front_attach() - take up a connection
 * @front: CLOSED or RECONNECTING
 * @attachment: from the handshake; its memory is borrowed until the next attach or close has returned
 *
 * On return the memory of the connection before is no longer used.
 *
 * Context: does not sleep; may call done().
 * Return: 0; -EINVAL when the geometry is out of bounds or not that of the lost connection (then the owner tries again or
 * closes); -EBUSY when CONNECTED; -EIO when BROKEN.
 */
int tmem_front_attach(struct tmem_front *front, const struct tmem_front_attachment *attachment)
{
	const struct tmem_front_config *config = &front->config;
	uint32_t order = attachment->ring_order;
	int error = 0;
	uint32_t i;

	if (!attachment->queues || attachment->queues > config->queues_max || order < TMEMIF_RING_ORDER_MIN ||
	    order > config->ring_order_max)
		return -EINVAL;
	tmem_os_acquire(&front->lock);
	if (front->state == TMEM_FRONT_STATE_BROKEN)
		error = -EIO;
	else if (front->state == TMEM_FRONT_STATE_CONNECTED)
		error = -EBUSY;
	else if (front->state == TMEM_FRONT_STATE_RECONNECTING &&
		 (attachment->queues != front->queues || order != front->queue[0].order))
		error = -EINVAL;
	if (!error) {
		if (front->state == TMEM_FRONT_STATE_RECONNECTING && !attachment->resumed)
			forget_persistent(front);
		tmem_store_once(&front->queues, attachment->queues);
		tmem_store_once(&front->state, TMEM_FRONT_STATE_CONNECTED);
	}
	tmem_os_release(&front->lock);
	for (i = 0; !error && i < attachment->queues; i++)
		attach_queue(front, &front->queue[i], order, attachment->memory[i]);
	return error;
}

/* ---- lost ---- */

/* What a new service must be told, of what the old one was told. False: nothing. */
static bool make_replayable(struct tmem_front *front, struct tmem_front_queue *q, struct tmem_front_shadow *shadow)
{
	struct tmemif_request *request = &shadow->request;

	if (request->op == TMEMIF_OP_PUT) {
		if (!(tmem_load_once(&front->pools[request->pool].flags) & TMEMIF_POOL_SHARED))
			return true;
		if (request->slot != TMEMIF_NO_SLOT)
			q->slots[q->slots_free++] = request->slot;
		request->op = TMEMIF_OP_FLUSH_PAGE;
		request->flags = 0;
		request->slot = TMEMIF_NO_SLOT;
		request->value[0] = 0;
		return true;
	}
	return shadow->op || request->op == TMEMIF_OP_FLUSH_PAGE; /* else a pool made again: comes anyway */
}

static void lose_queue(struct tmem_front *front, struct tmem_front_queue *q)
{
	uint32_t position;

	tmem_os_acquire(&q->lock);
	tmem_front_consume_locked(front, q); /* its last answers count */
	if (q->state == TMEM_FRONT_STATE_CONNECTED) {
		for (position = q->ring.request_prod; position != q->ring.response_cons; position--) {
			struct tmem_front_shadow *shadow = tmem_front_shadow_at(q, position - 1);

			if (make_replayable(front, q, shadow))
				q->replay[--q->replay_next] = *shadow;
		}
		q->ring.response_cons = q->ring.request_prod;
		q->state = TMEM_FRONT_STATE_RECONNECTING;
		q->stats.connections_lost++;
	}
	tmem_front_settle(front, q, false);
}

/**
 * tmem_front_lost() - the connection is gone
 * @front: CONNECTED; in any other state nothing happens
 *
 * From now on callers wait, until attach or close.
 */
void tmem_front_lost(struct tmem_front *front)
{
	bool connected;
	uint32_t i;

	tmem_os_acquire(&front->lock);
	connected = front->state == TMEM_FRONT_STATE_CONNECTED;
	if (connected)
		tmem_store_once(&front->state, TMEM_FRONT_STATE_RECONNECTING);
	tmem_os_release(&front->lock);
	for (i = 0; connected && i < front->queues; i++)
		lose_queue(front, &front->queue[i]);
}

/* ---- the end ---- */

static void fail_shadow(struct tmem_front_queue *q, struct tmem_front_shadow *shadow)
{
	if (shadow->op)
		tmem_front_complete_locked(q, shadow->op, TMEM_FRONT_CLOSED);
	else if (shadow->request.op == TMEMIF_OP_PUT)
		q->stats.put_lost++;
	shadow->op = NULL;
}

static void end_queue(struct tmem_front *front, struct tmem_front_queue *q, uint32_t state)
{
	struct tmem_front_op *op;

	tmem_os_acquire(&q->lock);
	if (tmem_load_once(&front->state) != state) {
		/* broken, and meanwhile closed by the owner, who has ended this queue or will */
		tmem_os_release(&q->lock);
		return;
	}
	if (q->state != TMEM_FRONT_STATE_CLOSED && q->memory) {
		for (; q->ring.response_cons != q->ring.request_prod; q->ring.response_cons++)
			fail_shadow(q, tmem_front_shadow_at(q, q->ring.response_cons));
		for (; q->replay_next < tmem_front_entries(q); q->replay_next++)
			fail_shadow(q, &q->replay[q->replay_next]);
	}
	while ((op = tmem_front_pop(&q->backlog, &q->backlog_end)))
		tmem_front_complete_locked(q, op, TMEM_FRONT_CLOSED);
	q->state = state;
	q->memory = NULL;
	q->wake = true;
	tmem_front_settle(front, q, false);
}

static bool end(struct tmem_front *front, uint32_t state)
{
	bool first;
	uint32_t i;

	tmem_os_acquire(&front->lock);
	first = front->state != state && (state == TMEM_FRONT_STATE_CLOSED || front->state != TMEM_FRONT_STATE_CLOSED);
	if (first)
		tmem_store_once(&front->state, state);
	for (i = 0; first && state == TMEM_FRONT_STATE_CLOSED && i < front->config.pools_max; i++)
		tmem_store_once(&front->pools[i].flags, 0);
	tmem_os_release(&front->lock);
	for (i = 0; first && i < front->queues; i++)
		end_queue(front, &front->queue[i], state);
	return first;
}

void tmem_front_break(struct tmem_front *front)
{
	if (!end(front, TMEM_FRONT_STATE_BROKEN))
		return;
	tmem_os_warn("the service sent an impossible response and is given up");
	if (front->config.ops->broken)
		front->config.ops->broken(front->config.owner);
}

/**
 * tmem_front_close() - end the connection for good
 * @front: in any state
 *
 * Everything that is in flight or waits completes with TMEM_FRONT_CLOSED, credited puts that were not answered are lost, all
 * pools are forgotten. On return no shared memory is used any more. A later attach starts a new life.
 */
void tmem_front_close(struct tmem_front *front)
{
	end(front, TMEM_FRONT_STATE_CLOSED);
}

void tmem_front_note_pool(struct tmem_front *front, const struct tmem_front_op *op)
{
	const struct tmemif_request *request = &op->request;
	struct tmem_front_pool *pool = &front->pools[request->pool];
	bool made = request->op == TMEMIF_OP_NEW_POOL || request->op == TMEMIF_OP_JOIN_POOL;

	if (request->pool >= front->config.pools_max || request->op == TMEMIF_OP_FLUSH_OBJECT ||
	    op->status == TMEM_FRONT_CLOSED)
		return;
	tmem_os_acquire(&front->lock);
	if (made && op->status == TMEMIF_OK) {
		memcpy(pool->uuid, request->value, sizeof(pool->uuid));
		tmem_store_release(&pool->flags, request->pool_flags);
	} else if (!made) {
		tmem_store_once(&pool->flags, 0);
	}
	tmem_os_release(&front->lock);
}

/**
 * tmem_front_read_state() - for people and for owners that were not listening
 * @front: the front
 *
 * Return: the state of this moment.
 */
enum tmem_front_state tmem_front_read_state(struct tmem_front *front)
{
	return (enum tmem_front_state)tmem_load_once(&front->state);
}

/**
 * tmem_front_read_stats() - the sum over all queues
 * @front: the front
 * @stats: to fill
 */
void tmem_front_read_stats(struct tmem_front *front, struct tmem_front_stats *stats)
{
	uint64_t *sum = (uint64_t *)stats;
	size_t i, queue;

	memset(stats, 0, sizeof(*stats));
	for (queue = 0; queue < front->config.queues_max; queue++) {
		struct tmem_front_queue *q = &front->queue[queue];
		const uint64_t *one = (const uint64_t *)&q->stats; /* counters only, and all alike */

		tmem_os_acquire(&q->lock);
		for (i = 0; i < sizeof(*stats) / sizeof(*sum); i++)
			sum[i] += one[i];
		tmem_os_release(&q->lock);
	}
}
