// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page that frontswap took, that was never written to the disk, and that the service has lost. When a load fails the kernel
 * reads the disk instead, and would take what lies there of before for the page. That must be an I/O error.
 *
 * So a load that lost its page marks it with PG_error, which a page being read does not have, and a probe at the completion of
 * swap reads turns the disk's answer for a marked page into an error: the process gets SIGBUS, as from a broken disk. The
 * probe changes one field before the kernel looks at it, and nothing of the way the kernel goes.
 *
 * Who empties a swap area (swapoff, or we when pages are brought back) maps what was read without looking whether it could be. So
 * from the first need on, a second probe makes that task's question for a copy of such a page end as if there were no memory.
 *
 * Where the probe cannot be had, or the user prefers it (frontswap_writethrough=1), frontswap writes through: every page goes to
 * the disk as well, what the service loses is read from there, and nothing is marked. Swap areas whose reads do not complete
 * there (synchronous devices, files of network file systems) are taken only then.
 */
#include "hook.h"
#include "swapdisk.h"

#include <linux/frontswap.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/oom.h>
#include <linux/pagemap.h>
#include <linux/swap.h>

static bool tmem_frontswap_writethrough;
module_param_named(frontswap_writethrough, tmem_frontswap_writethrough, bool, 0444);
MODULE_PARM_DESC(frontswap_writethrough, "write every page to the swap device as well (default 0)");

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

static int tmem_probe_begin(void)
{
	return register_kprobe(&tmem_swap_read_probe);
}

static int tmem_guard_begin(void)
{
	return register_kretprobe(&tmem_unuse_probe);
}

static void tmem_probes_end(bool guarded)
{
	if (guarded)
		unregister_kretprobe(&tmem_unuse_probe);
	unregister_kprobe(&tmem_swap_read_probe);
}

#else

static int tmem_probe_begin(void)
{
	return -EOPNOTSUPP;
}

static int tmem_guard_begin(void)
{
	return -EOPNOTSUPP;
}

static void tmem_probes_end(bool guarded)
{
}

#endif

static DEFINE_MUTEX(tmem_guard_mutex);
static bool tmem_guarded;

/**
 * tmem_frontswap_guard() - from now on, who empties a swap area gets no page that was lost
 *
 * Context: process, may sleep.
 * Return: 0; -EOPNOTSUPP: the kernel has nothing to hang a probe on.
 */
int tmem_frontswap_guard(void)
{
	mutex_lock(&tmem_guard_mutex);
	if (!tmem_guarded && !tmem_frontswap_writethrough)
		WRITE_ONCE(tmem_guarded, tmem_guard_begin() == 0);
	mutex_unlock(&tmem_guard_mutex);
	return tmem_guarded || tmem_frontswap_writethrough ? 0 : -EOPNOTSUPP;
}

/**
 * tmem_frontswap_may_take() - is this page one for frontswap?
 * @page: of the swap cache
 *
 * Return: false: its swap area is one of our own disks, or one whose reads would not show that a page was lost.
 */
bool tmem_frontswap_may_take(struct page *page)
{
	struct inode *inode = page_file_mapping(page)->host;
	struct block_device *bdev = S_ISBLK(inode->i_mode) ? I_BDEV(inode) : inode->i_sb->s_bdev;

	if (bdev && bdev->bd_disk->fops == &tmem_disk_fops)
		return false;
	return tmem_frontswap_writethrough || (bdev && !bdev->bd_disk->fops->rw_page);
}

/* Whoever reads this page may be the one who empties the area, so the guard is there before the read goes on. */
void tmem_frontswap_mark_lost(struct page *page)
{
	if (tmem_frontswap_writethrough)
		return;
	SetPageError(page);
	if (!READ_ONCE(tmem_guarded) && tmem_frontswap_guard())
		pr_warn_ratelimited("pages were lost, and swapoff would not notice: end who used the swap first\n");
}

int tmem_frontswap_lost_init(void)
{
	int error = tmem_frontswap_writethrough ? 0 : tmem_probe_begin();

	if (error) {
		pr_info("no probe of swap reads (error %d): frontswap writes through to the swap device\n", error);
		tmem_frontswap_writethrough = true;
	}
	if (tmem_frontswap_writethrough)
		frontswap_writethrough(true);
	return 0;
}

void tmem_frontswap_lost_exit(void)
{
	if (tmem_frontswap_writethrough)
		frontswap_writethrough(false);
	else
		tmem_probes_end(tmem_guarded);
}
