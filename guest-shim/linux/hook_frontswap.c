// SPDX-License-Identifier: GPL-2.0-only
/*
 * frontswap: pages of swap types in persistent pools.
 *
 * What is stored is known here, by a bit for each page, and only what has a bit is asked for: other backends hang in frontswap
 * too, and their pages are none of ours. A second bit says that a freed page is still to be flushed, because no operation was
 * free; the next store of that page, or the reaper, clears it.
 *
 * A stored page holds the module: its use count is the number of pages in the service, so it cannot be unloaded over them,
 * and a module that is being unloaded stores no more. What the service lost is an I/O error (frontswap_lost.c).
 *
 * The kernel makes one call at a time for a page, and none for a type after its area was invalidated.
 */
#include "hook.h"
#include "swapdisk.h"

#include <linux/frontswap.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#define TMEM_CHUNK_PAGES 4096u

/* The bits of 16 MiB of a swap type; made when the first of its pages is stored. */
struct tmem_chunk {
	unsigned long stored[BITS_TO_LONGS(TMEM_CHUNK_PAGES)];
	unsigned long unflushed[BITS_TO_LONGS(TMEM_CHUNK_PAGES)];
	u32 sums[]; /* with verify, of what was stored */
};

static struct xarray tmem_chunks[TMEM_HOOK_TYPES];
static atomic64_t tmem_stored[TMEM_HOOK_TYPES];
static atomic_t tmem_unflushed;
/* Who walks the chunks to flush late, and who frees those of a type. */
static DEFINE_MUTEX(tmem_reap_mutex);
/* Keeps the late flush of a page and its next store in order; taken only for pages that are still to be flushed. */
static DEFINE_SPINLOCK(tmem_reap_lock);

static struct tmem_chunk *tmem_chunk_of(u32 type, pgoff_t offset)
{
	return xa_load(&tmem_chunks[type], offset / TMEM_CHUNK_PAGES);
}

/* Called in reclaim: does not wait, takes nothing of the kernel's last reserve, and refuses rather. */
static struct tmem_chunk *tmem_chunk_make(u32 type, pgoff_t offset)
{
	gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN | __GFP_NOMEMALLOC;
	struct tmem_chunk *chunk = tmem_chunk_of(type, offset);
	struct tmem_chunk *other;

	if (chunk)
		return chunk;
	chunk = kzalloc(struct_size(chunk, sums, tmem_disk_verify ? TMEM_CHUNK_PAGES : 0), gfp);
	if (!chunk)
		return NULL;
	other = xa_cmpxchg(&tmem_chunks[type], offset / TMEM_CHUNK_PAGES, NULL, chunk, gfp);
	if (!other)
		return chunk;
	kfree(chunk);
	return xa_is_err(other) ? NULL : other;
}

static void tmem_frontswap_name(struct tmem_front_handle *handle, u32 type, pgoff_t offset)
{
	memset(handle, 0, sizeof(*handle));
	handle->pool = TMEM_POOL_HOOKS + type;
	handle->object[0] = offset >> 16; /* so that no object is unbounded; extents of it spread over the queues */
	handle->index = offset & 0xffff;
}

u64 tmem_frontswap_pages(void *owner, u32 slot)
{
	return slot < TMEM_HOOK_TYPES ? atomic64_read(&tmem_stored[slot]) : 0;
}

u64 tmem_frontswap_all_pages(void)
{
	u64 sum = 0;
	u32 type;

	for (type = 0; type < TMEM_HOOK_TYPES; type++)
		sum += atomic64_read(&tmem_stored[type]);
	return sum;
}

/* ---- store and load ---- */

static int tmem_frontswap_try_store(u32 type, pgoff_t offset, struct page *page)
{
	struct tmem_front_handle handle;
	struct tmem_chunk *chunk;
	unsigned long flags;
	u32 bit = offset % TMEM_CHUNK_PAGES;

	/*
	 * A huge page that comes here unsplit (THP_SWAP) goes to the disk whole; a service that is away is not waited for, there
	 * is a disk.
	 */
	if (PageTransHuge(page) || !tmem_guest_is_connected() || !tmem_frontswap_may_take(page))
		return -1;
	chunk = tmem_chunk_make(type, offset);
	if (!chunk || !try_module_get(THIS_MODULE))
		return -1;
	if (test_bit(bit, chunk->unflushed)) {
		spin_lock_irqsave(&tmem_reap_lock, flags);
		if (test_and_clear_bit(bit, chunk->unflushed))
			atomic_dec(&tmem_unflushed);
		spin_unlock_irqrestore(&tmem_reap_lock, flags);
	}
	if (tmem_disk_verify)
		chunk->sums[bit] = tmem_disk_sum(page);
	atomic64_inc(&tmem_stored[type]);
	tmem_frontswap_name(&handle, type, offset);
	if (tmem_front_put(&tmem_guest.front, &handle, page) != TMEMIF_OK) {
		atomic64_dec(&tmem_stored[type]);
		module_put(THIS_MODULE);
		return -1;
	}
	set_bit(bit, chunk->stored);
	return 0;
}

int tmem_frontswap_store(u32 type, pgoff_t offset, struct page *page)
{
	int result = tmem_frontswap_try_store(type, offset, page);

	tmem_hook_count(result ? TMEM_FRONTSWAP_STORE_REFUSED : TMEM_FRONTSWAP_STORED);
	return result;
}

