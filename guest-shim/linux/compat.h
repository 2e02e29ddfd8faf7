/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernels from 5.10 to 6.12, each difference once and by name. Nothing else in this folder asks for a
 * version. Built are 5.10, 6.1 and 6.12; what concerns only those between is from their headers.
 */
#ifndef TMEM_COMPAT_H
#define TMEM_COMPAT_H

#ifndef pr_fmt
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#endif

#include <linux/blkdev.h>
#include <linux/bio.h>
#include <linux/device.h>
#include <linux/highmem.h>
#include <linux/version.h>

#define TMEM_SINCE(major, minor) (LINUX_VERSION_CODE >= KERNEL_VERSION(major, minor, 0))

#ifndef PAGE_SECTORS
#define PAGE_SECTORS_SHIFT (PAGE_SHIFT - SECTOR_SHIFT)
#define PAGE_SECTORS (1 << PAGE_SECTORS_SHIFT)
#endif

#if TMEM_SINCE(5, 11)
#define tmem_kmap(page) kmap_local_page(page)
#define tmem_kunmap(address) kunmap_local(address)
#else
#define tmem_kmap(page) kmap_atomic(page)
#define tmem_kunmap(address) kunmap_atomic(address)
#endif

/* submit_bio() of a disk returned a cookie once. */
#if TMEM_SINCE(5, 16)
#define TMEM_SUBMIT_RESULT void
#define TMEM_SUBMIT_RETURN return
#else
#define TMEM_SUBMIT_RESULT blk_qc_t
#define TMEM_SUBMIT_RETURN return BLK_QC_T_NONE
#endif

/* xenbus drivers' remove() returned a number that nobody looked at. */
#if TMEM_SINCE(6, 0)
#define TMEM_REMOVE_RESULT void
#define TMEM_REMOVE_RETURN return
#else
#define TMEM_REMOVE_RESULT int
#define TMEM_REMOVE_RETURN return 0
#endif

#if TMEM_SINCE(6, 4)
#define tmem_class_create(name) class_create(name)
#define TMEM_CLASS_ARGUMENT const struct class *class, const struct class_attribute *attribute
#else
#define tmem_class_create(name) class_create(THIS_MODULE, name)
#define TMEM_CLASS_ARGUMENT struct class *class, struct class_attribute *attribute
#endif

/* Before, a disk of one minor number had none. */
#if TMEM_SINCE(5, 17)
#define TMEM_DISK_NO_PARTITIONS GENHD_FL_NO_PART
#else
#define TMEM_DISK_NO_PARTITIONS 0
#endif

/* open() of a disk. */
#if TMEM_SINCE(6, 5)
#define TMEM_OPEN_ARGUMENTS struct gendisk *gendisk, blk_mode_t mode
#define TMEM_OPEN_GENDISK gendisk
#else
#define TMEM_OPEN_ARGUMENTS struct block_device *bdev, fmode_t mode
#define TMEM_OPEN_GENDISK (bdev->bd_disk)
#endif

/* A bio-based disk: sectors of 512 bytes, best in pages, discard by pages, data stable while it is written. */
static inline struct gendisk *tmem_alloc_disk(void)
{
#if TMEM_SINCE(6, 11)
	struct queue_limits limits = {
		.logical_block_size = SECTOR_SIZE,
		.physical_block_size = PAGE_SIZE,
		.io_min = PAGE_SIZE,
		.io_opt = PAGE_SIZE,
		.max_hw_discard_sectors = UINT_MAX,
		.discard_granularity = PAGE_SIZE,
		.features = BLK_FEAT_STABLE_WRITES,
	};

	return blk_alloc_disk(&limits, NUMA_NO_NODE);
#else
	struct request_queue *queue;
	struct gendisk *disk;

#if TMEM_SINCE(6, 9)
	disk = blk_alloc_disk(NULL, NUMA_NO_NODE);
	if (IS_ERR(disk))
		return disk;
	queue = disk->queue;
#elif TMEM_SINCE(5, 15)
	disk = blk_alloc_disk(NUMA_NO_NODE);
	if (!disk)
		return ERR_PTR(-ENOMEM);
	queue = disk->queue;
#else
	queue = blk_alloc_queue(NUMA_NO_NODE);
	if (!queue)
		return ERR_PTR(-ENOMEM);
	disk = alloc_disk(1);
	if (!disk) {
		blk_cleanup_queue(queue);
		return ERR_PTR(-ENOMEM);
	}
	disk->queue = queue;
#endif
#if !TMEM_SINCE(5, 19)
	blk_queue_flag_set(QUEUE_FLAG_DISCARD, queue);
#endif
	blk_queue_physical_block_size(queue, PAGE_SIZE);
	blk_queue_io_min(queue, PAGE_SIZE);
	blk_queue_io_opt(queue, PAGE_SIZE);
	blk_queue_max_discard_sectors(queue, UINT_MAX);
	queue->limits.discard_granularity = PAGE_SIZE;
	blk_queue_flag_set(QUEUE_FLAG_STABLE_WRITES, queue);
	blk_queue_flag_set(QUEUE_FLAG_NONROT, queue);
	blk_queue_flag_clear(QUEUE_FLAG_ADD_RANDOM, queue);
	return disk;
#endif
}

