/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: the module
 *
 * One front (guest-shim/core) serves all hooks of this guest. bus_xenbus.c connects it to the service over xenbus; the hooks
 * (hook_*.c) submit operations and know nothing of Xen. A connection may come, go and come again while hooks are in use:
 *
 *   lost      the front makes callers wait, for tmem_reconnect_s seconds at most
 *   given up  then everything is answered TMEM_FRONT_CLOSED; a later connection claims nothing of before (new nonce)
 *
 * Lock order: the bus's (process context, held over a handshake), tmem_guest.lock (process context), what the front takes.
 */
#ifndef TMEM_GUEST_H
#define TMEM_GUEST_H

#include "compat.h"

#include <linux/mutex.h>
#include <linux/workqueue.h>

#include "tmem_front.h"

/* Pool ids are ours to choose: one range for each hook. */
#define TMEM_POOL_SWAPDISK 0u
#define TMEM_SWAPDISKS_MAX 32u
#define TMEM_POOLS_MAX 128u

/**
 * struct tmem_identity - what claims the pools of an earlier connection
 * @nonce: random; new after every close
 * @epoch: told by the service
 */
struct tmem_identity {
	u64 nonce[2];
	u64 epoch;
};

/**
 * struct tmem_guest - this guest as a client of the service
 * @front: see tmem_front.h
 * @front_memory: given to @front at init
 * @lock: guards everything below, and the order of attach, lost and close. Nobody waits for xenstore with it: a lost connection can be
 *        given up also where xenstore does not answer
 * @identity: what the next handshake presents
 * @connected: tells the hooks of a new connection; not under @lock, because they wait for answers
 * @give_up: runs when a lost connection did not come back in time
 * @give_up_wq: for it alone: whoever waits for memory may wait for the connection to be given up
 */
struct tmem_guest {
	struct tmem_front front;
	void *front_memory;
	struct mutex lock;
	struct tmem_identity identity;
	struct work_struct connected;
	struct delayed_work give_up;
	unsigned long lost_at;
	struct workqueue_struct *give_up_wq;
};

extern struct tmem_guest tmem_guest;
extern unsigned int tmem_reconnect_s;

static inline bool tmem_guest_is_connected(void)
{
	return tmem_front_read_state(&tmem_guest.front) == TMEM_FRONT_STATE_CONNECTED;
}

/* module.c: what the bus asks and tells. */
struct tmem_identity tmem_guest_identity(void);
int tmem_guest_attached(const struct tmem_front_attachment *attachment, const struct tmem_identity *offered, u64 epoch);
void tmem_guest_lost(void);
void tmem_guest_closed(void);

/* bus_xenbus.c */
int tmem_bus_init(void);
void tmem_bus_exit(void);
void tmem_bus_notify(void *owner, u32 queue);

/* hook_swapdisk.c */
int tmem_swapdisk_init(void);
void tmem_swapdisk_exit(void);
void tmem_swapdisk_connected(void);
bool tmem_swapdisk_needs_service(void);

/* hook.c: frontswap and cleancache, where this kernel has them. Calls of one at a time, in the module's and the bus's threads. */
#ifdef TMEM_HAVE_HOOKS
int tmem_hooks_begin(void);
void tmem_hooks_connected(void);
void tmem_hooks_closed(void);
bool tmem_hooks_need_service(void);
void tmem_hooks_end(void);  /* while the connection is still there */
void tmem_hooks_free(void); /* after it was closed */
#else
static inline int tmem_hooks_begin(void)
{
	pr_info("this kernel has neither frontswap nor cleancache for modules: swap disks only\n");
	return 0;
}

static inline void tmem_hooks_connected(void)
{
}

static inline void tmem_hooks_closed(void)
{
}

static inline bool tmem_hooks_need_service(void)
{
	return false;
}

static inline void tmem_hooks_end(void)
{
}

static inline void tmem_hooks_free(void)
{
}
#endif

#endif /* TMEM_GUEST_H */
