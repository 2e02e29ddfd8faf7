// SPDX-License-Identifier: GPL-2.0-only
/* Swap disks' beginning and end, and the table of operations that each has. See swapdisk.h. */
#include "swapdisk.h"

#include <linux/module.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

static unsigned int tmem_disks = 1;
module_param_named(disks, tmem_disks, uint, 0444);
MODULE_PARM_DESC(disks, "swap disks to make at once, /dev/tmemswap0 onwards (default 1)");

static unsigned int tmem_disksize_mb;
module_param_named(disksize_mb, tmem_disksize_mb, uint, 0644);
MODULE_PARM_DESC(disksize_mb, "size of a new swap disk; 0: twice the memory (default 0)");

static char *tmem_backing[TMEM_SWAPDISKS_MAX];
static unsigned int tmem_backing_count;
module_param_array_named(backing, tmem_backing, charp, &tmem_backing_count, 0444);
MODULE_PARM_DESC(backing, "block devices that take what the service refuses, for /dev/tmemswap0 onwards (default none)");

bool tmem_disk_writethrough;
module_param_named(writethrough, tmem_disk_writethrough, bool, 0444);
MODULE_PARM_DESC(writethrough, "write every page to its disk's backing device as well (default 0)");

bool tmem_disk_verify;
module_param_named(verify, tmem_disk_verify, bool, 0444);
MODULE_PARM_DESC(verify, "keep a checksum of each page here, and test it when it comes back (default 0)");

struct workqueue_struct *tmem_disk_wq;
static DEFINE_MUTEX(tmem_disks_lock);
static struct tmem_disk *tmem_disk_table[TMEM_SWAPDISKS_MAX];
static int tmem_disk_major;

/**
 * tmem_disk_look() - takes the answers that are there: nobody is told of those to flushes
 *
 * Context: any; may end I/O.
 */
void tmem_disk_look(void)
{
	u32 queues = READ_ONCE(tmem_guest.front.queues);
	u32 i;

	for (i = 0; i < queues; i++)
		tmem_front_poll(&tmem_guest.front, i);
}

/**
 * tmem_disk_get_io() - take an operation out of the disk's table
 * @disk: the disk
 * @wait: sleep until there is one
 *
 * Return: one, zeroed but for its disk; NULL only without @wait, where there is none or somebody waits for one.
 */
struct tmem_disk_io *tmem_disk_get_io(struct tmem_disk *disk, bool wait)
{
	struct tmem_disk_io *io;
	unsigned long flags;

	if (!wait && waitqueue_active(&disk->room))
		return NULL;
	for (;;) {
		spin_lock_irqsave(&disk->lock, flags);
		io = disk->free;
		if (io)
			disk->free = io->next;
		spin_unlock_irqrestore(&disk->lock, flags);
		if (io || !wait)
			break;
		tmem_disk_look();
		wait_event_timeout(disk->room, READ_ONCE(disk->free), 1);
	}
	if (!io)
		return NULL;
	memset(io, 0, sizeof(*io));
	io->disk = disk;
	atomic_set(&io->ways, 1);
	return io;
}

/* The operation is back in the table before the caller is told. */
static void tmem_disk_tell(struct tmem_disk_io *io)
{
	struct tmem_disk *disk = io->disk;
	struct tmem_disk_waiter *waiter = io->waiter;
	struct bio *bio = io->bio;
	bool failed = io->failed;
	unsigned long flags;

	spin_lock_irqsave(&disk->lock, flags);
	io->next = disk->free;
	disk->free = io;
	wake_up(&disk->room); /* under the lock: who has taken all operations frees the disk */
	spin_unlock_irqrestore(&disk->lock, flags);

	if (waiter) {
		waiter->failed = failed;
		complete(&waiter->done);
	} else if (bio) {
		if (failed)
			bio->bi_status = BLK_STS_IOERR;
		bio_endio(bio);
	}
}

static void tmem_disk_tell_later(struct work_struct *work)
{
	tmem_disk_tell(container_of(work, struct tmem_disk_io, work));
}

/**
 * tmem_disk_end_io() - one of an operation's ways has ended; after the last one the caller is told
 * @io: the operation
 * @failed: an error
 *
 * Context: any.
 */
void tmem_disk_end_io(struct tmem_disk_io *io, bool failed)
{
	struct tmem_disk *disk = io->disk;
	bool write;

	if (failed)
		WRITE_ONCE(io->failed, true);
	if (!atomic_dec_and_test(&io->ways))
		return;
	failed = io->failed;
	write = io->op.request.op == TMEMIF_OP_PUT || io->write;
	if (failed)
		tmem_disk_count(disk, write ? TMEM_DISK_FAILED_WRITES : TMEM_DISK_FAILED_READS);
	if (failed && write && !(READ_ONCE(disk->state[io->page]) & (TMEM_PAGE_STORED | TMEM_PAGE_BACKING)))
		tmem_disk_change(disk, io->page, 0, TMEM_PAGE_LOST);

	/* Somebody has a page cache's lock and submitted something else (cleancache): what ends here may want the same lock. */
	if (io->bio && irqs_disabled() && !hardirq_count()) {
		INIT_WORK(&io->work, tmem_disk_tell_later);
		queue_work(tmem_disk_wq, &io->work);
	} else {
		tmem_disk_tell(io);
	}
}

