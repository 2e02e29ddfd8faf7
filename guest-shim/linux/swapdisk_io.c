// SPDX-License-Identifier: GPL-2.0-only
/* The way of a page: from a bio to the front and back. See swapdisk.h. */
#include "swapdisk.h"

#include <linux/crc32.h>

/* Also of a page that frontswap has. */
u32 tmem_disk_sum(struct page *data)
{
	u8 *bytes = tmem_kmap(data);
	u32 sum = crc32_le(~0u, bytes, PAGE_SIZE);

	tmem_kunmap(bytes);
	return sum;
}

/**
 * tmem_disk_verify_read() - test a page that has come back, from wherever
 * @io: a read whose bytes are there
 *
 * Context: any.
 * Return: false: verify=1, and these are not the bytes that were written.
 */
bool tmem_disk_verify_read(struct tmem_disk_io *io)
{
	struct tmem_disk *disk = io->disk;

	if (!disk->sums || tmem_disk_sum(io->data) == disk->sums[io->page])
		return true;
	tmem_disk_count(disk, TMEM_DISK_VERIFY_FAILED);
	return false;
}

/* Pages of all disks that the service has, and nobody else. */
static atomic64_t tmem_disk_only_there;

static bool tmem_page_only_there(u8 state)
{
	return (state & (TMEM_PAGE_STORED | TMEM_PAGE_BACKING | TMEM_PAGE_FREED)) == TMEM_PAGE_STORED;
}

/**
 * tmem_disk_change() - change what is known of a page
 * @disk: the disk
 * @page: number of the page
 * @clear: TMEM_PAGE_* to take away
 * @set: TMEM_PAGE_* to add
 *
 * Context: any.
 */
void tmem_disk_change(struct tmem_disk *disk, u64 page, u8 clear, u8 set)
{
	unsigned long flags;
	u8 before, after;

	spin_lock_irqsave(&disk->lock, flags);
	before = disk->state[page];
	after = (before & ~clear) | set;
	if (!(after & TMEM_PAGE_STORED))
		after &= ~TMEM_PAGE_SAME;
	WRITE_ONCE(disk->state[page], after);
	spin_unlock_irqrestore(&disk->lock, flags);
	if (tmem_page_only_there(before) != tmem_page_only_there(after))
		atomic64_add(tmem_page_only_there(after) ? 1 : -1, &tmem_disk_only_there);
	if ((before ^ after) & TMEM_PAGE_STORED)
		atomic64_add(after & TMEM_PAGE_STORED ? 1 : -1, &disk->stored);
	if ((before ^ after) & TMEM_PAGE_SAME)
		atomic64_add(after & TMEM_PAGE_SAME ? 1 : -1, &disk->same);
	if ((before ^ after) & TMEM_PAGE_FREED)
		atomic64_add(after & TMEM_PAGE_FREED ? 1 : -1, &disk->marks);
}

/* Whether anything is lost with the service. */
bool tmem_swapdisk_needs_service(void)
{
	return atomic64_read(&tmem_disk_only_there) > 0;
}

/* ---- reading ---- */

static void tmem_disk_get_done(struct tmem_front_op *op)
{
	struct tmem_disk_io *io = op->context;
	struct tmem_disk *disk = io->disk;
	bool answered = op->status == TMEMIF_OK;

	if (answered && tmem_disk_verify_read(io)) {
		tmem_disk_end_io(io, false);
		return;
	}
	/* Missing or wrong there: what was written through is still to be had. */
	if (READ_ONCE(disk->state[io->page]) & TMEM_PAGE_BACKING) {
		tmem_disk_backing_io(io, false);
		return;
	}
	if (!answered)
		tmem_disk_count(disk, TMEM_DISK_LOST_READS);
	tmem_disk_end_io(io, true);
}

/* last: of its bio, so that the caller has nothing to do but wait for it, most likely */
static void tmem_disk_read(struct tmem_disk_io *io, bool last)
{
	u8 state = READ_ONCE(io->disk->state[io->page]);

	tmem_disk_count(io->disk, TMEM_DISK_NUM_READS);
	tmem_disk_name_page(io, TMEMIF_OP_GET); /* also what never gets there is told by this from a write */
	if ((state & (TMEM_PAGE_FREED | TMEM_PAGE_LOST)) == TMEM_PAGE_LOST) {
		tmem_disk_count(io->disk, TMEM_DISK_LOST_READS);
		tmem_disk_end_io(io, true);
	} else if (state & TMEM_PAGE_FREED || !(state & (TMEM_PAGE_STORED | TMEM_PAGE_BACKING))) {
		clear_highpage(io->data); /* never written, or free: reads as zeros, as of a new disk */
		flush_dcache_page(io->data);
		tmem_disk_end_io(io, false);
	} else if (state & TMEM_PAGE_STORED && (!(state & TMEM_PAGE_BACKING) || tmem_guest_is_connected())) {
		io->op.done = tmem_disk_get_done;
		if (last)
			tmem_front_submit_polling(&tmem_guest.front, &io->op);
		else
			tmem_front_submit(&tmem_guest.front, &io->op);
	} else {
		tmem_disk_backing_io(io, false);
	}
}

