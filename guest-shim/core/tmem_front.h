/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The front: a guest's side of tmem, the same file in the kernel module and in user space.
 *
 * DOC: ownership
 *
 * The owner (a hook with its transport: xenbus or memfd) owns all memory: it gives the front its private tables once, at
 * tmem_front_init(), and the queues' shared memory at each tmem_front_attach(). Shared memory is borrowed until the next
 * attach or close has returned, so that what is in flight can be carried over. Nothing is allocated after init.
 *
 * An operation (struct tmem_front_op) belongs to the front from tmem_front_submit() until its done() is called, or until
 * tmem_front_wait() has returned; so does its page. Exactly one completion, whatever happens to the service.
 *
 * DOC: order and completion
 *
 * Each queue is first in, first out: operations on one handle take effect in the order in which they were submitted. A put
 * to a private pool that finds a credit is done for its caller at submit: the page is in a slot, and a later get or flush
 * of the handle is behind it in the same queue. Puts to shared pools never use credits: the other members come by other
 * queues, and what they were told to be done must be done. The operations on pools and flush_object visit the queues one
 * after the other and complete once; nothing else of that pool or object may be submitted meanwhile.
 *
 * DOC: states
 *
 *   CLOSED --attach--> CONNECTED --lost--> RECONNECTING --attach--> CONNECTED
 *   close, from any state, leads to CLOSED; a service that lies leads to BROKEN, which only close leaves.
 *
 * CLOSED and BROKEN complete everything at once with TMEM_FRONT_CLOSED. RECONNECTING makes callers wait.
 *
 * DOC: replay
 *
 * What was in flight when the connection was lost, credited puts too, is sent again on the new one, in order, before anything
 * newer. The service may have executed any prefix of it. That is harmless, queue by queue:
 *  - The replayed requests are a suffix of all requests, so the last word on each handle is the same as without replay.
 *  - A get that is replayed after puts behind it were executed returns the newer page. Both were in flight: it is concurrent.
 *  - An exclusive get that was executed but not answered misses. Ephemeral pages may go at any time.
 *  - Putting again what a later flush removed is undone by that flush, which is replayed behind it.
 *  - In a shared pool another member may have flushed between execution and replay; so a put is replayed there as a flush
 *    of its page, and answered TMEMIF_NO_SPACE. It must not simply be dropped: an older page would shine through.
 *  - new_pool and join_pool are idempotent; destroy_pool and leave_pool answer NO_POOL, and the pool is gone all the same.
 *  - A credited put is replayed with its credit: a service that gives the pools back has kept the room (docs/abi.md, 7.2). One
 *    that lost its memory has not; there the page is lost (put_lost counts), and the handle is absent, never old.
 * Before all that, every ephemeral pool is made again, which keeps what there is. When the service says that it has lost its
 * memory, persistent pools are not made again: the owner hears forgotten(), and operations on those pools answer
 * TMEMIF_NO_POOL until it makes them anew. So a page that was stored before is an error when read, never other bytes.
 *
 * DOC: the service is not trusted
 *
 * Cursors, slot numbers and copies of all requests are private. A response must be the one that is due, with a status that its
 * request can have; anything else makes the front BROKEN. A lie costs the device, never memory.
 *
 * Lock order: tmem_front.lock, then tmem_front_queue.lock. Callbacks are called with none held.
 */
#ifndef TMEM_FRONT_H
#define TMEM_FRONT_H

#include "tmem_front_os.h"

#include "tmem/tmem_ring.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Beside enum tmemif_status: there is no service (any more), nothing is known of what became of the operation. */
#define TMEM_FRONT_CLOSED 0x100u

enum tmem_front_state {
	TMEM_FRONT_STATE_CLOSED,
	TMEM_FRONT_STATE_CONNECTED,
	TMEM_FRONT_STATE_RECONNECTING,
	TMEM_FRONT_STATE_BROKEN,
};

/**
 * struct tmem_front_handle - the name of a page
 * @pool: as given to new_pool
 * @index: page number inside the object
 * @object: 192 bits; all ones is reserved
 */
struct tmem_front_handle {
	uint32_t pool;
	uint32_t index;
	uint64_t object[3];
};