/* The service has none of the disk's pages any more. */
static void tmem_disk_forget(struct tmem_disk *disk)
{
	u8 state;
	u64 page;

	for (page = 0; page < disk->pages; page++) {
		state = READ_ONCE(disk->state[page]);
		if (state & TMEM_PAGE_STORED)
			tmem_disk_change(disk, page, TMEM_PAGE_STORED, state & TMEM_PAGE_BACKING ? 0 : TMEM_PAGE_LOST);
		if (page % 65536 == 0)
			cond_resched();
	}
}

/* Until the service knows the pool, writes are refused and nothing is there to be read. */
static void tmem_disk_make_pool(struct tmem_disk *disk)
{
	u32 status;

	if (!tmem_front_has_pool(&tmem_guest.front, disk->pool))
		tmem_disk_forget(disk);
	status = tmem_front_new_pool(&tmem_guest.front, disk->pool, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT), NULL);

	if (status != TMEMIF_OK && status != TMEM_FRONT_CLOSED)
		pr_warn_ratelimited("tmemswap%u: the service refuses a pool (status %u)\n", disk->number, status);
}

/* A new connection; process context. The same pool again is no change to the service. */
void tmem_swapdisk_connected(void)
{
	u32 i;

	mutex_lock(&tmem_disks_lock);
	for (i = 0; i < TMEM_SWAPDISKS_MAX; i++) {
		if (tmem_disk_table[i])
			tmem_disk_make_pool(tmem_disk_table[i]);
	}
	mutex_unlock(&tmem_disks_lock);
}

static u64 tmem_disk_default_pages(void)
{
	return tmem_disksize_mb ? (u64)tmem_disksize_mb << (20 - PAGE_SHIFT) : 2 * (u64)totalram_pages();
}

static int tmem_disk_allocate(struct tmem_disk *disk)
{
	u32 i;

	disk->state = vzalloc(disk->pages);
	disk->ios = vzalloc(array_size(TMEM_DISK_IOS, sizeof(*disk->ios)));
	disk->scratch = alloc_page(GFP_KERNEL);
	if (tmem_disk_verify)
		disk->sums = vzalloc(array_size(disk->pages, sizeof(*disk->sums)));
	if (!disk->state || !disk->ios || !disk->scratch || (tmem_disk_verify && !disk->sums))
		return -ENOMEM;
	for (i = 0; i < TMEM_DISK_IOS; i++) {
		disk->ios[i].next = disk->free;
		disk->free = &disk->ios[i];
	}
	return 0;
}

static void tmem_disk_release(struct tmem_disk *disk)
{
	tmem_disk_backing_close(disk);
	if (disk->state)
		tmem_disk_forget(disk);
	if (disk->scratch)
		__free_page(disk->scratch);
	vfree(disk->sums);
	vfree(disk->ios);
	vfree(disk->state);
	kfree(disk);
}

static int tmem_disk_publish(struct tmem_disk *disk)
{
	struct gendisk *gendisk = tmem_alloc_disk();
	int error;

	if (IS_ERR(gendisk))
		return PTR_ERR(gendisk);
	disk->gendisk = gendisk;
	gendisk->major = tmem_disk_major;
	gendisk->first_minor = disk->number;
	gendisk->minors = 1;
	gendisk->flags |= TMEM_DISK_NO_PARTITIONS; /* a freed slot is named by its place in a swap area, which has to be ours */
	gendisk->fops = &tmem_disk_fops;
	gendisk->private_data = disk;
	snprintf(gendisk->disk_name, sizeof(gendisk->disk_name), "tmemswap%u", disk->number);
	set_capacity(gendisk, disk->pages << PAGE_SECTORS_SHIFT);
	error = tmem_add_disk(gendisk, tmem_disk_groups);
	if (error)
		tmem_put_disk(gendisk);
	return error;
}

static const char *tmem_disk_backing_path(u32 number)
{
	return number < tmem_backing_count && *tmem_backing[number] ? tmem_backing[number] : NULL;
}

/* Everything that may fail for want of something, before anybody sees the disk. */
static int tmem_disk_prepare(u32 number)
{
	const char *backing = tmem_disk_backing_path(number);
	struct tmem_disk *disk;
	int error;

	lockdep_assert_held(&tmem_disks_lock);
	disk = kzalloc(sizeof(*disk), GFP_KERNEL);
	if (!disk)
		return -ENOMEM;
	disk->number = number;
	disk->pool = TMEM_POOL_SWAPDISK + number;
	disk->pages = tmem_disk_default_pages();
	mutex_init(&disk->partial);
	spin_lock_init(&disk->lock);
	spin_lock_init(&disk->reap);
	init_waitqueue_head(&disk->room);
	INIT_DELAYED_WORK(&disk->reaper, tmem_disk_reap);
	error = tmem_disk_allocate(disk);
	if (!error && backing)
		error = tmem_disk_backing_open(disk, backing);
	if (error) {
		pr_err("cannot make swap disk %u%s%s: error %d\n", number, backing ? " on " : "", backing ?: "", error);
		tmem_disk_release(disk);
		return error;
	}
	tmem_disk_table[number] = disk;
	return 0;
}