/* ---- writing ---- */

static void tmem_disk_put_done(struct tmem_front_op *op)
{
	struct tmem_disk_io *io = op->context;
	struct tmem_disk *disk = io->disk;

	if (op->status == TMEMIF_OK) {
		bool same = op->request.flags & TMEMIF_REQUEST_SAME_FILLED;

		tmem_disk_change(disk, io->page, TMEM_PAGE_LOST | TMEM_PAGE_SAME, TMEM_PAGE_STORED | (same ? TMEM_PAGE_SAME : 0));
		tmem_disk_end_io(io, false);
		return;
	}
	/* Whatever the reason: the handle is absent now, or in a pool that is never claimed again. */
	tmem_disk_count(disk, TMEM_DISK_REFUSED_WRITES);
	tmem_disk_change(disk, io->page, TMEM_PAGE_STORED, 0);
	if (disk->backing.bdev && !io->write)
		tmem_disk_backing_io(io, true);
	else
		tmem_disk_end_io(io, !disk->backing.bdev); /* with write-through the other way decides */
}

/* Written again before the reaper came to flush it: the put replaces what is there. A flush that was begun is sent first. */
static void tmem_disk_claim(struct tmem_disk *disk, u64 page)
{
	unsigned long flags;

	spin_lock_irqsave(&disk->reap, flags);
	tmem_disk_change(disk, page, TMEM_PAGE_FREED, 0);
	spin_unlock_irqrestore(&disk->reap, flags);
}

/* Not for the service: above the limit, or it is away and there is a device that is not. */
static bool tmem_disk_goes_past(struct tmem_disk *disk)
{
	return (disk->limit && atomic64_read(&disk->stored) >= disk->limit) || (disk->backing.bdev && !tmem_guest_is_connected());
}

static void tmem_disk_write(struct tmem_disk_io *io)
{
	struct tmem_disk *disk = io->disk;
	bool past = tmem_disk_goes_past(disk) && !(READ_ONCE(disk->state[io->page]) & TMEM_PAGE_STORED);

	tmem_disk_count(disk, TMEM_DISK_NUM_WRITES);
	tmem_disk_name_page(io, TMEMIF_OP_PUT);
	if (disk->sums)
		disk->sums[io->page] = tmem_disk_sum(io->data);
	/* What the backing device has of before is old from here on. */
	tmem_disk_change(disk, io->page, TMEM_PAGE_BACKING | TMEM_PAGE_LOST, 0);
	if (READ_ONCE(disk->state[io->page]) & TMEM_PAGE_FREED)
		tmem_disk_claim(disk, io->page);
	if (past) {
		if (disk->backing.bdev)
			tmem_disk_backing_io(io, true);
		else
			tmem_disk_end_io(io, true);
		return;
	}
	if (disk->backing.bdev && tmem_disk_writethrough) {
		atomic_set(&io->ways, 2);
		tmem_disk_backing_io(io, true);
	}
	io->op.done = tmem_disk_put_done;
	tmem_front_look_for_credit(&tmem_guest.front, &io->op);
	tmem_front_submit(&tmem_guest.front, &io->op);
}

/* ---- freeing ---- */

static void tmem_disk_flush_done(struct tmem_front_op *op)
{
	tmem_disk_end_io(op->context, false);
}

/* or_not: false, and nothing done but the operation given back, where the service has no room for it now or is away. */
static bool tmem_disk_flush(struct tmem_disk *disk, struct tmem_disk_io *io, u64 page, bool or_not)
{
	enum tmem_front_state front = tmem_front_read_state(&tmem_guest.front);
	u8 state = READ_ONCE(disk->state[page]);
	bool begun = true;

	io->page = page;
	if (!(state & TMEM_PAGE_STORED)) {
		tmem_disk_end_io(io, false);
	} else {
		tmem_disk_name_page(io, TMEMIF_OP_FLUSH_PAGE);
		io->op.done = tmem_disk_flush_done;
		io->op.quiet = true;
		if (or_not && (front == TMEM_FRONT_STATE_CONNECTED || front == TMEM_FRONT_STATE_RECONNECTING))
			begun = tmem_front_try_submit(&tmem_guest.front, &io->op);
		else
			tmem_front_submit(&tmem_guest.front, &io->op);
	}
	if (begun)
		tmem_disk_change(disk, page, 0xff, 0);
	else
		tmem_disk_end_io(io, false);
	return begun;
}