/**
 * struct tmem_front_op - one operation, caller-owned
 * @request: what to do; set by one of the tmem_front_op_*() functions
 * @page: put: the page to read; get and query: where the answer goes; the OS's idea of a page (tmem_os_page_map())
 * @done: called once with no lock held, from whichever thread completes it; NULL: the caller calls tmem_front_wait()
 * @quiet: with @done; nobody waits for it: while the ring has room no doorbell is asked for on its account, and it completes when its
 *	queue is next looked at
 * @context: the caller's
 * @status: the result, enum tmemif_status or TMEM_FRONT_CLOSED
 * @finished: private; set when @status is final and @done is NULL
 * @queue: private; where it is now
 * @losses: private; pool operations: the state of tmem_front.losses when it began
 * @any_ok: private; of the queues visited so far, at least one answered OK
 * @next: private; list link
 */
struct tmem_front_op {
	struct tmemif_request request;
	void *page;
	void (*done)(struct tmem_front_op *op);
	bool quiet;
	void *context;
	uint32_t status;
	uint32_t finished;
	uint32_t queue;
	uint32_t losses;
	uint32_t any_ok;
	struct tmem_front_op *next;
};

/**
 * struct tmem_front_owner_ops - what the owner does for the front
 * @notify: ring the service's doorbell of a queue; never blocks; also called when the connection is gone already
 * @wait: sleep until the service rang the queue's doorbell, or until the owner, having found the connection gone, has
 *	called tmem_front_lost() and then attach or close; may return early. NULL: the owner calls tmem_front_interrupt()
 *	whenever a doorbell rang
 * @forgotten: the service has lost its memory: persistent pools are gone. Called inside attach, before replay, with
 *	tmem_front.lock held: takes note, calls nothing
 * @broken: the service lied and was given up; called once, from the thread that noticed
 *
 * @forgotten and @broken may be NULL.
 */
struct tmem_front_owner_ops {
	void (*notify)(void *owner, uint32_t queue);
	void (*wait)(void *owner, uint32_t queue);
	void (*forgotten)(void *owner);
	void (*broken)(void *owner);
};

/**
 * struct tmem_front_config - given once
 * @queues_max: most queues that any attach will bring
 * @ring_order_max: likewise
 * @pools_max: pool ids run from 0 to this - 1
 * @poll_ns: how long tmem_front_wait() looks for its answer before it sleeps, and tmem_front_submit_polling() before it returns;
 *	anew with each answer that comes to the same queue
 * @ops: outlives the front
 * @owner: first argument of @ops
 */
struct tmem_front_config {
	uint32_t queues_max;
	uint32_t ring_order_max;
	uint32_t pools_max;
	uint32_t poll_ns;
	const struct tmem_front_owner_ops *ops;
	void *owner;
};

/**
 * struct tmem_front_attachment - a connection, as the handshake gave it
 * @queues: number of queues; the same at each reconnection
 * @ring_order: of each queue; the same at each reconnection
 * @resumed: the service still has this client's pools
 * @memory: of each queue, TMEMIF_QUEUE_PAGES(@ring_order) pages. May be that of the lost connection again
 */
struct tmem_front_attachment {
	uint32_t queues;
	uint32_t ring_order;
	bool resumed;
	void *memory[TMEMIF_QUEUES_MAX];
};

/* Counters since init. Each says when it moves. */
struct tmem_front_stats {
	uint64_t put_credited;      /* put: done at submit */
	uint64_t put_answered;      /* put: its response came, whatever it says */
	uint64_t put_same_filled;   /* put: the page was one repeated word and went as that */
	uint64_t put_refused;       /* put: answered by other than OK */
	uint64_t put_lost;          /* put: credited, then refused or cut off: done for its caller, and gone */
	uint64_t get_hit;           /* get: a page came */
	uint64_t get_miss;          /* get: not there */
	uint64_t get_failed;        /* get: no pool, corrupt, or refused */
	uint64_t other_answered;    /* flushes, pool operations, queries */
	uint64_t requests_replayed; /* sent again on a new connection */
	uint64_t requests_delayed;  /* at submit: no room in the ring, or no connection */
	uint64_t doorbells_sent;    /* requests published while the service slept */
	uint64_t sleeps;            /* tmem_front_wait(): went to sleep */
	uint64_t connections_lost;
};

/* ---- from here to the functions: private to the front ---- */

/* One request in flight, as it was sent. op NULL: nobody waits (a credited put, or a pool made again). */
struct tmem_front_shadow {
	struct tmemif_request request;
	struct tmem_front_op *op;
};

