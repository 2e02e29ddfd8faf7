// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page that frontswap took, that was never written to the disk, and that the service has lost. When a load fails the kernel
 * reads the disk instead, and would take what lies there of before for the page. That must be an I/O error.
 *
 * So a load that lost its page marks it with PG_error, which a page being read does not have, and tmem_hooks.ko makes an I/O error
 * of the disk's answer for a marked page (hooks_lost.c): the process gets SIGBUS, as from a broken disk.
 *
 * Where the probes cannot be had, or the user prefers it (frontswap_writethrough=1), frontswap writes through: every page goes to
 * the disk as well, what the service loses is read from there, and nothing is marked. Swap areas whose reads do not complete
 * there (synchronous devices, files of network file systems) are taken only then.
 */
#include "hook.h"
#include "swapdisk.h"

#include <linux/frontswap.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/swap.h>

static bool tmem_frontswap_writethrough;
module_param_named(frontswap_writethrough, tmem_frontswap_writethrough, bool, 0444);
MODULE_PARM_DESC(frontswap_writethrough, "write every page to the swap device as well (default 0)");

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

/* The disk has what the service has. */
bool tmem_frontswap_writes_through(void)
{
	return tmem_frontswap_writethrough;
}

void tmem_frontswap_mark_lost(struct page *page)
{
	if (!tmem_frontswap_writethrough)
		SetPageError(page);
}

int tmem_frontswap_lost_init(void)
{
	int error = tmem_frontswap_writethrough ? 0 : tmem_hooks_watch_reads();

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
}
