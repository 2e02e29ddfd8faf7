// SPDX-License-Identifier: GPL-2.0-only
/*
 * tmem_hooks.ko: the tables that the kernel keeps for ever, and the registry between them and tmem.ko. See hooks.h.
 *
 * Locking: the registry's. tmem_hooks_lock serialises who hangs in the tables.
 */
#include "compat.h"

#include <linux/frontswap.h>
#include <linux/jump_label.h>
#include <linux/module.h>
#ifdef TMEM_HAVE_CLEANCACHE
#include <linux/cleancache.h>
#endif

#include "hooks.h"

/* One branch while there is no backend. It is turned outside of the registry's mutex, where the kernel may patch itself. */
static DEFINE_STATIC_KEY_FALSE(tmem_hooks_backed);
static DEFINE_MUTEX(tmem_hooks_lock);
static struct tmem_lazy_member tmem_hooks_members[TMEM_HOOK_SLOTS];
struct tmem_lazy tmem_hooks_registry;
EXPORT_SYMBOL_GPL(tmem_hooks_registry);

EXPORT_SYMBOL_GPL(tmem_lazy_connect);
EXPORT_SYMBOL_GPL(tmem_lazy_disconnect);
EXPORT_SYMBOL_GPL(tmem_lazy_leave);
EXPORT_SYMBOL_GPL(tmem_lazy_resume);
EXPORT_SYMBOL_GPL(tmem_lazy_mend);

/* ---- what the registry needs of the kernel ---- */

void tmem_os_mutex_init(struct tmem_os_mutex *mutex)
{
	mutex_init(&mutex->mutex);
}

void tmem_os_mutex_lock(struct tmem_os_mutex *mutex)
{
	mutex_lock(&mutex->mutex);
}

void tmem_os_mutex_unlock(struct tmem_os_mutex *mutex)
{
	mutex_unlock(&mutex->mutex);
}

int tmem_os_gate_init(struct tmem_os_gate *gate)
{
	return init_srcu_struct(&gate->srcu);
}

int tmem_os_gate_enter(struct tmem_os_gate *gate)
{
	int ticket = srcu_read_lock(&gate->srcu);

	__release(&gate->srcu); /* for sparse: released by tmem_os_gate_leave() */
	return ticket;
}
EXPORT_SYMBOL_GPL(tmem_os_gate_enter);

void tmem_os_gate_leave(struct tmem_os_gate *gate, int ticket)
{
	__acquire(&gate->srcu);
	srcu_read_unlock(&gate->srcu, ticket);
}
EXPORT_SYMBOL_GPL(tmem_os_gate_leave);

void tmem_os_gate_drain(struct tmem_os_gate *gate)
{
	synchronize_srcu(&gate->srcu);
}

/* ---- calls ---- */

/* The backend, if this call may go through; ends with tmem_lazy_exit(). */
static const struct tmem_hooks_backend *tmem_hooks_enter(u32 slot, enum tmem_lazy_call call, int *ticket)
{
	if (!static_branch_unlikely(&tmem_hooks_backed) || slot >= TMEM_HOOK_SLOTS ||
	    !tmem_lazy_enter(&tmem_hooks_registry, slot, call, ticket))
		return NULL;
	return container_of(READ_ONCE(tmem_hooks_registry.backend), struct tmem_hooks_backend, lazy);
}

static bool tmem_hooks_in_frontswap;

static void tmem_hooks_init_type(unsigned int type)
{
	if (type < TMEM_HOOK_TYPES)
		tmem_lazy_remember(&tmem_hooks_registry, type, TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT));
}

static int tmem_hooks_store(unsigned int type, pgoff_t offset, struct page *page)
{
	const struct tmem_hooks_backend *backend;
	int ticket, result;

	backend = type < TMEM_HOOK_TYPES ? tmem_hooks_enter(type, TMEM_LAZY_PUT, &ticket) : NULL;
	if (!backend)
		return -1;
	result = backend->store(type, offset, page);
	tmem_lazy_exit(&tmem_hooks_registry, ticket);
	return result;
}

static int tmem_hooks_load(unsigned int type, pgoff_t offset, struct page *page)
{
	const struct tmem_hooks_backend *backend;
	int ticket, result;

	backend = type < TMEM_HOOK_TYPES ? tmem_hooks_enter(type, TMEM_LAZY_GET, &ticket) : NULL;
	if (!backend)
		return -1;
	result = backend->load(type, offset, page);
	tmem_lazy_exit(&tmem_hooks_registry, ticket);
	return result;
}

static void tmem_hooks_invalidate(unsigned int type, pgoff_t offset)
{
	const struct tmem_hooks_backend *backend;
	int ticket;

	backend = type < TMEM_HOOK_TYPES ? tmem_hooks_enter(type, TMEM_LAZY_GET, &ticket) : NULL;
	if (!backend)
		return;
	backend->invalidate(type, offset);
	tmem_lazy_exit(&tmem_hooks_registry, ticket);
}

