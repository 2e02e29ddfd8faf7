// SPDX-License-Identifier: GPL-2.0-only
/*
 * What makes an error of a page that was lost: a page of the swap cache that is marked with PG_error while it is read. Who marks
 * pages is tmem.ko (frontswap_lost.c).
 *
 * A probe at the completion of swap reads turns the disk's answer for a marked page into an error. It changes one field before
 * the kernel looks at it, and nothing of the way the kernel goes. Who empties a swap area (swapoff, or tmem.ko when pages are
 * brought back) maps what was read without looking whether it could be. So from the first need on, a second probe makes that
 * task's question for a copy of such a page end as if there were no memory.
 *
 * Probes are set once and stay, as this module does: the kernel's text is not changed with every load of tmem.ko, under guests
 * that swap on other processors.
 */
#include "compat.h"

#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/oom.h>
#include <linux/pagemap.h>

#include "hooks.h"

#ifdef CONFIG_KPROBES

static int tmem_swap_read_ended(struct kprobe *probe, struct pt_regs *regs)
{
	struct bio *bio = (struct bio *)regs_get_kernel_argument(regs, 0);
	struct page *page = bio_first_page_all(bio);

	if (PageError(page) && !bio->bi_status)
		bio->bi_status = BLK_STS_IOERR;
	return 0;
}

static struct kprobe tmem_swap_read_probe = {
	.symbol_name = "end_swap_bio_read",
	.pre_handler = tmem_swap_read_ended,
};

/* The page that is to be mapped is what ksm_might_need_to_copy() returns. */
static int tmem_page_chosen(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct page *page = (struct page *)regs_return_value(regs);

	if (page && !PageUptodate(page) && oom_task_origin(current))
		regs_set_return_value(regs, 0);
	return 0;
}

static struct kretprobe tmem_unuse_probe = {
	.kp.symbol_name = "ksm_might_need_to_copy",
	.handler = tmem_page_chosen,
	.maxactive = 256,
};

static int tmem_watch_reads(void)
{
	return register_kprobe(&tmem_swap_read_probe);
}

static int tmem_guard_swapoff(void)
{
	return register_kretprobe(&tmem_unuse_probe);
}

#else

static int tmem_watch_reads(void)
{
	return -EOPNOTSUPP;
}

static int tmem_guard_swapoff(void)
{
	return -EOPNOTSUPP;
}

#endif

static DEFINE_MUTEX(tmem_probes_mutex);

static int tmem_probe_once(bool *there, int (*set)(void))
{
	int error = 0;

	if (READ_ONCE(*there))
		return 0;
	mutex_lock(&tmem_probes_mutex);
	if (!*there)
		error = set();
	if (!error)
		WRITE_ONCE(*there, true);
	mutex_unlock(&tmem_probes_mutex);
	return error;
}

/**
 * tmem_hooks_watch_reads() - from now on, a read of a marked page is an error
 *
 * Context: process, may sleep.
 * Return: 0; a negative error number: the kernel has nothing to hang a probe on.
 */
int tmem_hooks_watch_reads(void)
{
	static bool there;

	return tmem_probe_once(&there, tmem_watch_reads);
}
EXPORT_SYMBOL_GPL(tmem_hooks_watch_reads);

/**
 * tmem_hooks_guard_swapoff() - from now on, who empties a swap area gets no page that could not be read
 *
 * Context: process, may sleep.
 * Return: as above.
 */
int tmem_hooks_guard_swapoff(void)
{
	static bool there;

	return tmem_probe_once(&there, tmem_guard_swapoff);
}
EXPORT_SYMBOL_GPL(tmem_hooks_guard_swapoff);
