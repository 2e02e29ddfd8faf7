// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Callers that can sleep. A waiter polls for a while, because a sleep costs as much as ten puts, and then sleeps in one of
 * two ways: the first one of a queue goes into the owner's wait(), on the doorbell; it leads. Those after it, and all of
 * them where the owner is driven by interrupts, follow: they sleep on the queue's event, are woken when a follower's op has
 * finished or when the leader leaves, and look again. The leader's own doorbell is certain: it is asked for under the
 * queue's lock while the op is in flight, whoever consumes the response then.
 */
#include "tmem_front_core.h"

#define POLLS_PER_CLOCK 32u

static bool is_finished(struct tmem_front_op *op)
{
	return tmem_load_acquire(&op->finished) != 0;
}

/* Returns with the queue's lock held. */
static void follow(struct tmem_front_queue *q)
{
	uint32_t seen = tmem_os_event_read(&q->event);

	q->sleepers++;
	tmem_os_release(&q->lock);
	tmem_os_event_wait(&q->event, seen);
	tmem_os_acquire(&q->lock);
	q->sleepers--;
}

/* Returns with the queue's lock held. */
static void lead(struct tmem_front *front, struct tmem_front_queue *q)
{
	q->leading = true;
	tmem_os_release(&q->lock);
	front->config.ops->wait(front->config.owner, (uint32_t)(q - front->queue));
	tmem_os_acquire(&q->lock);
	q->leading = false;
	q->wake = true; /* a follower takes over */
}

static bool is_patient(struct tmem_front *front, struct tmem_front_queue *q, struct tmem_front_patience *patience)
{
	return tmem_front_is_patient(patience, tmem_os_now_ns(), tmem_load_once(&q->answered), front->config.poll_ns);
}

static void sleep_once(struct tmem_front *front, struct tmem_front_queue *q, struct tmem_front_op *op)
{
	bool connected, there;

	tmem_os_acquire(&q->lock);
	if (is_finished(op) || &front->queue[tmem_load_once(&op->queue)] != q) {
		tmem_front_settle(front, q, false);
		return;
	}
	connected = q->state == TMEM_FRONT_STATE_CONNECTED;
	if (q->leading || !front->config.ops->wait) {
		there = !q->leading && connected && tmem_front_arm_locked(q);
		if (!there) {
			q->stats.sleeps++;
			follow(q);
		}
	} else {
		there = connected && tmem_front_arm_locked(q);
		if (!there) {
			q->stats.sleeps++;
			lead(front, q);
		}
	}
	/* there: an earlier wish, which somebody else relies on, may have been overwritten */
	tmem_front_settle(front, q, there && tmem_front_serve_locked(front, q));
}

/**
 * tmem_front_arm() - ask for a doorbell at the first response that matters to somebody
 * @front: a front whose owner waits for doorbells by itself instead of calling tmem_front_wait()
 * @queue: number of the queue
 *
 * Return: whether it is there already, so that the caller polls instead of sleeping.
 */
bool tmem_front_arm(struct tmem_front *front, uint32_t queue)
{
	struct tmem_front_queue *q = &front->queue[queue];
	bool there;

	tmem_os_acquire(&q->lock);
	there = q->state == TMEM_FRONT_STATE_CONNECTED && tmem_front_arm_locked(q);
	tmem_os_release(&q->lock);
	return there;
}

/* Whether everything that was sent up to a position of the ring is answered; completes what is. */
static bool is_answered(struct tmem_front *front, struct tmem_front_queue *q, uint32_t position)
{
	tmem_front_poll(front, (uint32_t)(q - front->queue));
	return (int32_t)(tmem_load_once(&q->ring.response_cons) - position) >= 0;
}

/**
 * tmem_front_submit_polling() - begin an operation, and look for its answer before a doorbell is asked for
 * @front: a front whose owner has no wait()
 * @op: with done(), otherwise as for tmem_front_submit(); of one page
 *
 * Returns when the operation has completed, or when the service has answered nothing for config.poll_ns: then it completes like any
 * other. For who has nothing else to do meanwhile: a service that is awake answers within less than an interrupt takes.
 *
 * Context: as tmem_front_submit(), where a spin of poll_ns does no harm.
 */
void tmem_front_submit_polling(struct tmem_front *front, struct tmem_front_op *op)
{
	struct tmem_front_patience patience = { 0 };
	struct tmem_front_queue *q;
	uint32_t polls = 0;
	uint32_t position;

	q = &front->queue[tmemif_queue_of(op->request.object, op->request.index, tmem_load_once(&front->queues))];
	tmem_front_begin(front, op, TMEM_FRONT_UNASKED);
	position = tmem_load_once(&q->ring.request_published); /* or behind it, when others were quick */
	while (!is_answered(front, q, position)) {
		tmem_os_relax();
		if (polls++ % POLLS_PER_CLOCK == 0 && !is_patient(front, q, &patience))
			break;
	}
	tmem_os_acquire(&q->lock);
	tmem_front_settle(front, q, !q->armed && tmem_front_serve_locked(front, q));
}