static void tmem_hooks_area(unsigned int type)
{
	const struct tmem_hooks_backend *backend;
	int ticket;

	if (type >= TMEM_HOOK_TYPES)
		return;
	backend = tmem_hooks_enter(type, TMEM_LAZY_GET, &ticket);
	if (backend) {
		backend->area(type);
		tmem_lazy_exit(&tmem_hooks_registry, ticket);
	}
	tmem_lazy_forget(&tmem_hooks_registry, type);
}

static struct frontswap_ops tmem_frontswap_ops = {
	.init = tmem_hooks_init_type,
	.store = tmem_hooks_store,
	.load = tmem_hooks_load,
	.invalidate_page = tmem_hooks_invalidate,
	.invalidate_area = tmem_hooks_area,
};

/*
 * Calls init for every type that is on, and then takes back those that a swapoff is about to read in. None of these may have taken a
 * page in between, so pools are made afterwards. For ever.
 */
static void tmem_hooks_hang_in_frontswap(void)
{
	if (tmem_hooks_in_frontswap)
		return;
	tmem_lazy_hold(&tmem_hooks_registry);
	frontswap_register_ops(&tmem_frontswap_ops);
	tmem_lazy_release(&tmem_hooks_registry);
	tmem_hooks_in_frontswap = true;
}

#ifdef TMEM_HAVE_CLEANCACHE

static bool tmem_hooks_in_cleancache;

/* The 24 bytes that name a file. What cleancache's key has beyond them is zero. */
static void tmem_hooks_object(u64 object[3], const struct cleancache_filekey *key)
{
	BUILD_BUG_ON(sizeof(key->u.key) != 3 * sizeof(*object));
	memcpy(object, key->u.key, sizeof(key->u.key));
}

/*
 * ext4 asks for a pool at mount, and again when it is remounted to be written; then it calls by the new number only, and nobody says that
 * the old one is over. So each slot knows its superblock by the pages that come with calls, and when that calls by another number
 * the old slot is forgotten, where it may sleep.
 */
static struct super_block *tmem_hooks_owner[TMEM_HOOK_SLOTS];
static DECLARE_BITMAP(tmem_hooks_orphans, TMEM_HOOK_SLOTS);

static void tmem_hooks_forget_orphans(struct work_struct *work)
{
	u32 slot;

	for_each_set_bit(slot, tmem_hooks_orphans, TMEM_HOOK_SLOTS) {
		WRITE_ONCE(tmem_hooks_owner[slot], NULL);
		tmem_lazy_forget(&tmem_hooks_registry, slot);
		clear_bit(slot, tmem_hooks_orphans); /* not before: who saw the old owner is out only now, and may have set it again */
	}
}
static DECLARE_WORK(tmem_hooks_orphan_work, tmem_hooks_forget_orphans);

/* Inside the gate, so that the slot is nobody else's yet. False: the call began before a remount. */
static bool tmem_hooks_owns(u32 slot, struct page *page)
{
	struct super_block *sb = page->mapping->host->i_sb;
	u32 other;

	if (READ_ONCE(sb->cleancache_poolid) != (int)slot)
		return false;
	if (READ_ONCE(tmem_hooks_owner[slot]) == sb)
		return true;
	WRITE_ONCE(tmem_hooks_owner[slot], sb);
	for (other = TMEM_HOOK_TYPES; other < TMEM_HOOK_SLOTS; other++) {
		if (other == slot || READ_ONCE(tmem_hooks_owner[other]) != sb)
			continue;
		set_bit(other, tmem_hooks_orphans);
		schedule_work(&tmem_hooks_orphan_work);
	}
	return true;
}

static int tmem_hooks_remember_fs(u32 pool_flags, const uuid_t *uuid)
{
	int slot = tmem_lazy_remember_any(&tmem_hooks_registry, TMEM_HOOK_TYPES, TMEMIF_POOL_FLAGS(pool_flags), uuid);

	if (slot < 0)
		pr_warn_once("%u file systems have cleancache; further ones do without\n", TMEM_HOOK_SLOTS - TMEM_HOOK_TYPES);
	return slot;
}

static int tmem_hooks_init_fs(size_t page_bytes)
{
	return tmem_hooks_remember_fs(0, NULL);
}

static int tmem_hooks_init_shared_fs(uuid_t *uuid, size_t page_bytes)
{
	if (uuid_is_null(uuid))
		return tmem_hooks_init_fs(page_bytes);
	return tmem_hooks_remember_fs(TMEMIF_POOL_SHARED, uuid);
}

static int tmem_hooks_get(int slot, struct cleancache_filekey key, pgoff_t index, struct page *page)
{
	const struct tmem_hooks_backend *backend;
	int ticket, result;
	u64 object[3];

	backend = tmem_hooks_enter(slot, TMEM_LAZY_GET, &ticket);
	if (!backend)
		return -1;
	tmem_hooks_object(object, &key);
	result = tmem_hooks_owns(slot, page) ? backend->get(slot, object, index, page) : -1;
	tmem_lazy_exit(&tmem_hooks_registry, ticket);
	return result;
}

