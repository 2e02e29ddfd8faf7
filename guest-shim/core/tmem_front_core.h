/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the files of the front share among themselves. tmem_front.c moves requests and responses, tmem_front_link.c makes
 * and ends connections, tmem_front_wait.c lets callers sleep. "_locked": the queue's lock is held.
 */
#ifndef TMEM_FRONT_CORE_H
#define TMEM_FRONT_CORE_H

#include "tmem_front.h"

/* How an operation is begun. */
enum tmem_front_how {
	TMEM_FRONT_ASKED,   /* with the doorbell asked for, if the owner goes by it and somebody waits */
	TMEM_FRONT_OR_NOT,  /* the same, but only if nothing delays it */
	TMEM_FRONT_UNASKED, /* the caller looks for the answer, and sees to the doorbell if none comes */
};

/* Returns whether the op was taken. */
bool tmem_front_begin(struct tmem_front *front, struct tmem_front_op *op, enum tmem_front_how how);
/* Sends what can be sent, publishes it. Returns whether the service wants its doorbell. */
bool tmem_front_pump_locked(struct tmem_front *front, struct tmem_front_queue *q);
/* Takes all responses that are there. A lie puts the queue into BROKEN. */
void tmem_front_consume_locked(struct tmem_front *front, struct tmem_front_queue *q);
/* Both; and when the owner is driven by interrupts, until nothing is left and the next doorbell is asked for. */
bool tmem_front_serve_locked(struct tmem_front *front, struct tmem_front_queue *q);
/* Asks for a doorbell at the first response that matters to somebody. Returns whether it is there already. */
bool tmem_front_arm_locked(struct tmem_front_queue *q);
/* Gives an op its final status. */
void tmem_front_complete_locked(struct tmem_front_queue *q, struct tmem_front_op *op, uint32_t status);
/* Unlocks, and does all that must be done without the lock: doorbell, wake-ups, done()s, giving up a broken service. */
void tmem_front_settle(struct tmem_front *front, struct tmem_front_queue *q, bool doorbell);

/* The service lied. */
void tmem_front_break(struct tmem_front *front);
/* A pool operation has visited its last queue: keep the table of pools. */
void tmem_front_note_pool(struct tmem_front *front, const struct tmem_front_op *op);

static inline uint32_t tmem_front_entries(const struct tmem_front_queue *q)
{
	return q->ring.shared.entries;
}

static inline struct tmem_front_shadow *tmem_front_shadow_at(const struct tmem_front_queue *q, uint32_t position)
{
	return &q->shadows[position & (tmem_front_entries(q) - 1)];
}

static inline bool tmem_front_is_awaited(const struct tmem_front_shadow *shadow)
{
	return shadow->op && !shadow->op->quiet;
}

/* Operations that visit all queues, one after the other. */
static inline bool tmem_front_visits_all(const struct tmemif_request *request)
{
	return request->op == TMEMIF_OP_NEW_POOL || request->op == TMEMIF_OP_JOIN_POOL ||
	       request->op == TMEMIF_OP_DESTROY_POOL || request->op == TMEMIF_OP_LEAVE_POOL ||
	       request->op == TMEMIF_OP_FLUSH_OBJECT;
}

/*
 * How long to go on looking for an answer: poll_ns, anew with each answer that the queue gets, since the service works on what lies
 * before ours then. So at most a ring's entries times poll_ns.
 */
struct tmem_front_patience {
	uint64_t since; /* 0: begins with the first look */
	uint32_t answered;
};

static inline bool tmem_front_is_patient(struct tmem_front_patience *patience, uint64_t now_ns, uint32_t answered, uint32_t poll_ns)
{
	if (!patience->since || answered != patience->answered) {
		patience->since = now_ns;
		patience->answered = answered;
	}
	return now_ns - patience->since < poll_ns;
}

static inline void tmem_front_append(struct tmem_front_op ***end, struct tmem_front_op *op)
{
	op->next = NULL;
	**end = op;
	*end = &op->next;
}

static inline struct tmem_front_op *tmem_front_pop(struct tmem_front_op **head, struct tmem_front_op ***end)
{
	struct tmem_front_op *op = *head;

	if (op) {
		*head = op->next;
		if (!*head)
			*end = head;
	}
	return op;
}

#endif /* TMEM_FRONT_CORE_H */
