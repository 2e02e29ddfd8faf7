// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a swap disk tells and lets change: files beside the disk's own in /sys/block/tmemswapN/tmem; hot_add and hot_remove in
 * /sys/class/tmem-control, which work as zram's do; and there front_stat, what the front of all disks has counted.
 */
#include "swapdisk.h"

#include <linux/module.h>

static struct tmem_disk *tmem_disk_of(struct device *device)
{
	return dev_to_disk(device)->private_data;
}

#define TMEM_DISK_COUNTER(name, stat)                                                                       \
	static ssize_t name##_show(struct device *device, struct device_attribute *attribute, char *buffer) \
	{                                                                                                   \
		return sysfs_emit(buffer, "%llu\n", (u64)atomic64_read(&tmem_disk_of(device)->stats[stat]));  \
	}                                                                                                   \
	static DEVICE_ATTR_RO(name)

TMEM_DISK_COUNTER(num_reads, TMEM_DISK_NUM_READS);
TMEM_DISK_COUNTER(num_writes, TMEM_DISK_NUM_WRITES);
TMEM_DISK_COUNTER(failed_reads, TMEM_DISK_FAILED_READS);
TMEM_DISK_COUNTER(failed_writes, TMEM_DISK_FAILED_WRITES);
TMEM_DISK_COUNTER(lost_reads, TMEM_DISK_LOST_READS);
TMEM_DISK_COUNTER(verify_failed, TMEM_DISK_VERIFY_FAILED);
TMEM_DISK_COUNTER(partial_io, TMEM_DISK_PARTIAL_IO);
TMEM_DISK_COUNTER(notify_free, TMEM_DISK_NOTIFY_FREE);
TMEM_DISK_COUNTER(discards, TMEM_DISK_DISCARDS);
TMEM_DISK_COUNTER(refused_writes, TMEM_DISK_REFUSED_WRITES);
TMEM_DISK_COUNTER(bdev_num_reads, TMEM_DISK_BDEV_READS);
TMEM_DISK_COUNTER(bdev_num_writes, TMEM_DISK_BDEV_WRITES);

static ssize_t disksize_show(struct device *device, struct device_attribute *attribute, char *buffer)
{
	return sysfs_emit(buffer, "%llu\n", tmem_disk_of(device)->pages << PAGE_SHIFT);
}
static DEVICE_ATTR_RO(disksize);

static ssize_t pages_stored_show(struct device *device, struct device_attribute *attribute, char *buffer)
{
	return sysfs_emit(buffer, "%llu\n", (u64)atomic64_read(&tmem_disk_of(device)->stored));
}
static DEVICE_ATTR_RO(pages_stored);

static ssize_t same_pages_show(struct device *device, struct device_attribute *attribute, char *buffer)
{
	return sysfs_emit(buffer, "%llu\n", (u64)atomic64_read(&tmem_disk_of(device)->same));
}
static DEVICE_ATTR_RO(same_pages);

static ssize_t orig_data_size_show(struct device *device, struct device_attribute *attribute, char *buffer)
{
	return sysfs_emit(buffer, "%llu\n", (u64)atomic64_read(&tmem_disk_of(device)->stored) << PAGE_SHIFT);
}
static DEVICE_ATTR_RO(orig_data_size);

static ssize_t mem_limit_show(struct device *device, struct device_attribute *attribute, char *buffer)
{
	return sysfs_emit(buffer, "%llu\n", READ_ONCE(tmem_disk_of(device)->limit) << PAGE_SHIFT);
}

/* Bytes of pages to keep in the service at most, with K, M, G; 0: none. */
static ssize_t mem_limit_store(struct device *device, struct device_attribute *attribute, const char *text, size_t count)
{
	char *end;
	u64 bytes = memparse(text, &end);

	if (end == text || (*end && *end != '\n'))
		return -EINVAL;
	WRITE_ONCE(tmem_disk_of(device)->limit, DIV_ROUND_UP_ULL(bytes, PAGE_SIZE));
	return count;
}
static DEVICE_ATTR_RW(mem_limit);