static void tmem_hooks_put(int slot, struct cleancache_filekey key, pgoff_t index, struct page *page)
{
	const struct tmem_hooks_backend *backend;
	u64 object[3];
	int ticket;

	backend = tmem_hooks_enter(slot, TMEM_LAZY_PUT, &ticket);
	if (!backend)
		return;
	tmem_hooks_object(object, &key);
	if (tmem_hooks_owns(slot, page))
		backend->put(slot, object, index, page);
	tmem_lazy_exit(&tmem_hooks_registry, ticket);
}

static void tmem_hooks_flush(int slot, struct cleancache_filekey key, pgoff_t index)
{
	const struct tmem_hooks_backend *backend;
	u64 object[3];
	int ticket;

	backend = tmem_hooks_enter(slot, TMEM_LAZY_GET, &ticket);
	if (!backend)
		return;
	tmem_hooks_object(object, &key);
	backend->flush(slot, object, index);
	tmem_lazy_exit(&tmem_hooks_registry, ticket);
}

static void tmem_hooks_flush_object(int slot, struct cleancache_filekey key)
{
	const struct tmem_hooks_backend *backend;
	u64 object[3];
	int ticket;

	backend = tmem_hooks_enter(slot, TMEM_LAZY_GET, &ticket);
	if (!backend)
		return;
	tmem_hooks_object(object, &key);
	backend->flush_object(slot, object);
	tmem_lazy_exit(&tmem_hooks_registry, ticket);
}

static void tmem_hooks_forget_fs(int slot)
{
	if (slot < (int)TMEM_HOOK_TYPES || slot >= (int)TMEM_HOOK_SLOTS)
		return;
	WRITE_ONCE(tmem_hooks_owner[slot], NULL);
	tmem_lazy_forget(&tmem_hooks_registry, slot);
}

static const struct cleancache_ops tmem_cleancache_ops = {
	.init_fs = tmem_hooks_init_fs,
	.init_shared_fs = tmem_hooks_init_shared_fs,
	.get_page = tmem_hooks_get,
	.put_page = tmem_hooks_put,
	.invalidate_page = tmem_hooks_flush,
	.invalidate_inode = tmem_hooks_flush_object,
	.invalidate_fs = tmem_hooks_forget_fs,
};

/* Calls init for every mounted file system that asks for a pool. For ever; somebody else may have been first. */
static void tmem_hooks_hang_in_cleancache(void)
{
	if (tmem_hooks_in_cleancache)
		return;
	tmem_hooks_in_cleancache = cleancache_register_ops(&tmem_cleancache_ops) == 0;
	if (!tmem_hooks_in_cleancache)
		pr_warn("cleancache has another backend already, file pages are not kept\n");
}

#else

static void tmem_hooks_hang_in_cleancache(void)
{
}

#endif

/* ---- backends ---- */

/**
 * tmem_hooks_register() - tmem.ko is there
 * @backend: until it is unregistered
 * @frontswap: take pages from frontswap
 * @cleancache: take pages from cleancache
 *
 * Calls go through when the backend says tmem_lazy_connect().
 *
 * Context: process, may sleep.
 * Return: 0, or -EBUSY.
 */
int tmem_hooks_register(const struct tmem_hooks_backend *backend, bool frontswap, bool cleancache)
{
	int error;

	mutex_lock(&tmem_hooks_lock);
	error = tmem_lazy_register(&tmem_hooks_registry, &backend->lazy);
	if (!error) {
		static_branch_enable(&tmem_hooks_backed);
		if (frontswap)
			tmem_hooks_hang_in_frontswap();
		if (cleancache)
			tmem_hooks_hang_in_cleancache();
	}
	mutex_unlock(&tmem_hooks_lock);
	return error;
}
EXPORT_SYMBOL_GPL(tmem_hooks_register);

/**
 * tmem_hooks_take_frontswap() - take pages from frontswap, now that there is a backend
 *
 * Context: process, may sleep.
 */
void tmem_hooks_take_frontswap(void)
{
	mutex_lock(&tmem_hooks_lock);
	tmem_hooks_hang_in_frontswap();
	mutex_unlock(&tmem_hooks_lock);
}
EXPORT_SYMBOL_GPL(tmem_hooks_take_frontswap);

/**
 * tmem_hooks_unregister() - tmem.ko goes
 *
 * Context: process, may sleep.
 * Return: 0: nobody is inside. -EBUSY: there are pages that are only with this backend.
 */
int tmem_hooks_unregister(void)
{
	int error;

	mutex_lock(&tmem_hooks_lock);
	error = tmem_lazy_unregister(&tmem_hooks_registry);
	if (!error)
		static_branch_disable(&tmem_hooks_backed);
	mutex_unlock(&tmem_hooks_lock);
	return error;
}
EXPORT_SYMBOL_GPL(tmem_hooks_unregister);

static int __init tmem_hooks_init(void)
{
	return tmem_lazy_init(&tmem_hooks_registry, tmem_hooks_members, TMEM_HOOK_SLOTS);
}

/* No exit: the kernel has no way to take its tables back. */
module_init(tmem_hooks_init);

MODULE_DESCRIPTION("Transcendent memory for Xen guests: where swap types and file systems are remembered");
MODULE_AUTHOR("the xen-tmem authors");
MODULE_LICENSE("GPL");
