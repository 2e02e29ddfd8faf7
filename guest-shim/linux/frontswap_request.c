// SPDX-License-Identifier: GPL-2.0-only
/*
 * dom0 asks for pages to be taken back: xenstore-config/nodes.md has the node and the answer. The way is that of everybody who
 * wants pages back (frontswap_giveback.c). The request stands as long as the node does: with 0 nothing is stored meanwhile, and
 * what is under way ends when the node changes or goes.
 *
 * Threads: the watch only notes; a worker reads, walks and answers. A node that is written once may be heard of twice, so what is
 * under way goes on as long as the node says the same.
 */
#include "hook.h"

#include <xen/xenbus.h>

#include "tmem/tmem_xs.h"

#define TMEM_REQUEST_ANSWER "device/" TMEM_XS_DEVICE "/0"

static bool tmem_request_changed;
static bool tmem_request_busy;
static u64 tmem_request_target;
static bool tmem_request_watched;

static void tmem_request_answer(u64 target, bool busy, int error)
{
	xenbus_printf(XBT_NIL, TMEM_REQUEST_ANSWER, TMEM_XS_PAGES_BACK, "target=%llu left=%llu busy=%d error=%d", target,
		      tmem_frontswap_all_pages(), busy, -error);
}

static bool tmem_request_read(u64 *target)
{
	char *text = xenbus_read(XBT_NIL, TMEM_XS_PAGES_TARGET, "", NULL);
	int error;

	if (IS_ERR(text))
		return false;
	error = kstrtou64(text, 10, target);
	kfree(text);
	return error == 0;
}

static bool tmem_request_is_same(void)
{
	u64 target;

	return READ_ONCE(tmem_request_busy) && tmem_request_read(&target) && target == READ_ONCE(tmem_request_target);
}

static void tmem_request_work(struct work_struct *work)
{
	u64 target;
	int error;

	do {
		if (!tmem_request_read(&target)) {
			WRITE_ONCE(tmem_request_busy, false);
			tmem_frontswap_stands_again();
			return;
		}
		WRITE_ONCE(tmem_request_target, target);
		smp_store_release(&tmem_request_busy, true);
		WRITE_ONCE(tmem_request_changed, false);
	} while (!tmem_request_is_same());
	tmem_request_answer(target, true, 0);
	error = tmem_frontswap_give_back(target, &tmem_request_changed);
	WRITE_ONCE(tmem_request_busy, false);
	tmem_request_answer(target, false, error);
}
static DECLARE_WORK(tmem_request_worker, tmem_request_work);

static void tmem_request_heard(struct xenbus_watch *watch, const char *path, const char *token)
{
	if (tmem_request_is_same())
		return;
	WRITE_ONCE(tmem_request_changed, true);
	queue_work(system_unbound_wq, &tmem_request_worker);
}

static struct xenbus_watch tmem_request_watch = {
	.node = TMEM_XS_PAGES_TARGET,
	.callback = tmem_request_heard,
};

/* Without it the guest works, and is deaf to this request. */
void tmem_frontswap_request_init(void)
{
	tmem_request_watched = register_xenbus_watch(&tmem_request_watch) == 0;
	if (!tmem_request_watched)
		pr_warn("no watch of %s: dom0 cannot ask for pages to be taken back\n", TMEM_XS_PAGES_TARGET);
}

void tmem_frontswap_request_exit(void)
{
	if (tmem_request_watched)
		unregister_xenbus_watch(&tmem_request_watch);
	cancel_work_sync(&tmem_request_worker);
}