/* The next put finds no credit, but may find one when what is under way is answered. */
static bool is_short_of_credit(struct tmem_front_queue *q)
{
	return !tmem_load_once(&q->credits) && tmem_load_once(&q->ring.response_cons) != tmem_load_once(&q->ring.request_published);
}

/**
 * tmem_front_look_for_credit() - give a put the chance of being done at once
 * @front: a front whose owner has no wait()
 * @op: a put of a page, not submitted yet
 *
 * Where the credits are spent, looks for the next answer, which may bring one, for config.poll_ns at most. So who puts page after page
 * goes at the service's speed, and no doorbell is needed for it.
 *
 * Context: as tmem_front_submit_polling().
 */
void tmem_front_look_for_credit(struct tmem_front *front, const struct tmem_front_op *op)
{
	uint32_t queue = tmemif_queue_of(op->request.object, op->request.index, tmem_load_once(&front->queues));
	struct tmem_front_queue *q = &front->queue[queue];
	struct tmem_front_patience patience = { 0 };
	uint32_t answered = tmem_load_once(&q->answered);
	uint32_t polls = 0;

	while (is_short_of_credit(q) && tmem_load_once(&q->answered) == answered) {
		tmem_front_poll(front, queue);
		tmem_os_relax();
		if (polls++ % POLLS_PER_CLOCK == 0 && !is_patient(front, q, &patience))
			break;
	}
}

/**
 * tmem_front_interrupt() - the service rang a queue's doorbell
 * @front: a front whose owner has no wait()
 * @queue: number of the queue
 *
 * Context: where the OS completes I/O; takes short locks; calls done().
 * Return: whether a doorbell had been asked for, and an answer came since: who leaves one out might ring for it for ever. The answer may
 * have been taken already, so a doorbell without is no sign of malice.
 */
bool tmem_front_interrupt(struct tmem_front *front, uint32_t queue)
{
	struct tmem_front_queue *q = &front->queue[queue];
	bool wanted, doorbell;
	uint32_t armed_at;

	tmem_os_acquire(&q->lock);
	wanted = q->armed;
	armed_at = q->armed_at;
	q->armed = false;
	doorbell = tmem_front_serve_locked(front, q);
	wanted = wanted && q->ring.response_cons != armed_at;
	tmem_front_settle(front, q, doorbell);
	return wanted;
}

/**
 * tmem_front_wait() - wait for the completion of an operation
 * @front: the front
 * @op: submitted, without done()
 *
 * Context: may sleep. If the owner reconnects meanwhile, this takes as long as that takes.
 */
void tmem_front_wait(struct tmem_front *front, struct tmem_front_op *op)
{
	struct tmem_front_patience patience = { 0 };
	uint32_t polls = 0;
	uint32_t queue;

	while (!is_finished(op)) {
		queue = tmem_load_once(&op->queue);
		if (tmem_front_poll(front, queue))
			continue;
		if (front->config.poll_ns) {
			tmem_os_relax();
			if (++polls % POLLS_PER_CLOCK || is_patient(front, &front->queue[queue], &patience))
				continue;
		}
		sleep_once(front, &front->queue[queue], op);
		patience.since = 0;
	}
}

/**
 * tmem_front_call() - do an operation and wait for its result
 * @front: the front
 * @op: set up, without done()
 *
 * Context: may sleep, but does not when a put finds a credit.
 * Return: the status.
 */
uint32_t tmem_front_call(struct tmem_front *front, struct tmem_front_op *op)
{
	tmem_front_submit(front, op);
	if (!is_finished(op))
		tmem_front_wait(front, op);
	return op->status;
}

/**
 * tmem_front_errno() - what a status is to those who speak in error numbers
 * @status: of a completed operation
 *
 * For a persistent page that was stored, -ENOENT is a loss too; only its owner knows.
 *
 * Return: zero or a negative error number.
 */
int tmem_front_errno(uint32_t status)
{
	switch (status) {
	case TMEMIF_OK:
		return 0;
	case TMEMIF_MISS:
		return -ENOENT;
	case TMEMIF_NO_SPACE:
	case TMEMIF_PUT_FLUSHED:
	case TMEMIF_FROZEN:
	case TMEMIF_OVER_CAP:
	case TMEMIF_NO_POOL_SLOTS:
	case TMEMIF_NO_CREDIT:
		return -ENOSPC;
	case TMEMIF_POOL_EXISTS:
		return -EEXIST;
	case TMEMIF_NOT_AUTHORISED:
		return -EACCES;
	case TMEMIF_BAD_VERSION:
	case TMEMIF_BAD_PAGE_SIZE:
	case TMEMIF_BAD_FLAGS:
	case TMEMIF_NOT_ALL_QUEUES:
	case TMEMIF_BAD_OBJECT:
	case TMEMIF_BAD_REQUEST:
		return -EINVAL;
	case TMEM_FRONT_CLOSED:
		return -ENODEV;
	default: /* NO_POOL, CORRUPT */
		return -EIO;
	}
}
