/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * One queue's ring over the layout of tmemif.h: indexes that only grow (mod 2^32), one producer and one consumer for each
 * direction, doorbells that are asked for by event index. docs/abi.md, "The ring", has the rules and each corner case.
 *
 * Both sides keep their cursors in private memory (struct tmem_ring_front, struct tmem_ring_back) and read of the shared
 * page only the peer's words, each once. What the peer writes is bounded here and meaningless until checked: a producer
 * that is further ahead than the ring is long makes the predicate say TMEM_RING_BROKEN, and the caller gives up the queue.
 *
 * Thread rule: one thread at a time on each side.
 */
#ifndef TMEM_RING_H
#define TMEM_RING_H

#include "tmemif.h"
#include "tmem_barrier.h"

#define TMEM_RING_BROKEN 0xffffffffu

struct tmem_ring_shared {
	struct tmemif_ring_control *control;
	struct tmemif_response *responses;
	struct tmemif_request *requests;
	uint32_t entries; /* 2^order, private: the shared page never says it */
};

/* Where the parts of a queue lie, given its first byte. The memory must hold TMEMIF_QUEUE_PAGES(order) pages. */
static inline struct tmem_ring_shared tmem_ring_at(void *queue, uint32_t order)
{
	struct tmem_ring_shared s;
	char *base = (char *)queue;

	s.control = (struct tmemif_ring_control *)(void *)base;
	s.responses = (struct tmemif_response *)(void *)(base + TMEMIF_RESPONSES_OFFSET);
	s.requests = (struct tmemif_request *)(void *)(base + TMEMIF_PAGE_BYTES);
	s.entries = 1u << order;
	return s;
}

static inline void *tmem_ring_slot(void *queue, uint32_t order, uint32_t slot)
{
	return (char *)queue + (size_t)(TMEMIF_RING_PAGES(order) + slot) * TMEMIF_PAGE_BYTES;
}

/* A slot that the peer touched last and we write next: its lines come together, before the first of them is waited for. */
static inline void tmem_ring_prefetch_slot(const void *slot)
{
	uint32_t at;

	for (at = 0; at < TMEMIF_PAGE_BYTES; at += 64)
		tmem_prefetch_write((const char *)slot + at);
}

/* Did a producer that moved from old_prod to new_prod pass the event index, so that the peer wants the doorbell? */
static inline int tmem_ring_passed(uint32_t event, uint32_t old_prod, uint32_t new_prod)
{
	return (uint32_t)(new_prod - event) < (uint32_t)(new_prod - old_prod);
}

/* ---- front: publishes requests, consumes responses ---- */

struct tmem_ring_front {
	struct tmem_ring_shared shared;
	uint32_t request_prod;      /* next request to fill */
	uint32_t request_published; /* what the peer was told */
	uint32_t response_cons;
};

/* A new ring, before the peer is told of it (or, with a memfd, before the first request): events asked for, no credits. */
static inline void tmem_ring_front_init(struct tmem_ring_front *f, struct tmem_ring_shared shared)
{
	f->shared = shared;
	f->request_prod = 0;
	f->request_published = 0;
	f->response_cons = 0;
	/* a back that takes up this ring reads its credits in the response before response_prod */
	shared.responses[shared.entries - 1u].credits_unspent = 0;
	tmem_store_once(&shared.control->request_event, 1);
	tmem_store_once(&shared.control->response_event, 1);
	tmem_store_once(&shared.control->response_prod, 0);
	tmem_store_release(&shared.control->request_prod, 0);
}

/* Room for further requests: a request occupies the ring until its response is consumed. */
static inline uint32_t tmem_ring_front_room(const struct tmem_ring_front *f)
{
	return f->shared.entries - (uint32_t)(f->request_prod - f->response_cons);
}

/* The caller has checked tmem_ring_front_room(). Fill it whole; nobody sees it before tmem_ring_front_publish(). */
static inline struct tmemif_request *tmem_ring_front_next(struct tmem_ring_front *f)
{
	return &f->shared.requests[f->request_prod++ & (f->shared.entries - 1u)];
}

/* Publishes all filled requests by one release store. Returns nonzero when the back asked for the doorbell. */
static inline int tmem_ring_front_publish(struct tmem_ring_front *f)
{
	uint32_t old_prod = f->request_published;

	f->request_published = f->request_prod;
	tmem_store_release(&f->shared.control->request_prod, f->request_prod);
	tmem_fence(); /* the back arms, fences and looks again; we publish, fence and look at what it armed: one of us sees the other */
	return tmem_ring_passed(tmem_load_once(&f->shared.control->request_event), old_prod, f->request_prod);
}

/* Responses to consume, or TMEM_RING_BROKEN when the back claims more than there are requests. */
static inline uint32_t tmem_ring_front_pending(const struct tmem_ring_front *f)
{
	uint32_t pending;

	__builtin_prefetch(&f->shared.responses[f->response_cons & (f->shared.entries - 1u)]); /* with the index, not after it */
	pending = tmem_load_acquire(&f->shared.control->response_prod) - f->response_cons;
	return pending <= (uint32_t)(f->request_published - f->response_cons) ? pending : TMEM_RING_BROKEN;
}

