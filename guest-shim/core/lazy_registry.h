/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The lazy registry: who wants a pool (swap types, mounted file systems), whether or not there is a backend yet. The same file
 * in the kernel module and in user space.
 *
 * DOC: members
 *
 * A member is a slot of a fixed table; its number is the pool's, so no call looks anything up. Swap types have a slot each;
 * file systems take a free one. A member's pool is persistent, ephemeral and private, or ephemeral and shared by a uuid.
 *
 *            remember                 make_pool() answered            leave
 *   EMPTY ─────────────► WAITING ─────────────────────────► READY ◄────────► LEAVING    (persistent only)
 *     ▲                     ▲                                 │     resume      │
 *     │ forget, from any    └─────────────────────────────────┴─────────────────┘
 *     └ state                unregister, spoiled; disconnect (ephemeral)
 *
 *   WAITING  no call goes through: a put is refused, a get misses, there is nothing to flush
 *   READY    all calls go through
 *   LEAVING  gets and flushes go through, puts do not: pages are being brought back
 *
 * DOC: order
 *
 * Appearing is one release store per member, after its pool was made: a call that sees READY sees the pool and the backend.
 * Calls may come late to it (a page goes to disk that could have gone here); that does no harm.
 *
 * Leaving must not be late: the state is stored first, then the gate is drained. A call reads the state inside the gate, so
 * after the drain none is inside that saw the old state, and none comes in. Only then is the pool dropped, or the number of
 * pages looked at that are stored nowhere else.
 *
 * Pools are made and dropped under the mutex, where it may sleep; puts, gets and flushes never take it.
 *
 * DOC: the backend
 *
 * Registered: there is code. Connected: there is a service behind it that this client's pools live in.
 *
 *   register     nothing changes before connect
 *   connect      every WAITING member gets a pool; persistent ones in use are made again, which changes nothing where they
 *                are still there; where they are gone, pages of before are errors and new ones find a pool
 *   lost         nothing: the backend makes its callers wait, or answers for itself, and what was begun is replayed
 *   disconnect   for good: the service forgets all pools of this client, so they are not dropped. Persistent members stay
 *                READY, because their pages must be answered with an error and not with what the disk has of before
 *   unregister   refused while a persistent member has pages; else all WAITING, and after it no call is inside
 *
 * DOC: spoiling
 *
 * Who cannot deliver a flush to an ephemeral pool, because it must not wait and has no room, spoils the member: from then on it
 * is as WAITING. tmem_lazy_mend() drops the pool and makes it anew. So no stale page is seen, and what is lost is a cache.
 *
 * Lock order: registry mutex, then what the backend takes. The owner of the table, of the registry and of the backend keeps
 * them until the registry is no longer used.
 */
#ifndef LAZY_REGISTRY_H
#define LAZY_REGISTRY_H

#include "tmem_lazy_os.h"

#include "tmem/tmem_barrier.h"
#include "tmem/tmemif.h"