/* A pool of this client. flags 0: none. Written under tmem_front.lock, read with load_once. */
struct tmem_front_pool {
	uint32_t flags;
	uint32_t unused;
	uint64_t uuid[2];
};

/* Everything under lock, except where a field says otherwise. */
struct tmem_front_queue {
	struct tmem_os_lock lock;
	uint32_t state;                    /* enum tmem_front_state */
	struct tmem_ring_front ring;
	uint32_t order;
	uint32_t credits;                  /* that the next puts may spend */
	uint32_t credited;                 /* requests in flight that spent one */
	uint32_t slots_free;               /* length of slots[]: a stack */
	uint32_t remake_next;              /* pools from here on are still to be made again */
	uint32_t replay_next;              /* replay[] from here to its end is still to be sent again */
	uint16_t *slots;
	struct tmem_front_shadow *shadows; /* by ring position */
	struct tmem_front_shadow *replay;
	struct tmem_front_op *backlog;     /* not sent yet, oldest first */
	struct tmem_front_op **backlog_end;
	struct tmem_front_op *completed;   /* their done() is still to be called */
	struct tmem_front_op **completed_end;
	uint32_t awaited;                  /* requests in flight whose op somebody waits for */
	uint32_t answered;                 /* responses so far, of all connections; read without the lock */
	bool armed;                        /* without ops->wait(): a doorbell is asked for and has not rung */
	uint32_t armed_at;                 /* answers taken when it was asked for */
	bool draining;                     /* somebody is calling done()s */
	bool leading;                      /* somebody is in ops->wait() */
	bool wake;                         /* a waited-for operation finished while this lock was held */
	uint32_t sleepers;                 /* waiters on event */
	struct tmem_os_event event;
	void *memory;
	struct tmem_front_stats stats;
} __attribute__((aligned(64)));

/**
 * struct tmem_front - one connection of one client
 * @lock: guards @state, @pools, @losses; taken before any queue's lock
 * @config: copy of what init was given
 * @state: enum tmem_front_state; each queue has its own copy under its own lock, set after this one
 * @queues: in use; written under @lock, constant while not CLOSED, read with load_once
 * @losses: how often the service lost its memory
 * @pools: by id
 * @queue: array of config.queues_max
 */
struct tmem_front {
	struct tmem_os_lock lock;
	struct tmem_front_config config;
	uint32_t state;
	uint32_t queues;
	uint32_t losses;
	struct tmem_front_pool *pools;
	struct tmem_front_queue *queue;
};

/* ---- set up, and the owner's side; the owner makes these calls one at a time ---- */

size_t tmem_front_memory_bytes(const struct tmem_front_config *config);
void tmem_front_init(struct tmem_front *front, const struct tmem_front_config *config, void *memory);
int tmem_front_attach(struct tmem_front *front, const struct tmem_front_attachment *attachment);
void tmem_front_lost(struct tmem_front *front);
void tmem_front_close(struct tmem_front *front);
enum tmem_front_state tmem_front_read_state(struct tmem_front *front);
void tmem_front_read_stats(struct tmem_front *front, struct tmem_front_stats *stats);

/* ---- operations; any thread ---- */

void tmem_front_submit(struct tmem_front *front, struct tmem_front_op *op);
bool tmem_front_try_submit(struct tmem_front *front, struct tmem_front_op *op);
void tmem_front_submit_polling(struct tmem_front *front, struct tmem_front_op *op);
void tmem_front_look_for_credit(struct tmem_front *front, const struct tmem_front_op *op);
uint32_t tmem_front_poll(struct tmem_front *front, uint32_t queue);
bool tmem_front_interrupt(struct tmem_front *front, uint32_t queue);
bool tmem_front_arm(struct tmem_front *front, uint32_t queue);
void tmem_front_wait(struct tmem_front *front, struct tmem_front_op *op);
uint32_t tmem_front_call(struct tmem_front *front, struct tmem_front_op *op);
int tmem_front_errno(uint32_t status);

/* Which queue an operation on this handle takes; meaningful while not CLOSED. */
static inline uint32_t tmem_front_queue_of(const struct tmem_front *front, const struct tmem_front_handle *handle)
{
	return tmemif_queue_of(handle->object, handle->index, tmem_load_once(&front->queues));
}