static struct attribute *tmem_disk_attributes[] = {
	&dev_attr_num_reads.attr,      &dev_attr_num_writes.attr,     &dev_attr_failed_reads.attr,   &dev_attr_failed_writes.attr,
	&dev_attr_lost_reads.attr,     &dev_attr_verify_failed.attr,  &dev_attr_partial_io.attr,     &dev_attr_notify_free.attr,
	&dev_attr_discards.attr,       &dev_attr_same_pages.attr,     &dev_attr_refused_writes.attr, &dev_attr_bdev_num_reads.attr,
	&dev_attr_bdev_num_writes.attr, &dev_attr_disksize.attr,      &dev_attr_pages_stored.attr,   &dev_attr_orig_data_size.attr,
	&dev_attr_mem_limit.attr,      NULL,
};

static const struct attribute_group tmem_disk_group = {
	.name = "tmem",
	.attrs = tmem_disk_attributes,
};

const struct attribute_group *tmem_disk_groups[] = { &tmem_disk_group, NULL };

static struct class *tmem_control;
static int (*tmem_control_add)(void);
static int (*tmem_control_remove)(u32 number);

static ssize_t hot_add_show(TMEM_CLASS_ARGUMENT, char *buffer)
{
	int number = tmem_control_add();

	return number < 0 ? number : sysfs_emit(buffer, "%d\n", number);
}
/* Reading makes a disk, so it is not for everyone. */
static struct class_attribute class_attr_hot_add = __ATTR(hot_add, 0400, hot_add_show, NULL);

static ssize_t hot_remove_store(TMEM_CLASS_ARGUMENT, const char *text, size_t count)
{
	u32 number;
	int error = kstrtou32(text, 10, &number);

	if (!error)
		error = tmem_control_remove(number);
	return error ? error : count;
}
static CLASS_ATTR_WO(hot_remove);

static ssize_t front_stat_show(TMEM_CLASS_ARGUMENT, char *buffer)
{
	struct tmem_front_stats stats;
	ssize_t length = 0;

	tmem_front_read_stats(&tmem_guest.front, &stats);
#define TMEM_FRONT_STAT(name) (length += sysfs_emit_at(buffer, length, #name " %llu\n", stats.name))
	TMEM_FRONT_STAT(put_credited);
	TMEM_FRONT_STAT(put_answered);
	TMEM_FRONT_STAT(put_same_filled);
	TMEM_FRONT_STAT(put_refused);
	TMEM_FRONT_STAT(put_lost);
	TMEM_FRONT_STAT(get_hit);
	TMEM_FRONT_STAT(get_miss);
	TMEM_FRONT_STAT(get_failed);
	TMEM_FRONT_STAT(other_answered);
	TMEM_FRONT_STAT(requests_replayed);
	TMEM_FRONT_STAT(requests_delayed);
	TMEM_FRONT_STAT(doorbells_sent);
	TMEM_FRONT_STAT(sleeps);
	TMEM_FRONT_STAT(connections_lost);
#undef TMEM_FRONT_STAT
	return length;
}
static CLASS_ATTR_RO(front_stat);

static const struct class_attribute *const tmem_control_attributes[] = {
	&class_attr_hot_add,
	&class_attr_hot_remove,
	&class_attr_front_stat,
};

int tmem_disk_control_init(int (*add)(void), int (*remove)(u32 number))
{
	int error = 0;
	size_t i;

	tmem_control_add = add;
	tmem_control_remove = remove;
	tmem_control = tmem_class_create("tmem-control");
	if (IS_ERR(tmem_control))
		return PTR_ERR(tmem_control);
	for (i = 0; !error && i < ARRAY_SIZE(tmem_control_attributes); i++)
		error = class_create_file(tmem_control, tmem_control_attributes[i]);
	if (error)
		class_destroy(tmem_control);
	return error;
}

void tmem_disk_control_exit(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tmem_control_attributes); i++)
		class_remove_file(tmem_control, tmem_control_attributes[i]);
	class_destroy(tmem_control);
}
