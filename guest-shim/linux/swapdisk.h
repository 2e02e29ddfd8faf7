/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: the swap disk
 *
 * /dev/tmemswapN: a disk whose pages lie in a persistent pool of the service; ramzswap's role. A page that the service
 * refuses goes to the backing device, if there is one; with writethrough every page goes there as well. Without one a
 * refused write is an I/O error, and the kernel keeps the page. A page that was stored and is not to be had any more is an
 * I/O error when read: never zeros, never other bytes.
 *
 * What a page's state byte says is changed only by the completion of a write or a free of that page; the block layer's
 * callers do not write one page twice at a time.
 *
 * No allocation on the way of a page: operations come from a fixed table. Who can sleep waits for a free one; the slot-free
 * notification cannot, so it leaves a mark that the worker, or the next write, clears.
 */
#ifndef TMEM_SWAPDISK_H
#define TMEM_SWAPDISK_H

#include "guest.h"

#include <linux/completion.h>

#define TMEM_DISK_IOS 256u

/* A page's state byte. */
#define TMEM_PAGE_STORED 0x01u  /* in the service */
#define TMEM_PAGE_BACKING 0x02u /* on the backing device */
#define TMEM_PAGE_FREED 0x04u   /* freed by the kernel, not yet flushed */
#define TMEM_PAGE_LOST 0x08u    /* its last write failed, or the service lost it: neither the new bytes nor the old ones are to be had */
#define TMEM_PAGE_SAME 0x10u    /* in the service, and one repeated word */

/* One counter for each cause; names as ramzswap and zram have them where the meaning is the same. */
enum tmem_disk_stat {
	TMEM_DISK_NUM_READS,      /* pages asked for */
	TMEM_DISK_NUM_WRITES,     /* pages given */
	TMEM_DISK_FAILED_READS,   /* answered with an error */
	TMEM_DISK_FAILED_WRITES,  /* answered with an error */
	TMEM_DISK_LOST_READS,     /* of the failed: the page had been stored and is gone */
	TMEM_DISK_VERIFY_FAILED,  /* verify=1 and the bytes, wherever they came from, were not those written */
	TMEM_DISK_PARTIAL_IO,     /* requests for a part of a page */
	TMEM_DISK_NOTIFY_FREE,    /* pages freed by the swap system */
	TMEM_DISK_DISCARDS,       /* pages discarded */
	TMEM_DISK_REFUSED_WRITES, /* puts that the service refused */
	TMEM_DISK_BDEV_READS,     /* pages read from the backing device */
	TMEM_DISK_BDEV_WRITES,    /* pages written to it */
	TMEM_DISK_STATS,
};

struct tmem_disk;

struct tmem_disk_waiter {
	struct completion done;
	bool failed;
};

/**
 * struct tmem_disk_io - one page on its way
 * @op: the front's operation
 * @disk: whose
 * @bio: gets the result, or NULL
 * @waiter: is told the result instead, or NULL; with neither nobody waits (a free)
 * @page: number of the page
 * @data: its bytes' page
 * @write: direction, for the backing device
 * @failed: one of the ways ended with an error
 * @ways: still under way: service, backing device
 * @work: takes the page to the backing device
 * @next: in the free list
 */
struct tmem_disk_io {
	struct tmem_front_op op;
	struct tmem_disk *disk;
	struct bio *bio;
	struct tmem_disk_waiter *waiter;
	u64 page;
	struct page *data;
	bool write;
	bool failed;
	atomic_t ways;
	struct work_struct work;
	struct tmem_disk_io *next;
};

/**
 * struct tmem_disk - one /dev/tmemswapN
 * @number: N
 * @pool: the persistent pool
 * @gendisk: the block layer's
 * @closed: goes away; nobody opens it any more
 * @pages: size
 * @limit: most pages to keep in the service; 0: none
 * @stored: pages there now
 * @same: of these, pages that are one repeated word
 * @state: a byte for each page
 * @sums: with verify, a checksum for each page
 * @backing: a device that takes what the service refuses; @backing.bdev NULL: none
 * @bios: for @backing
 * @partial: serialises read-modify-write of parts of pages
 * @scratch: one page, under @partial
 * @lock: guards @free, and changes of @state
 * @reap: keeps the flush of a freed page and a new write of it in order; taken only for pages with TMEM_PAGE_FREED
 * @free: unused operations
 * @room: waits for one
 * @reaper: flushes what was freed where nothing could wait
 * @reap_at: the page that it looks at next
 * @marks: pages with TMEM_PAGE_FREED
 * @stats: by enum tmem_disk_stat
 * @ios: all operations
 */
struct tmem_disk {
	u32 number;
	u32 pool;
	struct gendisk *gendisk;
	bool closed;
	u64 pages;
	u64 limit;
	atomic64_t stored;
	atomic64_t same;
	u8 *state;
	u32 *sums;
	struct tmem_backing backing;
	struct bio_set bios;
	struct mutex partial;
	struct page *scratch;
	spinlock_t lock;
	spinlock_t reap;
	struct tmem_disk_io *free;
	wait_queue_head_t room;
	struct delayed_work reaper;
	u64 reap_at;
	atomic64_t marks;
	atomic64_t stats[TMEM_DISK_STATS];
	struct tmem_disk_io *ios;
};

extern struct workqueue_struct *tmem_disk_wq;
extern bool tmem_disk_verify;
extern bool tmem_disk_writethrough;
u32 tmem_disk_sum(struct page *data);

static inline void tmem_disk_count(struct tmem_disk *disk, enum tmem_disk_stat stat)
{
	atomic64_inc(&disk->stats[stat]);
}

/* An object for each 256 MiB, so that no object is unbounded. */
static inline struct tmem_front_handle tmem_disk_handle(const struct tmem_disk *disk, u64 page)
{
	return (struct tmem_front_handle){ .pool = disk->pool, .object[0] = page >> 16, .index = page & 0xffff };
}

static inline void tmem_disk_name_page(struct tmem_disk_io *io, enum tmemif_op kind)
{
	const struct tmem_front_handle handle = tmem_disk_handle(io->disk, io->page);

	tmem_front_op_page(&io->op, kind, &handle, io->data);
	io->op.context = io;
}

/* hook_swapdisk.c: operations and their completion */
struct tmem_disk_io *tmem_disk_get_io(struct tmem_disk *disk, bool wait);
void tmem_disk_end_io(struct tmem_disk_io *io, bool failed);
void tmem_disk_look(void);

/* swapdisk_io.c: the way of a page */
extern const struct block_device_operations tmem_disk_fops;
bool tmem_disk_verify_read(struct tmem_disk_io *io);
void tmem_disk_change(struct tmem_disk *disk, u64 page, u8 clear, u8 set);
void tmem_disk_reap(struct work_struct *work);

/* swapdisk_backing.c */
int tmem_disk_backing_open(struct tmem_disk *disk, const char *path);
void tmem_disk_backing_close(struct tmem_disk *disk);
void tmem_disk_backing_io(struct tmem_disk_io *io, bool write);

/* swapdisk_sysfs.c */
extern const struct attribute_group *tmem_disk_groups[];
int tmem_disk_control_init(int (*add)(void), int (*remove)(u32 number));
void tmem_disk_control_exit(void);

#endif /* TMEM_SWAPDISK_H */
