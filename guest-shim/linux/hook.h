/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tmem.ko's side of frontswap and cleancache shares: operations for where nothing may wait, pool numbers, counters.
 * Only compiled where the kernel has one of the two hooks; elsewhere guest.h says so in one line.
 */
#ifndef TMEM_HOOK_H
#define TMEM_HOOK_H

#include "guest.h"
#include "hooks.h"

/* Behind the swap disks' pools, one for each slot. */
#define TMEM_POOL_HOOKS TMEM_SWAPDISKS_MAX
#define TMEM_HOOK_OPS 512u

/* One counter for each outcome. */
enum tmem_hook_stat {
	TMEM_FRONTSWAP_STORED,          /* store: in the service */
	TMEM_FRONTSWAP_STORE_REFUSED,   /* store: the service, or the lack of one, says no; goes to the disk */
	TMEM_FRONTSWAP_LOADED,          /* load: came back */
	TMEM_FRONTSWAP_LOST,            /* load: was stored and is gone */
	TMEM_FRONTSWAP_VERIFY_FAILED,   /* load: verify=1 and the bytes were not those stored */
	TMEM_FRONTSWAP_INVALIDATED,     /* freed by the kernel */
	TMEM_FRONTSWAP_FLUSH_LATE,      /* of those: flushed later, no operation was free */
	TMEM_CLEANCACHE_PUT,            /* put: sent */
	TMEM_CLEANCACHE_PUT_DROPPED,    /* put: would have waited too long; flushed instead */
	TMEM_CLEANCACHE_PUT_REFUSED,    /* put: sent, and the service says no */
	TMEM_CLEANCACHE_GET_HIT,        /* get */
	TMEM_CLEANCACHE_GET_MISS,       /* get: not there, or no connection */
	TMEM_CLEANCACHE_FLUSHED,        /* page or file flushed */
	TMEM_CLEANCACHE_SPOILED,        /* a flush could not be sent: the file system's pool is made anew */
	TMEM_HOOK_STATS,
};

/* An operation of the fixed table. */
struct tmem_hook_op {
	struct tmem_front_op op;
	struct tmem_hook_op *next;
};

extern atomic64_t tmem_hook_stats[TMEM_HOOK_STATS];
extern bool tmem_frontswap_on;
extern bool tmem_cleancache_on;

static inline void tmem_hook_count(enum tmem_hook_stat stat)
{
	atomic64_inc(&tmem_hook_stats[stat]);
}

/* hook.c */
struct tmem_hook_op *tmem_hook_get_op(void);      /* or NULL; anywhere */
struct tmem_hook_op *tmem_hook_wait_op(void);     /* sleeps */
void tmem_hook_put_op(struct tmem_hook_op *hook); /* anywhere */
void tmem_hook_flush_done(struct tmem_front_op *op);

/* hook_frontswap.c */
int tmem_frontswap_store(u32 type, pgoff_t offset, struct page *page);
int tmem_frontswap_load(u32 type, pgoff_t offset, struct page *page);
void tmem_frontswap_invalidate(u32 type, pgoff_t offset);
void tmem_frontswap_area(u32 type);
u64 tmem_frontswap_pages(void *owner, u32 slot);
int tmem_frontswap_init(void);
void tmem_frontswap_exit(void);
u64 tmem_frontswap_all_pages(void);

/* frontswap_giveback.c */
int tmem_frontswap_give_back(u64 target, const bool *called_off);
void tmem_frontswap_stands_again(void);
void tmem_frontswap_giveback_exit(void);
void tmem_frontswap_page_gone(u64 left);

/* frontswap_request.c */
void tmem_frontswap_request_init(void);
void tmem_frontswap_request_exit(void);

/* frontswap_lost.c */
bool tmem_frontswap_may_take(struct page *page);
bool tmem_frontswap_writes_through(void);
void tmem_frontswap_mark_lost(struct page *page);
int tmem_frontswap_lost_init(void);
void tmem_frontswap_lost_exit(void);

/* hook_cleancache.c */
void tmem_cleancache_begin(u32 slot, bool shared);
int tmem_cleancache_get(u32 slot, const u64 object[3], pgoff_t index, struct page *page);
void tmem_cleancache_put(u32 slot, const u64 object[3], pgoff_t index, struct page *page);
void tmem_cleancache_flush(u32 slot, const u64 object[3], pgoff_t index);
void tmem_cleancache_flush_object(u32 slot, const u64 object[3]);

/* hook_sysfs.c */
int tmem_hook_sysfs_init(void);
void tmem_hook_sysfs_exit(void);

/* hook.c: somebody spoiled a slot */
void tmem_hook_mend(void);

#endif /* TMEM_HOOK_H */
