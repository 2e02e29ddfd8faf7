// SPDX-License-Identifier: GPL-2.0-only
/*
 * cleancache: clean pages that leave the page cache, kept in an ephemeral pool for each file system, private or shared.
 *
 * A put comes with the page cache's lock held: it is sent if there is room for it, and dropped otherwise. Pages leave in
 * bursts, faster than the service takes them; so room is waited for, ten times as long as others look for an answer and only as
 * long as the service is seen to work. A put that is dropped is a flush if the pool may have an older page of that name; and a
 * flush that finds no free operation spoils the pool, which is then made anew. A page that was asked for and has not been changed
 * since has no older one: the get took it, or there was none. Such pages are marked by a number in page->private, which is
 * nobody's as long as the page has no buffers; who gives it buffers or takes them away also takes the mark. Gets wait, and take
 * the page out of the pool; without a connection they miss at once, which is no harm: as long as the page is in the page cache
 * nobody asks, and when it leaves it is put or flushed.
 */
#include "hook.h"

#define TMEM_PUT_WAIT_POLLS 10u
#define TMEM_PUT_WAIT_NS_MAX 10000000u

/* The pool may have pages. */
static bool tmem_cleancache_used[TMEM_HOOK_SLOTS];
#define TMEM_PAGE_ABSENT 0x746d656dul /* a page's private number: the pool has none of this name */

/* Waiting for room was in vain, and no put has been answered since. */
static bool tmem_cleancache_stuck;

/* A pool is made: there is nothing in it, unless others have it too. */
void tmem_cleancache_begin(u32 slot, bool shared)
{
	WRITE_ONCE(tmem_cleancache_used[slot], shared);
}

static bool tmem_cleancache_is_absent(struct page *page)
{
	return !PagePrivate(page) && page_private(page) == TMEM_PAGE_ABSENT;
}

/* The page is locked and new in the page cache. Others put into a shared pool, too. */
static void tmem_cleancache_mark_absent(u32 slot, struct page *page)
{
	if (!PagePrivate(page) && !(READ_ONCE(tmem_hooks_registry.member[slot].pool_flags) & TMEMIF_POOL_SHARED))
		set_page_private(page, TMEM_PAGE_ABSENT);
}

/* Pages that have no name here are in no pool either. */
static bool tmem_cleancache_name(struct tmem_front_handle *handle, u32 slot, const u64 object[3], pgoff_t index)
{
	if (index > U32_MAX || (object[0] & object[1] & object[2]) == U64_MAX)
		return false;
	handle->pool = TMEM_POOL_HOOKS + slot;
	handle->index = index;
	memcpy(handle->object, object, sizeof(handle->object));
	return true;
}

static void tmem_cleancache_spoil(u32 slot)
{
	tmem_hook_count(TMEM_CLEANCACHE_SPOILED);
	tmem_lazy_spoil(&tmem_hooks_registry, slot);
	tmem_hook_mend();
}

static void tmem_cleancache_put_done(struct tmem_front_op *op)
{
	WRITE_ONCE(tmem_cleancache_stuck, false);
	if (op->status != TMEMIF_OK)
		tmem_hook_count(TMEM_CLEANCACHE_PUT_REFUSED);
	tmem_hook_put_op(container_of(op, struct tmem_hook_op, op));
}

/* Takes over the operation, which may be none. */
static void tmem_cleancache_send_flush(struct tmem_hook_op *hook, const struct tmem_front_handle *handle)
{
	if (!hook) {
		tmem_cleancache_spoil(handle->pool - TMEM_POOL_HOOKS);
		return;
	}
	tmem_front_op_page(&hook->op, TMEMIF_OP_FLUSH_PAGE, handle, NULL);
	hook->op.done = tmem_hook_flush_done;
	tmem_front_submit(&tmem_guest.front, &hook->op);
}

static bool tmem_cleancache_send_put(struct tmem_front_op *op)
{
	const u32 wait_ns = min(TMEM_PUT_WAIT_POLLS * tmem_guest.front.config.poll_ns, TMEM_PUT_WAIT_NS_MAX);
	u64 begin;

	if (tmem_front_try_submit(&tmem_guest.front, op))
		return true;
	if (READ_ONCE(tmem_cleancache_stuck) || !tmem_guest_is_connected())
		return false;
	begin = tmem_os_now_ns();
	do {
		cpu_relax();
		if (tmem_front_try_submit(&tmem_guest.front, op))
			return true;
	} while (tmem_os_now_ns() - begin < wait_ns);
	WRITE_ONCE(tmem_cleancache_stuck, true);
	return false;
}

void tmem_cleancache_put(u32 slot, const u64 object[3], pgoff_t index, struct page *page)
{
	struct tmem_hook_op *hook;
	struct tmem_front_handle handle;

	if (!tmem_cleancache_name(&handle, slot, object, index))
		return;
	WRITE_ONCE(tmem_cleancache_used[slot], true);
	hook = tmem_hook_get_op();
	if (hook) {
		tmem_front_op_page(&hook->op, TMEMIF_OP_PUT, &handle, page);
		hook->op.done = tmem_cleancache_put_done;
		if (tmem_cleancache_send_put(&hook->op)) {
			tmem_hook_count(TMEM_CLEANCACHE_PUT);
			return;
		}
	}
	tmem_hook_count(TMEM_CLEANCACHE_PUT_DROPPED);
	if (!tmem_cleancache_is_absent(page))
		tmem_cleancache_send_flush(hook, &handle);
	else if (hook)
		tmem_hook_put_op(hook);
}

int tmem_cleancache_get(u32 slot, const u64 object[3], pgoff_t index, struct page *page)
{
	struct tmem_front_handle handle;
	u32 status = TMEM_FRONT_CLOSED;
	bool hit;

	if (!tmem_cleancache_name(&handle, slot, object, index))
		return -1;
	if (!READ_ONCE(tmem_cleancache_used[slot]))
		status = TMEMIF_MISS;
	else if (tmem_guest_is_connected())
		status = tmem_front_get(&tmem_guest.front, &handle, page);
	hit = status == TMEMIF_OK;
	if (hit || status == TMEMIF_MISS)
		tmem_cleancache_mark_absent(slot, page);
	tmem_hook_count(hit ? TMEM_CLEANCACHE_GET_HIT : TMEM_CLEANCACHE_GET_MISS);
	return hit ? 0 : -1;
}

void tmem_cleancache_flush(u32 slot, const u64 object[3], pgoff_t index)
{
	struct tmem_front_handle handle;

	if (!READ_ONCE(tmem_cleancache_used[slot]) || !tmem_cleancache_name(&handle, slot, object, index))
		return;
	tmem_hook_count(TMEM_CLEANCACHE_FLUSHED);
	tmem_cleancache_send_flush(tmem_hook_get_op(), &handle);
}

void tmem_cleancache_flush_object(u32 slot, const u64 object[3])
{
	struct tmem_front_handle handle;

	if (!READ_ONCE(tmem_cleancache_used[slot]) || !tmem_cleancache_name(&handle, slot, object, 0))
		return;
	tmem_hook_count(TMEM_CLEANCACHE_FLUSHED);
	if (tmem_guest_is_connected())
		tmem_front_flush_object(&tmem_guest.front, &handle);
	else
		tmem_cleancache_spoil(slot); /* unlink and truncate do not wait for a service that is away */
}