int tmem_frontswap_load(u32 type, pgoff_t offset, struct page *page)
{
	struct tmem_chunk *chunk = tmem_chunk_of(type, offset);
	u32 bit = offset % TMEM_CHUNK_PAGES;
	struct tmem_front_handle handle;

	if (!chunk || !test_bit(bit, chunk->stored))
		return -1;
	tmem_frontswap_name(&handle, type, offset);
	if (tmem_front_get(&tmem_guest.front, &handle, page) != TMEMIF_OK) {
		tmem_hook_count(TMEM_FRONTSWAP_LOST);
	} else if (tmem_disk_verify && tmem_disk_sum(page) != chunk->sums[bit]) {
		pr_err_ratelimited("swap type %u, page %lu: the service gave other bytes than it was given\n", type, offset);
		tmem_hook_count(TMEM_FRONTSWAP_VERIFY_FAILED);
	} else {
		tmem_hook_count(TMEM_FRONTSWAP_LOADED);
		return 0;
	}
	tmem_frontswap_mark_lost(page);
	return -1;
}

/* ---- freeing ---- */

static void tmem_frontswap_send_flush(struct tmem_hook_op *hook, u32 type, pgoff_t offset)
{
	struct tmem_front_handle handle;

	tmem_frontswap_name(&handle, type, offset);
	tmem_front_op_page(&hook->op, TMEMIF_OP_FLUSH_PAGE, &handle, NULL);
	hook->op.done = tmem_hook_flush_done;
	tmem_front_submit(&tmem_guest.front, &hook->op);
}

static void tmem_frontswap_reap_chunk(u32 type, pgoff_t first, struct tmem_chunk *chunk)
{
	unsigned long flags;
	u32 bit;

	for_each_set_bit(bit, chunk->unflushed, TMEM_CHUNK_PAGES) {
		struct tmem_hook_op *hook = tmem_hook_wait_op();

		spin_lock_irqsave(&tmem_reap_lock, flags);
		if (test_and_clear_bit(bit, chunk->unflushed)) {
			atomic_dec(&tmem_unflushed);
			tmem_frontswap_send_flush(hook, type, first + bit); /* only sent here */
			hook = NULL;
		}
		spin_unlock_irqrestore(&tmem_reap_lock, flags);
		if (hook)
			tmem_hook_put_op(hook);
	}
}

static void tmem_frontswap_reap(struct work_struct *work)
{
	struct tmem_chunk *chunk;
	unsigned long number;
	int ticket;
	u32 type;

	for (type = 0; type < TMEM_HOOK_TYPES && atomic_read(&tmem_unflushed); type++) {
		if (!tmem_lazy_enter(&tmem_hooks_registry, type, TMEM_LAZY_GET, &ticket))
			continue;
		mutex_lock(&tmem_reap_mutex);
		xa_for_each(&tmem_chunks[type], number, chunk)
			tmem_frontswap_reap_chunk(type, number * TMEM_CHUNK_PAGES, chunk);
		mutex_unlock(&tmem_reap_mutex);
		tmem_lazy_exit(&tmem_hooks_registry, ticket);
	}
}
static DECLARE_WORK(tmem_frontswap_reaper, tmem_frontswap_reap);

static void tmem_frontswap_forget(u32 type)
{
	atomic64_dec(&tmem_stored[type]);
	tmem_frontswap_page_gone(tmem_frontswap_all_pages());
	module_put(THIS_MODULE); /* not the last touch of this code: the registry's gate holds it */
}

void tmem_frontswap_invalidate(u32 type, pgoff_t offset)
{
	struct tmem_chunk *chunk = tmem_chunk_of(type, offset);
	struct tmem_hook_op *hook;
	u32 bit = offset % TMEM_CHUNK_PAGES;

	if (!chunk || !test_and_clear_bit(bit, chunk->stored))
		return;
	tmem_hook_count(TMEM_FRONTSWAP_INVALIDATED);
	hook = tmem_hook_get_op();
	if (hook) {
		tmem_frontswap_send_flush(hook, type, offset);
	} else {
		tmem_hook_count(TMEM_FRONTSWAP_FLUSH_LATE);
		atomic_inc(&tmem_unflushed);
		set_bit(bit, chunk->unflushed);
		schedule_work(&tmem_frontswap_reaper);
	}
	tmem_frontswap_forget(type);
}

static void tmem_frontswap_free_chunks(u32 type)
{
	struct tmem_chunk *chunk;
	unsigned long number;

	xa_for_each(&tmem_chunks[type], number, chunk) {
		xa_erase(&tmem_chunks[type], number);
		kfree(chunk);
	}
}

/* The registry drops the pool next. */
void tmem_frontswap_area(u32 type)
{
	struct tmem_chunk *chunk;
	unsigned long number;
	u32 bit;

	mutex_lock(&tmem_reap_mutex);
	xa_for_each(&tmem_chunks[type], number, chunk) {
		atomic_sub(bitmap_weight(chunk->unflushed, TMEM_CHUNK_PAGES), &tmem_unflushed);
		for_each_set_bit(bit, chunk->stored, TMEM_CHUNK_PAGES)
			tmem_frontswap_forget(type);
	}
	tmem_frontswap_free_chunks(type);
	mutex_unlock(&tmem_reap_mutex);
}

int tmem_frontswap_init(void)
{
	u32 type;

	for (type = 0; type < TMEM_HOOK_TYPES; type++)
		xa_init(&tmem_chunks[type]);
	return tmem_frontswap_lost_init();
}

void tmem_frontswap_exit(void)
{
	u32 type;

	cancel_work_sync(&tmem_frontswap_reaper);
	for (type = 0; type < TMEM_HOOK_TYPES; type++)
		tmem_frontswap_free_chunks(type);
	tmem_frontswap_lost_exit();
}