static struct tmem_disk_io *tmem_disk_get_io_for_reaper(struct tmem_disk *disk)
{
	struct tmem_disk_io *io = tmem_disk_get_io(disk, false);

	if (!io) {
		tmem_disk_look();
		io = tmem_disk_get_io(disk, false);
	}
	return io;
}

/* False: no room in the ring. The operation is given back in any case. */
static bool tmem_disk_reap_page(struct tmem_disk *disk, struct tmem_disk_io *io, u64 page)
{
	unsigned long flags;
	bool done = true;

	spin_lock_irqsave(&disk->reap, flags);
	if (READ_ONCE(disk->state[page]) & TMEM_PAGE_FREED)
		done = tmem_disk_flush(disk, io, page, true); /* only sent here: its completion takes no lock that we hold */
	else
		tmem_disk_end_io(io, false);
	spin_unlock_irqrestore(&disk->reap, flags);
	return done;
}

/* Whether a page's queue was answered within the time that is looked for an answer. */
static bool tmem_disk_room_comes(struct tmem_disk *disk, u64 page)
{
	const struct tmem_front_handle handle = tmem_disk_handle(disk, page);
	u32 queue = tmem_front_queue_of(&tmem_guest.front, &handle);
	u64 begin = tmem_os_now_ns();

	while (!tmem_front_poll(&tmem_guest.front, queue)) {
		if (!tmem_guest_is_connected() || tmem_os_now_ns() - begin >= tmem_guest.front.config.poll_ns)
			return false;
		cpu_relax();
	}
	return true;
}

/* Whether it is flushed, or was written anew. */
static bool tmem_disk_reap_one(struct tmem_disk *disk, u64 page)
{
	u32 tries;

	for (tries = 0; tries < 2; tries++) {
		struct tmem_disk_io *io = tmem_disk_get_io_for_reaper(disk);

		if (!io)
			return false;
		if (tmem_disk_reap_page(disk, io, page))
			return true;
		if (!tmem_disk_room_comes(disk, page))
			return false;
	}
	return false;
}

/*
 * Pages that were freed where there was no operation at hand or no room in the ring. It asks for no doorbell, and sleeps for neither:
 * what it would wait for may be behind it in its queue, for one worker. What gets no room now comes up again; what follows may be
 * another queue's.
 */
void tmem_disk_reap(struct work_struct *work)
{
	struct tmem_disk *disk = container_of(to_delayed_work(work), struct tmem_disk, reaper);
	u64 left;

	for (left = disk->pages; left && atomic64_read(&disk->marks) > 0; left--) {
		u64 page = disk->reap_at;
		bool done = !(READ_ONCE(disk->state[page]) & TMEM_PAGE_FREED) || tmem_disk_reap_one(disk, page);

		disk->reap_at = done ? page + 1 : (page | ((1u << TMEMIF_EXTENT_SHIFT) - 1)) + 1;
		if (disk->reap_at >= disk->pages)
			disk->reap_at = 0;
		if (!done) {
			queue_delayed_work(tmem_disk_wq, &disk->reaper, 1);
			return;
		}
		cond_resched();
	}
}

/* The swap system freed a slot. Called under its spinlock. */
static void tmem_disk_slot_free(struct block_device *bdev, unsigned long page)
{
	struct tmem_disk *disk = bdev->bd_disk->private_data;
	struct tmem_disk_io *io;

	if (page >= disk->pages)
		return;
	tmem_disk_count(disk, TMEM_DISK_NOTIFY_FREE);
	if (READ_ONCE(disk->state[page]) & TMEM_PAGE_FREED)
		return; /* it was not written since: the reaper's, who may be at it */
	io = tmem_disk_get_io(disk, false);
	if (io && tmem_disk_flush(disk, io, page, true))
		return;
	tmem_disk_change(disk, page, 0, TMEM_PAGE_FREED);
	queue_delayed_work(tmem_disk_wq, &disk->reaper, 0);
}

/* ---- bios ---- */

static void tmem_disk_discard(struct tmem_disk *disk, struct bio *bio)
{
	u64 from = DIV_ROUND_UP_ULL(bio->bi_iter.bi_sector, PAGE_SECTORS);
	u64 to = bio_end_sector(bio) >> PAGE_SECTORS_SHIFT;

	for (; from < to; from++) {
		struct tmem_disk_io *io;

		if (!READ_ONCE(disk->state[from]))
			continue;
		tmem_disk_count(disk, TMEM_DISK_DISCARDS);
		io = tmem_disk_get_io(disk, true);
		if (READ_ONCE(disk->state[from]) & TMEM_PAGE_FREED)
			tmem_disk_claim(disk, from);
		tmem_disk_flush(disk, io, from, false);
		cond_resched();
	}
}

