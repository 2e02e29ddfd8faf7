// SPDX-License-Identifier: GPL-2.0-only
/* What the hooks tell: /sys/kernel/tmem/NAME, one file for each outcome; and pages_target, which brings pages back when written. */
#include "hook.h"

#include <linux/kobject.h>
#include <linux/sysfs.h>

static struct kobject *tmem_hook_folder;

#define TMEM_HOOK_COUNTER(name, stat)                                                                    \
	static ssize_t name##_show(struct kobject *folder, struct kobj_attribute *attribute, char *buffer) \
	{                                                                                                \
		return sysfs_emit(buffer, "%llu\n", (u64)atomic64_read(&tmem_hook_stats[stat]));             \
	}                                                                                                \
	static struct kobj_attribute name##_attribute = __ATTR_RO(name)

TMEM_HOOK_COUNTER(frontswap_stored, TMEM_FRONTSWAP_STORED);
TMEM_HOOK_COUNTER(frontswap_store_refused, TMEM_FRONTSWAP_STORE_REFUSED);
TMEM_HOOK_COUNTER(frontswap_loaded, TMEM_FRONTSWAP_LOADED);
TMEM_HOOK_COUNTER(frontswap_lost, TMEM_FRONTSWAP_LOST);
TMEM_HOOK_COUNTER(frontswap_verify_failed, TMEM_FRONTSWAP_VERIFY_FAILED);
TMEM_HOOK_COUNTER(frontswap_invalidated, TMEM_FRONTSWAP_INVALIDATED);
TMEM_HOOK_COUNTER(frontswap_flush_late, TMEM_FRONTSWAP_FLUSH_LATE);
TMEM_HOOK_COUNTER(cleancache_put, TMEM_CLEANCACHE_PUT);
TMEM_HOOK_COUNTER(cleancache_put_dropped, TMEM_CLEANCACHE_PUT_DROPPED);
TMEM_HOOK_COUNTER(cleancache_put_refused, TMEM_CLEANCACHE_PUT_REFUSED);
TMEM_HOOK_COUNTER(cleancache_get_hit, TMEM_CLEANCACHE_GET_HIT);
TMEM_HOOK_COUNTER(cleancache_get_miss, TMEM_CLEANCACHE_GET_MISS);
TMEM_HOOK_COUNTER(cleancache_flushed, TMEM_CLEANCACHE_FLUSHED);
TMEM_HOOK_COUNTER(cleancache_spoiled, TMEM_CLEANCACHE_SPOILED);

static ssize_t frontswap_pages_show(struct kobject *folder, struct kobj_attribute *attribute, char *buffer)
{
	return sysfs_emit(buffer, "%llu\n", tmem_frontswap_all_pages());
}
static struct kobj_attribute frontswap_pages_attribute = __ATTR_RO(frontswap_pages);

static ssize_t pages_target_store(struct kobject *folder, struct kobj_attribute *attribute, const char *text, size_t count)
{
	u64 target;
	int error = kstrtou64(text, 10, &target);

	if (!error)
		error = tmem_frontswap_give_back(max_t(u64, target, 1), NULL); /* none at all is what frontswap=0 says */
	return error ? error : count;
}
static struct kobj_attribute pages_target_attribute = __ATTR_WO(pages_target);

static struct attribute *tmem_hook_attributes[] = {
	&frontswap_stored_attribute.attr,       &frontswap_store_refused_attribute.attr, &frontswap_loaded_attribute.attr,
	&frontswap_lost_attribute.attr,         &frontswap_invalidated_attribute.attr,   &frontswap_flush_late_attribute.attr,
	&frontswap_pages_attribute.attr,        &cleancache_put_attribute.attr,          &cleancache_put_dropped_attribute.attr,
	&cleancache_put_refused_attribute.attr, &cleancache_get_hit_attribute.attr,      &cleancache_get_miss_attribute.attr,
	&cleancache_flushed_attribute.attr,     &cleancache_spoiled_attribute.attr,      &pages_target_attribute.attr,
	&frontswap_verify_failed_attribute.attr, NULL,
};
static const struct attribute_group tmem_hook_group = { .attrs = tmem_hook_attributes };

int tmem_hook_sysfs_init(void)
{
	int error;

	tmem_hook_folder = kobject_create_and_add("tmem", kernel_kobj);
	if (!tmem_hook_folder)
		return -ENOMEM;
	error = sysfs_create_group(tmem_hook_folder, &tmem_hook_group);
	if (error)
		tmem_hook_sysfs_exit();
	return error;
}

/* On return nobody is inside and the name is free, however long somebody holds the object. */
void tmem_hook_sysfs_exit(void)
{
	kobject_del(tmem_hook_folder);
	kobject_put(tmem_hook_folder);
}