static int tmem_disk_begin(struct tmem_disk *disk)
{
	int error;

	lockdep_assert_held(&tmem_disks_lock);
	tmem_disk_make_pool(disk);
	error = tmem_disk_publish(disk);
	if (error) {
		pr_err("cannot make swap disk %u: error %d\n", disk->number, error);
		tmem_disk_table[disk->number] = NULL;
		tmem_disk_release(disk);
	}
	return error;
}

static int tmem_disk_hot_add(void)
{
	int error = -ENOSPC;
	u32 number;

	mutex_lock(&tmem_disks_lock);
	for (number = 0; number < TMEM_SWAPDISKS_MAX && tmem_disk_table[number]; number++)
		;
	if (number < TMEM_SWAPDISKS_MAX)
		error = tmem_disk_prepare(number);
	if (!error)
		error = tmem_disk_begin(tmem_disk_table[number]);
	mutex_unlock(&tmem_disks_lock);
	return error ?: (int)number;
}

static void tmem_disk_remove_locked(struct tmem_disk *disk)
{
	u32 i;

	lockdep_assert_held(&tmem_disks_lock);
	tmem_disk_table[disk->number] = NULL;
	del_gendisk(disk->gendisk);
	cancel_delayed_work_sync(&disk->reaper);
	flush_workqueue(tmem_disk_wq);
	tmem_front_destroy_pool(&tmem_guest.front, disk->pool);
	for (i = 0; i < TMEM_DISK_IOS; i++)
		tmem_disk_get_io(disk, true); /* flushes that nobody waits for, and a connection that is being closed */
	tmem_put_disk(disk->gendisk);
	tmem_disk_release(disk);
}

static int tmem_disk_hot_remove(u32 number)
{
	int error = -ENODEV;

	mutex_lock(&tmem_disks_lock);
	if (number < TMEM_SWAPDISKS_MAX && tmem_disk_table[number]) {
		struct tmem_disk *disk = tmem_disk_table[number];

		error = tmem_disk_close(disk->gendisk, &disk->closed) ? 0 : -EBUSY;
		if (!error)
			tmem_disk_remove_locked(disk);
	}
	mutex_unlock(&tmem_disks_lock);
	return error;
}

static void tmem_disk_remove_all(void)
{
	u32 i;

	mutex_lock(&tmem_disks_lock);
	for (i = 0; i < TMEM_SWAPDISKS_MAX; i++) {
		if (tmem_disk_table[i])
			tmem_disk_remove_locked(tmem_disk_table[i]);
	}
	mutex_unlock(&tmem_disks_lock);
}

/* None is seen before all are prepared: who opens a disk of a module that then does not load is left with nothing. */
static int tmem_disks_begin(u32 count)
{
	int error = 0;
	u32 i;

	mutex_lock(&tmem_disks_lock);
	for (i = 0; !error && i < count; i++)
		error = tmem_disk_prepare(i);
	for (i = 0; !error && i < count; i++)
		error = tmem_disk_begin(tmem_disk_table[i]);
	for (i = 0; error && i < count; i++) {
		struct tmem_disk *disk = tmem_disk_table[i];

		if (disk && !disk->gendisk) { /* tmem_disk_remove_all() ends those that were begun */
			tmem_disk_table[i] = NULL;
			tmem_disk_release(disk);
		}
	}
	mutex_unlock(&tmem_disks_lock);
	return error;
}

int tmem_swapdisk_init(void)
{
	int error;

	tmem_disk_wq = alloc_workqueue("tmemswap", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!tmem_disk_wq)
		return -ENOMEM;
	tmem_disk_major = register_blkdev(0, "tmemswap");
	if (tmem_disk_major < 0) {
		error = tmem_disk_major;
		goto out_destroy_wq;
	}
	if (tmem_disks > TMEM_SWAPDISKS_MAX)
		pr_warn("disks=%u: there are at most %u swap disks\n", tmem_disks, TMEM_SWAPDISKS_MAX);
	error = tmem_disks_begin(min(tmem_disks, TMEM_SWAPDISKS_MAX));
	if (error)
		goto out_remove;
	error = tmem_disk_control_init(tmem_disk_hot_add, tmem_disk_hot_remove);
	if (!error)
		return 0;
out_remove:
	tmem_disk_remove_all();
	unregister_blkdev(tmem_disk_major, "tmemswap");
out_destroy_wq:
	destroy_workqueue(tmem_disk_wq);
	return error;
}

void tmem_swapdisk_exit(void)
{
	tmem_disk_control_exit();
	tmem_disk_remove_all();
	unregister_blkdev(tmem_disk_major, "tmemswap");
	destroy_workqueue(tmem_disk_wq);
}
