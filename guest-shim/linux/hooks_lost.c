// SPDX-License-Identifier: GPL-2.0-only
/*
 * What makes an error of a page that was lost: a page of the swap cache that is marked with PG_error while it is read. Who marks
 * pages is tmem.ko (frontswap_lost.c).
 *
 * A probe at the completion of swap reads turns the disk's answer for a marked page into an error. It changes one field before
 * the kernel looks at it, and nothing of the way the kernel goes.
 *
 * Who empties a swap area (swapoff, or tmem.ko when pages are brought back) takes such an error in two wrong ways. A process's page
 * is mapped without looking whether it could be read; a page of shared memory is tried again and again, without an end and deaf to
 * signals. So two more probes, for that task only, let it end as if there were no memory.
 *
 * Probes are set once and stay, as this module does: the kernel's text is not changed with every load of tmem.ko, under guests
 * that swap on other processors.
 */
#include "compat.h"

#include <linux/kprobes.h>
#include <linux/module.h>
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

static int tmem_shared_page_read(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	if ((int)regs_return_value(regs) == -EIO && oom_task_origin(current))
		regs_set_return_value(regs, (unsigned long)-ENOMEM);
	return 0;
}

static struct kretprobe tmem_unuse_shared_probe = {
	.kp.symbol_name = "shmem_swapin_page",
	.handler = tmem_shared_page_read,
	.maxactive = 256,
};

static int tmem_watch_reads(void)
{
	int error;

	error = register_kprobe(&tmem_swap_read_probe);
	if (error)
		return error;
	error = register_kretprobe(&tmem_unuse_probe);
	if (error)
		goto out_read;
	error = register_kretprobe(&tmem_unuse_shared_probe);
	if (error)
		goto out_unuse;
	return 0;

out_unuse:
	unregister_kretprobe(&tmem_unuse_probe);
out_read:
	unregister_kprobe(&tmem_swap_read_probe);
	return error;
}

#else

static int tmem_watch_reads(void)
{
	return -EOPNOTSUPP;
}

#endif

/**
 * tmem_hooks_watch_reads() - from now on, a read of a marked page is an error, for everybody
 *
 * Context: process, may sleep; one at a time (as modules are initialised).
 * Return: 0; a negative error number: the kernel has nothing to hang a probe on.
 */
int tmem_hooks_watch_reads(void)
{
	static bool watched;
	int error = watched ? 0 : tmem_watch_reads();

	watched = !error;
	return error;
}
EXPORT_SYMBOL_GPL(tmem_hooks_watch_reads);
