// SPDX-License-Identifier: GPL-2.0-only
/* The device behind a swap disk: takes the pages that the service refuses, page for page at the same place. */
#include "swapdisk.h"

int tmem_disk_backing_open(struct tmem_disk *disk, const char *path)
{
	int error = tmem_backing_open(&disk->backing, path, disk);

	if (error)
		goto out_none;
	if (tmem_backing_bytes(&disk->backing) >> PAGE_SHIFT < disk->pages) {
		pr_err("tmemswap%u: %s is smaller than the disk\n", disk->number, path);
		error = -ENOSPC;
		goto out_close;
	}
	error = bioset_init(&disk->bios, BIO_POOL_SIZE, 0, BIOSET_NEED_BVECS);
	if (!error)
		return 0;
out_close:
	tmem_backing_close(&disk->backing);
out_none:
	disk->backing.bdev = NULL;
	return error;
}

void tmem_disk_backing_close(struct tmem_disk *disk)
{
	if (!disk->backing.bdev)
		return;
	bioset_exit(&disk->bios);
	tmem_backing_close(&disk->backing);
	disk->backing.bdev = NULL;
}

static void tmem_disk_backing_end(struct bio *bio)
{
	struct tmem_disk_io *io = bio->bi_private;
	struct tmem_disk *disk = io->disk;
	bool failed = bio->bi_status != BLK_STS_OK;

	if (op_is_write(bio_op(bio)) && !failed)
		tmem_disk_change(disk, io->page, TMEM_PAGE_LOST, TMEM_PAGE_BACKING); /* lost with the service while it waited */
	else if (!failed)
		failed = !tmem_disk_verify_read(io);
	bio_put(bio);
	tmem_disk_end_io(io, failed);
}

static void tmem_disk_backing_work(struct work_struct *work)
{
	struct tmem_disk_io *io = container_of(work, struct tmem_disk_io, work);
	struct tmem_disk *disk = io->disk;
	struct bio *bio = tmem_bio_alloc(disk->backing.bdev, io->write, &disk->bios);

	tmem_disk_count(disk, io->write ? TMEM_DISK_BDEV_WRITES : TMEM_DISK_BDEV_READS);
	bio->bi_iter.bi_sector = io->page << PAGE_SECTORS_SHIFT;
	bio->bi_private = io;
	bio->bi_end_io = tmem_disk_backing_end;
	__bio_add_page(bio, io->data, PAGE_SIZE, 0);
	submit_bio(bio);
}

/*
 * Any context. Always by the worker: a bio that is submitted while another of the same task is being submitted is put off
 * until that one returns, and we may wait in there for this one.
 */
void tmem_disk_backing_io(struct tmem_disk_io *io, bool write)
{
	io->write = write;
	INIT_WORK(&io->work, tmem_disk_backing_work);
	queue_work(tmem_disk_wq, &io->work);
}