#ifdef __cplusplus
extern "C" {
#endif

enum tmem_lazy_state {
	TMEM_LAZY_EMPTY,
	TMEM_LAZY_WAITING,
	TMEM_LAZY_READY,
	TMEM_LAZY_LEAVING,
};

/**
 * struct tmem_lazy_backend - what the registry asks of a backend; may sleep
 * @make_pool: 0 or a negative error number, then there is none. Repeated for a pool that is there it changes nothing
 * @drop_pool: 0: the pool and its pages are gone; else nobody knows, and it must not be used again
 * @pages: of a persistent pool, how many pages are stored nowhere else
 * @owner: first argument
 */
struct tmem_lazy_backend {
	int (*make_pool)(void *owner, uint32_t slot, uint32_t pool_flags, const uint64_t uuid[2]);
	int (*drop_pool)(void *owner, uint32_t slot);
	uint64_t (*pages)(void *owner, uint32_t slot);
	void *owner;
};

/**
 * struct tmem_lazy_member - a slot
 * @state: enum tmem_lazy_state; stored under the mutex, read inside the gate
 * @spoiled: the pool has a page that should have been flushed; set inside the gate, cleared under the mutex
 * @has_pool: the service may have a pool of this number; under the mutex, outlives the member until it is dropped
 * @pool_flags: TMEMIF_POOL_FLAGS()
 * @uuid: of a shared pool
 */
struct tmem_lazy_member {
	uint32_t state;
	uint32_t spoiled;
	bool has_pool;
	uint32_t pool_flags;
	uint64_t uuid[2];
};

/**
 * struct tmem_lazy - the registry
 * @mutex: serialises everything but calls
 * @gate: calls are inside
 * @member: the table, the owner's
 * @members_count: its length
 * @backend: or NULL; changes only while no call can be inside
 * @connected: see above
 * @leaving: persistent members become LEAVING instead of READY
 * @held: nobody becomes READY
 */
struct tmem_lazy {
	struct tmem_os_mutex mutex;
	struct tmem_os_gate gate;
	struct tmem_lazy_member *member;
	uint32_t members_count;
	const struct tmem_lazy_backend *backend;
	bool connected;
	bool leaving;
	bool held;
};

/* What a call is about to do. */
enum tmem_lazy_call {
	TMEM_LAZY_GET, /* or flush */
	TMEM_LAZY_PUT,
};

int tmem_lazy_init(struct tmem_lazy *lazy, struct tmem_lazy_member *members, uint32_t members_count);

/* ---- what the operating system tells; may sleep ---- */

void tmem_lazy_remember(struct tmem_lazy *lazy, uint32_t slot, uint32_t pool_flags);
int tmem_lazy_remember_any(struct tmem_lazy *lazy, uint32_t first, uint32_t pool_flags, const void *uuid);
void tmem_lazy_forget(struct tmem_lazy *lazy, uint32_t slot);

/* ---- what the backend tells; may sleep ---- */

int tmem_lazy_register(struct tmem_lazy *lazy, const struct tmem_lazy_backend *backend);
void tmem_lazy_connect(struct tmem_lazy *lazy);
void tmem_lazy_hold(struct tmem_lazy *lazy);
void tmem_lazy_release(struct tmem_lazy *lazy);
void tmem_lazy_disconnect(struct tmem_lazy *lazy);
int tmem_lazy_unregister(struct tmem_lazy *lazy);
void tmem_lazy_leave(struct tmem_lazy *lazy);
void tmem_lazy_resume(struct tmem_lazy *lazy);
void tmem_lazy_mend(struct tmem_lazy *lazy);

/* ---- calls; anywhere ---- */

/**
 * tmem_lazy_enter() - may this call go through?
 * @lazy: the registry
 * @slot: the member's
 * @call: what for
 * @ticket: for tmem_lazy_exit()
 *
 * Return: true: the backend stays until tmem_lazy_exit(). False: there is none for this call, and nothing to be ended.
 */
static inline bool tmem_lazy_enter(struct tmem_lazy *lazy, uint32_t slot, enum tmem_lazy_call call, int *ticket)
{
	const struct tmem_lazy_member *member = &lazy->member[slot];
	uint32_t state;

	*ticket = tmem_os_gate_enter(&lazy->gate);
	state = tmem_load_acquire(&member->state);
	if ((state == TMEM_LAZY_READY || (state == TMEM_LAZY_LEAVING && call == TMEM_LAZY_GET)) &&
	    !tmem_load_acquire(&member->spoiled))
		return true;
	tmem_os_gate_leave(&lazy->gate, *ticket);
	return false;
}

static inline void tmem_lazy_exit(struct tmem_lazy *lazy, int ticket)
{
	tmem_os_gate_leave(&lazy->gate, ticket);
}

/* Inside: nothing may be got from this pool any more. Somebody must call tmem_lazy_mend() then. Ephemeral members only. */
static inline void tmem_lazy_spoil(struct tmem_lazy *lazy, uint32_t slot)
{
	tmem_store_release(&lazy->member[slot].spoiled, 1);
}

#ifdef __cplusplus
}
#endif

#endif /* LAZY_REGISTRY_H */
