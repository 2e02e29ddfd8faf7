// SPDX-License-Identifier: GPL-2.0-only
/* tmem.ko as the backend of tmem_hooks.ko: pools, and operations for where nothing may wait. See hook.h and hooks.h. */
#include "hook.h"

#include <linux/module.h>
#include <linux/vmalloc.h>

bool tmem_cleancache_on = true;
module_param_named(cleancache, tmem_cleancache_on, bool, 0444);
MODULE_PARM_DESC(cleancache, "keep clean file pages that the kernel drops, where it has cleancache (default 1)");

atomic64_t tmem_hook_stats[TMEM_HOOK_STATS];

static struct tmem_hook_op *tmem_hook_ops;
static struct tmem_hook_op *tmem_hook_free;
static DEFINE_SPINLOCK(tmem_hook_lock);
static DECLARE_WAIT_QUEUE_HEAD(tmem_hook_room);
static bool tmem_hook_registered;

struct tmem_hook_op *tmem_hook_get_op(void)
{
	struct tmem_hook_op *hook;
	unsigned long flags;

	spin_lock_irqsave(&tmem_hook_lock, flags);
	hook = tmem_hook_free;
	if (hook)
		tmem_hook_free = hook->next;
	spin_unlock_irqrestore(&tmem_hook_lock, flags);
	return hook;
}

struct tmem_hook_op *tmem_hook_wait_op(void)
{
	struct tmem_hook_op *hook;

	wait_event(tmem_hook_room, (hook = tmem_hook_get_op()));
	return hook;
}

void tmem_hook_put_op(struct tmem_hook_op *hook)
{
	unsigned long flags;

	spin_lock_irqsave(&tmem_hook_lock, flags);
	hook->next = tmem_hook_free;
	tmem_hook_free = hook;
	spin_unlock_irqrestore(&tmem_hook_lock, flags);
	wake_up(&tmem_hook_room);
}

/* Whatever the answer, the page is gone: flushed, never there, or in a pool that is never claimed again. */
void tmem_hook_flush_done(struct tmem_front_op *op)
{
	tmem_hook_put_op(container_of(op, struct tmem_hook_op, op));
}

/* ---- pools ---- */

static int tmem_hook_make_pool(void *owner, u32 slot, u32 pool_flags, const u64 uuid[2])
{
	const void *name = pool_flags & TMEMIF_POOL_SHARED ? uuid : NULL;
	u32 pool = TMEM_POOL_HOOKS + slot;
	u32 status;

	/* The tables stay in the kernel when an earlier tmem.ko has gone, and this one may not want all of them. */
	if (slot < TMEM_HOOK_TYPES ? !tmem_frontswap_on : !tmem_cleancache_on)
		return -EOPNOTSUPP;
	tmem_cleancache_begin(slot, name != NULL);
	status = tmem_front_new_pool(&tmem_guest.front, pool, pool_flags, name);
	if (status == TMEMIF_OK)
		return 0;
	if (status != TMEM_FRONT_CLOSED) {
		pr_warn("the service refuses a pool for %s %u (status %u)\n",
			slot < TMEM_HOOK_TYPES ? "swap type" : "file system", slot, status);
		if (!tmem_frontswap_pages(NULL, slot)) /* else it is a pool of before, and what other queues have of it is good */
			tmem_front_destroy_pool(&tmem_guest.front, pool); /* on some queues it may have been made */
	}
	return tmem_front_errno(status);
}

static int tmem_hook_drop_pool(void *owner, u32 slot)
{
	u32 status = tmem_front_destroy_pool(&tmem_guest.front, TMEM_POOL_HOOKS + slot);

	/* CLOSED: with the connection all pools went, for good. */
	return status == TMEMIF_OK || status == TMEMIF_NO_POOL || status == TMEM_FRONT_CLOSED ? 0 : tmem_front_errno(status);
}

static const struct tmem_hooks_backend tmem_hook_backend = {
	.lazy = {
		.make_pool = tmem_hook_make_pool,
		.drop_pool = tmem_hook_drop_pool,
		.pages = tmem_frontswap_pages,
	},
	.store = tmem_frontswap_store,
	.load = tmem_frontswap_load,
	.invalidate = tmem_frontswap_invalidate,
	.area = tmem_frontswap_area,
	.get = tmem_cleancache_get,
	.put = tmem_cleancache_put,
	.flush = tmem_cleancache_flush,
	.flush_object = tmem_cleancache_flush_object,
};

static void tmem_hook_mend_work(struct work_struct *work)
{
	tmem_lazy_mend(&tmem_hooks_registry);
}
static DECLARE_WORK(tmem_hook_mender, tmem_hook_mend_work);

void tmem_hook_mend(void)
{
	schedule_work(&tmem_hook_mender);
}

/* ---- the module's life; see guest.h ---- */

void tmem_hooks_connected(void)
{
	tmem_lazy_connect(&tmem_hooks_registry);
}

void tmem_hooks_closed(void)
{
	tmem_lazy_disconnect(&tmem_hooks_registry);
}

bool tmem_hooks_need_service(void)
{
	return tmem_frontswap_all_pages() > 0 && !tmem_frontswap_writes_through();
}

int tmem_hooks_begin(void)
{
	int error;
	u32 i;

	BUILD_BUG_ON(TMEM_POOL_HOOKS + TMEM_HOOK_SLOTS > TMEM_POOLS_MAX);
	tmem_hook_ops = vzalloc(array_size(TMEM_HOOK_OPS, sizeof(*tmem_hook_ops)));
	if (!tmem_hook_ops)
		return -ENOMEM;
	for (i = 0; i < TMEM_HOOK_OPS; i++)
		tmem_hook_put_op(&tmem_hook_ops[i]);
	error = tmem_frontswap_init();
	if (error)
		goto out_free;
	error = tmem_hook_sysfs_init();
	if (error)
		goto out_frontswap;
	error = tmem_hooks_register(&tmem_hook_backend, tmem_frontswap_on, tmem_cleancache_on);
	if (error)
		goto out_sysfs;
	tmem_hook_registered = true;
	tmem_frontswap_request_init();
	return 0;

out_sysfs:
	tmem_hook_sysfs_exit();
out_frontswap:
	tmem_frontswap_exit();
out_free:
	vfree(tmem_hook_ops);
	return error;
}

/* Calls end. A page in the service holds the module, so there are none. The connection is still there. */
void tmem_hooks_end(void)
{
	tmem_frontswap_request_exit();
	tmem_frontswap_giveback_exit();
	WARN_ON_ONCE(tmem_hook_registered && tmem_hooks_unregister());
	cancel_work_sync(&tmem_hook_mender);
	tmem_hook_sysfs_exit();
	tmem_frontswap_exit();
}

/* The connection is closed, so every operation has come back. */
void tmem_hooks_free(void)
{
	vfree(tmem_hook_ops);
}