/* One whole page of scratch, and wait for it. */
static int tmem_disk_scratch_io(struct tmem_disk *disk, u64 page, bool write)
{
	struct tmem_disk_waiter waiter = { .done = COMPLETION_INITIALIZER_ONSTACK(waiter.done) };
	struct tmem_disk_io *io = tmem_disk_get_io(disk, true);

	io->waiter = &waiter;
	io->page = page;
	io->data = disk->scratch;
	if (write)
		tmem_disk_write(io);
	else
		tmem_disk_read(io, true);
	wait_for_completion_io(&waiter.done);
	return waiter.failed ? -EIO : 0;
}

/* A part of a page, or one that lies across two of the caller's: read, change, write. */
static int tmem_disk_partial(struct tmem_disk *disk, struct bio_vec *vec, u64 page, u32 offset, bool write)
{
	u8 *theirs, *ours;
	int error;

	tmem_disk_count(disk, TMEM_DISK_PARTIAL_IO);
	mutex_lock(&disk->partial);
	error = tmem_disk_scratch_io(disk, page, false);
	if (!error) {
		theirs = tmem_kmap(vec->bv_page);
		ours = tmem_kmap(disk->scratch);
		if (write)
			memcpy(ours + offset, theirs + vec->bv_offset, vec->bv_len);
		else
			memcpy(theirs + vec->bv_offset, ours + offset, vec->bv_len);
		tmem_kunmap(ours);
		tmem_kunmap(theirs);
		if (write)
			error = tmem_disk_scratch_io(disk, page, true);
	}
	mutex_unlock(&disk->partial);
	return error;
}

static void tmem_disk_whole(struct tmem_disk *disk, struct bio *bio, struct page *data, u64 page, bool write, bool last)
{
	struct tmem_disk_io *io = tmem_disk_get_io(disk, true);

	bio_inc_remaining(bio);
	io->bio = bio;
	io->page = page;
	io->data = data;
	if (write)
		tmem_disk_write(io);
	else
		tmem_disk_read(io, last);
}

static void tmem_disk_transfer(struct tmem_disk *disk, struct bio *bio, bool write)
{
	u64 at = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT;
	u64 end = at + bio->bi_iter.bi_size;
	struct bvec_iter iter;
	struct bio_vec vec;

	bio_for_each_segment(vec, bio, iter) {
		struct bio_vec rest = vec; /* the loop steps by vec's length */

		while (rest.bv_len) {
			u32 offset = offset_in_page(at);
			struct bio_vec piece = rest;

			piece.bv_len = min_t(u32, rest.bv_len, PAGE_SIZE - offset);
			if (piece.bv_len == PAGE_SIZE)
				tmem_disk_whole(disk, bio, piece.bv_page, at >> PAGE_SHIFT, write, at + PAGE_SIZE == end);
			else if (tmem_disk_partial(disk, &piece, at >> PAGE_SHIFT, offset, write))
				bio->bi_status = BLK_STS_IOERR;
			at += piece.bv_len;
			rest.bv_offset += piece.bv_len;
			rest.bv_len -= piece.bv_len;
		}
	}
}

static TMEM_SUBMIT_RESULT tmem_disk_submit_bio(struct bio *bio)
{
#if TMEM_SINCE(5, 12)
	struct tmem_disk *disk = bio->bi_bdev->bd_disk->private_data;
#else
	struct tmem_disk *disk = bio->bi_disk->private_data;
#endif

	switch (bio_op(bio)) {
	case REQ_OP_READ:
	case REQ_OP_WRITE:
		tmem_disk_transfer(disk, bio, bio_op(bio) == REQ_OP_WRITE);
		break;
	case REQ_OP_DISCARD:
		tmem_disk_discard(disk, bio);
		break;
	case REQ_OP_FLUSH:
		break;
	default:
		bio->bi_status = BLK_STS_NOTSUPP;
		break;
	}
	bio_endio(bio);
	TMEM_SUBMIT_RETURN;
}

static int tmem_disk_open(TMEM_OPEN_ARGUMENTS)
{
	struct tmem_disk *disk = TMEM_OPEN_GENDISK->private_data;

	return disk->closed ? -ENXIO : 0;
}

const struct block_device_operations tmem_disk_fops = {
	.owner = THIS_MODULE,
	.open = tmem_disk_open,
	.submit_bio = tmem_disk_submit_bio,
	.swap_slot_free_notify = tmem_disk_slot_free,
};