static inline void tmem_front_op_init(struct tmem_front_op *op, enum tmemif_op kind, uint32_t pool)
{
	memset(op, 0, sizeof(*op));
	op->request.op = (uint8_t)kind;
	op->request.slot = TMEMIF_NO_SLOT;
	op->request.pool = pool;
}

/* kind: TMEMIF_OP_PUT, GET, FLUSH_PAGE or FLUSH_OBJECT (then the index does not matter). */
static inline void tmem_front_op_page(struct tmem_front_op *op, enum tmemif_op kind,
				      const struct tmem_front_handle *handle, void *page)
{
	tmem_front_op_init(op, kind, handle->pool);
	op->request.index = kind == TMEMIF_OP_FLUSH_OBJECT ? 0 : handle->index;
	memcpy(op->request.object, handle->object, sizeof(op->request.object));
	op->page = page;
}

/* flags: TMEMIF_POOL_FLAGS(...). uuid: 16 bytes to join a shared pool by, or NULL for a private one. */
static inline void tmem_front_op_new_pool(struct tmem_front_op *op, uint32_t pool, uint32_t flags, const void *uuid)
{
	tmem_front_op_init(op, uuid ? TMEMIF_OP_JOIN_POOL : TMEMIF_OP_NEW_POOL, pool);
	op->request.pool_flags = flags;
	if (uuid)
		memcpy(op->request.value, uuid, sizeof(op->request.value));
}

/* ---- the same, for callers that can wait; all return the status ---- */

static inline uint32_t tmem_front_put(struct tmem_front *front, const struct tmem_front_handle *handle, void *page)
{
	struct tmem_front_op op;

	tmem_front_op_page(&op, TMEMIF_OP_PUT, handle, page);
	return tmem_front_call(front, &op);
}

static inline uint32_t tmem_front_get(struct tmem_front *front, const struct tmem_front_handle *handle, void *page)
{
	struct tmem_front_op op;

	tmem_front_op_page(&op, TMEMIF_OP_GET, handle, page);
	return tmem_front_call(front, &op);
}

static inline uint32_t tmem_front_flush_page(struct tmem_front *front, const struct tmem_front_handle *handle)
{
	struct tmem_front_op op;

	tmem_front_op_page(&op, TMEMIF_OP_FLUSH_PAGE, handle, NULL);
	return tmem_front_call(front, &op);
}

static inline uint32_t tmem_front_flush_object(struct tmem_front *front, const struct tmem_front_handle *handle)
{
	struct tmem_front_op op;

	tmem_front_op_page(&op, TMEMIF_OP_FLUSH_OBJECT, handle, NULL);
	return tmem_front_call(front, &op);
}

/* Whether the service has the pool, for all that is known: not one that it forgot, until it is made anew. */
static inline bool tmem_front_has_pool(const struct tmem_front *front, uint32_t pool)
{
	return tmem_load_once(&front->pools[pool].flags) != 0;
}

/* A new_pool or join_pool that fails may have been done on some queues; destroy_pool takes it back. */
static inline uint32_t tmem_front_new_pool(struct tmem_front *front, uint32_t pool, uint32_t flags, const void *uuid)
{
	struct tmem_front_op op;

	tmem_front_op_new_pool(&op, pool, flags, uuid);
	return tmem_front_call(front, &op);
}

static inline uint32_t tmem_front_destroy_pool(struct tmem_front *front, uint32_t pool)
{
	struct tmem_front_op op;

	tmem_front_op_init(&op, TMEMIF_OP_DESTROY_POOL, pool);
	return tmem_front_call(front, &op);
}

static inline uint32_t tmem_front_leave_pool(struct tmem_front *front, uint32_t pool)
{
	struct tmem_front_op op;

	tmem_front_op_init(&op, TMEMIF_OP_LEAVE_POOL, pool);
	return tmem_front_call(front, &op);
}

/* The answer, struct tmemif_capabilities, is at the head of the page. */
static inline uint32_t tmem_front_query(struct tmem_front *front, void *page)
{
	struct tmem_front_op op;

	tmem_front_op_init(&op, TMEMIF_OP_QUERY, 0);
	op.page = page;
	return tmem_front_call(front, &op);
}

#ifdef __cplusplus
}
#endif

#endif /* TMEM_FRONT_H */