/* Copies the next response out. The caller has seen that one is pending. */
static inline struct tmemif_response tmem_ring_front_take(struct tmem_ring_front *f)
{
	const volatile struct tmemif_response *from = &f->shared.responses[f->response_cons & (f->shared.entries - 1u)];
	struct tmemif_response r;

	r.id = from->id;
	r.status = from->status;
	r.flags = from->flags;
	r.credits_unspent = from->credits_unspent;
	r.value = from->value;
	f->response_cons++;
	return r;
}

/*
 * Asks for a doorbell when the given number of further responses is there (1: the next one); returns nonzero when they came
 * meanwhile, so that the caller does not sleep. Waiting for a later one lets responses that nobody awaits pass in silence.
 */
static inline int tmem_ring_front_arm_after(struct tmem_ring_front *f, uint32_t responses)
{
	tmem_store_once(&f->shared.control->response_event, f->response_cons + responses);
	tmem_fence();
	return (uint32_t)(tmem_load_once(&f->shared.control->response_prod) - f->response_cons) >= responses;
}

/* Asks for a doorbell at the next response; returns nonzero when one came meanwhile, so that the caller does not sleep. */
static inline int tmem_ring_front_arm(struct tmem_ring_front *f)
{
	return tmem_ring_front_arm_after(f, 1);
}

/* ---- back: consumes requests, publishes responses ---- */

struct tmem_ring_back {
	struct tmem_ring_shared shared;
	uint32_t request_cons;
	uint32_t response_prod;
	uint32_t response_published;
};

/*
 * Takes up a ring, new or living: responses are in the order of requests and one each, so work goes on at response_prod.
 * A front that lies about it (the word is in its memory) harms its own requests only. The caller then rings the doorbell
 * once without being asked: the back before it may have died between publishing and ringing. Returns the credits that the
 * front was last told of; the caller bounds them and reserves their space before it serves anybody.
 */
static inline uint32_t tmem_ring_back_init(struct tmem_ring_back *b, struct tmem_ring_shared shared)
{
	const volatile struct tmemif_response *last;
	uint32_t done = tmem_load_acquire(&shared.control->response_prod);

	b->shared = shared;
	b->request_cons = done;
	b->response_prod = done;
	b->response_published = done;
	last = &shared.responses[(done - 1u) & (shared.entries - 1u)];
	return last->credits_unspent;
}

/* Requests to consume, or TMEM_RING_BROKEN when the front claims more than the ring holds. */
static inline uint32_t tmem_ring_back_pending(const struct tmem_ring_back *b)
{
	uint32_t pending;

	/* the next request is a cache miss away as well: whoever polls has it with the index, not after it */
	__builtin_prefetch(&b->shared.requests[b->request_cons & (b->shared.entries - 1u)]);
	pending = tmem_load_acquire(&b->shared.control->request_prod) - b->request_cons;

	return pending <= b->shared.entries ? pending : TMEM_RING_BROKEN;
}

/* Copies the next request out, once; all checks are made on the copy. The caller has seen that one is pending. */
static inline struct tmemif_request tmem_ring_back_take(struct tmem_ring_back *b)
{
	const volatile struct tmemif_request *from = &b->shared.requests[b->request_cons & (b->shared.entries - 1u)];
	struct tmemif_request r;

	r.id = from->id;
	r.op = from->op;
	r.flags = from->flags;
	r.slot = from->slot;
	r.pool = from->pool;
	r.index = from->index;
	r.object[0] = from->object[0];
	r.object[1] = from->object[1];
	r.object[2] = from->object[2];
	r.pool_flags = from->pool_flags;
	r.reserved = from->reserved;
	r.value[0] = from->value[0];
	r.value[1] = from->value[1];
	b->request_cons++;
	return r;
}

/* Puts the last requests taken back, unanswered: they are taken and checked anew. */
static inline void tmem_ring_back_untake(struct tmem_ring_back *b, uint32_t count)
{
	b->request_cons -= count;
}

/* Writes the next response; nobody sees it before tmem_ring_back_publish(). There is room: one for each request taken. */
static inline void tmem_ring_back_answer(struct tmem_ring_back *b, const struct tmemif_response *response)
{
	b->shared.responses[b->response_prod++ & (b->shared.entries - 1u)] = *response;
}

/* Lets a polling front see what is answered so far. A sleeping one is woken by tmem_ring_back_publish(), which must follow. */
static inline void tmem_ring_back_expose(struct tmem_ring_back *b)
{
	tmem_store_release(&b->shared.control->response_prod, b->response_prod);
}

/* Publishes all written responses by one release store. Returns nonzero when the front asked for the doorbell. */
static inline int tmem_ring_back_publish(struct tmem_ring_back *b)
{
	uint32_t old_prod = b->response_published;

	if (old_prod == b->response_prod)
		return 0;
	b->response_published = b->response_prod;
	tmem_store_release(&b->shared.control->response_prod, b->response_prod);
	tmem_fence();
	return tmem_ring_passed(tmem_load_once(&b->shared.control->response_event), old_prod, b->response_prod);
}

/* Asks for a doorbell at the next request; returns nonzero when one came meanwhile, so that the caller does not sleep. */
static inline int tmem_ring_back_arm(struct tmem_ring_back *b)
{
	tmem_store_once(&b->shared.control->request_event, b->request_cons + 1u);
	tmem_fence();
	return tmem_load_once(&b->shared.control->request_prod) != b->request_cons;
}

#endif /* TMEM_RING_H */