static inline int tmem_add_disk(struct gendisk *disk, const struct attribute_group **groups)
{
#if TMEM_SINCE(5, 15)
	return device_add_disk(NULL, disk, groups);
#else
	device_add_disk(NULL, disk, groups);
	return 0;
#endif
}

/* After del_gendisk(), or instead of it when the disk was never added. */
static inline void tmem_put_disk(struct gendisk *disk)
{
#if TMEM_SINCE(5, 15) && !TMEM_SINCE(6, 0)
	blk_cleanup_disk(disk);
#else
#if !TMEM_SINCE(5, 15)
	blk_cleanup_queue(disk->queue);
#endif
	put_disk(disk);
#endif
}

/* Sets what open() is to ask, unless somebody has the disk open: mounted, swapped on, or a program. */
static inline bool tmem_disk_close(struct gendisk *disk, bool *closed)
{
#if TMEM_SINCE(5, 14)
	mutex_lock(&disk->open_mutex);
#if TMEM_SINCE(6, 0)
	*closed = disk_openers(disk) == 0;
#else
	*closed = disk->part0->bd_openers == 0;
#endif
	mutex_unlock(&disk->open_mutex);
#else
	struct block_device *bdev = bdget_disk(disk, 0);

	if (!bdev)
		return false;
	mutex_lock(&bdev->bd_mutex);
	*closed = bdev->bd_openers == 0;
	mutex_unlock(&bdev->bd_mutex);
	bdput(bdev);
#endif
	return *closed;
}

/* A block device opened by path, exclusively. */
struct tmem_backing {
	struct block_device *bdev;
#if TMEM_SINCE(6, 9)
	struct file *file;
#elif TMEM_SINCE(6, 7)
	struct bdev_handle *handle;
#else
	void *holder;
#endif
};

static inline int tmem_backing_open(struct tmem_backing *backing, const char *path, void *holder)
{
#if TMEM_SINCE(6, 9)
	backing->file = bdev_file_open_by_path(path, BLK_OPEN_READ | BLK_OPEN_WRITE, holder, NULL);
	if (IS_ERR(backing->file))
		return PTR_ERR(backing->file);
	backing->bdev = file_bdev(backing->file);
	return 0;
#elif TMEM_SINCE(6, 7)
	backing->handle = bdev_open_by_path(path, BLK_OPEN_READ | BLK_OPEN_WRITE, holder, NULL);
	if (IS_ERR(backing->handle))
		return PTR_ERR(backing->handle);
	backing->bdev = backing->handle->bdev;
	return 0;
#else
	backing->holder = holder;
#if TMEM_SINCE(6, 5)
	backing->bdev = blkdev_get_by_path(path, BLK_OPEN_READ | BLK_OPEN_WRITE, holder, NULL);
#else
	backing->bdev = blkdev_get_by_path(path, FMODE_READ | FMODE_WRITE | FMODE_EXCL, holder);
#endif
	return PTR_ERR_OR_ZERO(backing->bdev);
#endif
}

static inline u64 tmem_backing_bytes(const struct tmem_backing *backing)
{
#if TMEM_SINCE(5, 16)
	return bdev_nr_bytes(backing->bdev);
#else
	return i_size_read(backing->bdev->bd_inode);
#endif
}

static inline void tmem_backing_close(struct tmem_backing *backing)
{
#if TMEM_SINCE(6, 9)
	bdev_fput(backing->file);
#elif TMEM_SINCE(6, 7)
	bdev_release(backing->handle);
#elif TMEM_SINCE(6, 5)
	blkdev_put(backing->bdev, backing->holder);
#else
	blkdev_put(backing->bdev, FMODE_READ | FMODE_WRITE | FMODE_EXCL);
#endif
}

static inline struct bio *tmem_bio_alloc(struct block_device *bdev, bool write, struct bio_set *set)
{
#if TMEM_SINCE(5, 18)
	return bio_alloc_bioset(bdev, 1, write ? REQ_OP_WRITE : REQ_OP_READ, GFP_NOIO, set);
#else
	struct bio *bio = bio_alloc_bioset(GFP_NOIO, 1, set);

	bio_set_dev(bio, bdev);
	bio->bi_opf = write ? REQ_OP_WRITE : REQ_OP_READ;
	return bio;
#endif
}

#endif /* TMEM_COMPAT_H */
