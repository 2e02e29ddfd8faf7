// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The lazy registry; see lazy_registry.h for states and order. Everything here runs under the mutex and may sleep; the calls,
 * which do not, are in the header.
 */
#include "lazy_registry.h"

static bool lazy_is_persistent(const struct tmem_lazy_member *member)
{
	return (member->pool_flags & TMEMIF_POOL_PERSISTENT) != 0;
}

/* Calls of before have ended, and new ones find the state that was stored. */
static void lazy_stop_calls(struct tmem_lazy *lazy, struct tmem_lazy_member *member, uint32_t state)
{
	tmem_store_release(&member->state, state);
	tmem_os_gate_drain(&lazy->gate);
}

/* No call is inside. True: the service has nothing of this number. */
static bool lazy_drop(struct tmem_lazy *lazy, struct tmem_lazy_member *member)
{
	uint32_t slot = (uint32_t)(member - lazy->member);

	if (member->has_pool && lazy->connected)
		member->has_pool = lazy->backend->drop_pool(lazy->backend->owner, slot) != 0;
	return !member->has_pool;
}

/* WAITING becomes READY, if the service agrees. A pool that is left from another life of the slot goes first. */
static void lazy_make(struct tmem_lazy *lazy, struct tmem_lazy_member *member)
{
	uint32_t slot = (uint32_t)(member - lazy->member);

	if (!lazy->connected || lazy->held || !lazy_drop(lazy, member))
		return;
	tmem_store_once(&member->spoiled, 0);
	if (lazy->backend->make_pool(lazy->backend->owner, slot, member->pool_flags, member->uuid))
		return;
	member->has_pool = true;
	tmem_store_release(&member->state, lazy->leaving && lazy_is_persistent(member) ? TMEM_LAZY_LEAVING : TMEM_LAZY_READY);
}

static void lazy_appear(struct tmem_lazy *lazy, struct tmem_lazy_member *member, uint32_t pool_flags, const void *uuid)
{
	member->pool_flags = pool_flags;
	memset(member->uuid, 0, sizeof(member->uuid));
	if (uuid)
		memcpy(member->uuid, uuid, sizeof(member->uuid));
	tmem_store_once(&member->state, TMEM_LAZY_WAITING);
	lazy_make(lazy, member);
}

/**
 * tmem_lazy_init() - make a registry with nobody in it
 * @lazy: to initialise
 * @members: the table, kept by the caller
 * @members_count: its length
 *
 * Return: 0 or a negative error number.
 */
int tmem_lazy_init(struct tmem_lazy *lazy, struct tmem_lazy_member *members, uint32_t members_count)
{
	memset(lazy, 0, sizeof(*lazy));
	memset(members, 0, members_count * sizeof(*members));
	lazy->member = members;
	lazy->members_count = members_count;
	tmem_os_mutex_init(&lazy->mutex);
	return tmem_os_gate_init(&lazy->gate);
}

/**
 * tmem_lazy_remember() - a member with a slot of its own has come
 * @lazy: the registry
 * @slot: its number; if somebody is there already, nothing happens
 * @pool_flags: of the pool it wants
 */
void tmem_lazy_remember(struct tmem_lazy *lazy, uint32_t slot, uint32_t pool_flags)
{
	tmem_os_mutex_lock(&lazy->mutex);
	if (tmem_load_once(&lazy->member[slot].state) == TMEM_LAZY_EMPTY)
		lazy_appear(lazy, &lazy->member[slot], pool_flags, NULL);
	tmem_os_mutex_unlock(&lazy->mutex);
}

/**
 * tmem_lazy_remember_any() - a member has come that takes any slot
 * @lazy: the registry
 * @first: slots from here on are for such members
 * @pool_flags: of the pool it wants
 * @uuid: 16 bytes, of a shared pool; or NULL
 *
 * Return: its slot, or -ENOSPC.
 */
int tmem_lazy_remember_any(struct tmem_lazy *lazy, uint32_t first, uint32_t pool_flags, const void *uuid)
{
	int slot = -ENOSPC;
	uint32_t i;

	tmem_os_mutex_lock(&lazy->mutex);
	for (i = first; slot < 0 && i < lazy->members_count; i++) {
		if (tmem_load_once(&lazy->member[i].state) != TMEM_LAZY_EMPTY)
			continue;
		slot = (int)i;
		lazy_appear(lazy, &lazy->member[i], pool_flags, uuid);
	}
	tmem_os_mutex_unlock(&lazy->mutex);
	return slot;
}

/**
 * tmem_lazy_forget() - a member has gone (swapoff, umount)
 * @lazy: the registry
 * @slot: its number
 *
 * A pool that cannot be dropped now is dropped before the slot's next pool is made.
 */
void tmem_lazy_forget(struct tmem_lazy *lazy, uint32_t slot)
{
	struct tmem_lazy_member *member = &lazy->member[slot];

	tmem_os_mutex_lock(&lazy->mutex);
	if (tmem_load_once(&member->state) != TMEM_LAZY_EMPTY) {
		lazy_stop_calls(lazy, member, TMEM_LAZY_EMPTY);
		lazy_drop(lazy, member);
	}
	tmem_os_mutex_unlock(&lazy->mutex);
}

/**
 * tmem_lazy_register() - there is a backend, not connected yet
 * @lazy: the registry
 * @backend: borrowed until it is unregistered
 *
 * Return: 0, or -EBUSY: there is one already.
 */
int tmem_lazy_register(struct tmem_lazy *lazy, const struct tmem_lazy_backend *backend)
{
	int error = 0;

	tmem_os_mutex_lock(&lazy->mutex);
	if (lazy->backend)
		error = -EBUSY;
	else
		lazy->backend = backend;
	tmem_os_mutex_unlock(&lazy->mutex);
	return error;
}

/**
 * tmem_lazy_connect() - the service is there; also after each reconnection
 * @lazy: the registry, with a backend
 */
void tmem_lazy_connect(struct tmem_lazy *lazy)
{
	const struct tmem_lazy_backend *backend;
	struct tmem_lazy_member *member;
	uint32_t i;

	tmem_os_mutex_lock(&lazy->mutex);
	backend = lazy->backend;
	lazy->connected = backend != NULL;
	for (i = 0; backend && i < lazy->members_count; i++) {
		member = &lazy->member[i];
		if (tmem_load_once(&member->state) == TMEM_LAZY_WAITING)
			lazy_make(lazy, member);
		else if (tmem_load_once(&member->state) != TMEM_LAZY_EMPTY && lazy_is_persistent(member))
			member->has_pool |= !backend->make_pool(backend->owner, i, member->pool_flags, member->uuid);
	}
	tmem_os_mutex_unlock(&lazy->mutex);
}

/**
 * tmem_lazy_hold() - members are remembered only: no pool is made, not by connect() either
 * @lazy: the registry
 *
 * For a caller who hears of members that are there already, some of which may be going.
 */
void tmem_lazy_hold(struct tmem_lazy *lazy)
{
	tmem_os_mutex_lock(&lazy->mutex);
	lazy->held = true;
	tmem_os_mutex_unlock(&lazy->mutex);
}

/**
 * tmem_lazy_release() - ends tmem_lazy_hold(); pools are made for who is still there
 * @lazy: the registry
 */
void tmem_lazy_release(struct tmem_lazy *lazy)
{
	uint32_t i;

	tmem_os_mutex_lock(&lazy->mutex);
	lazy->held = false;
	for (i = 0; i < lazy->members_count; i++)
		if (tmem_load_once(&lazy->member[i].state) == TMEM_LAZY_WAITING)
			lazy_make(lazy, &lazy->member[i]);
	tmem_os_mutex_unlock(&lazy->mutex);
}

/**
 * tmem_lazy_disconnect() - the connection is gone for good, and with it all pools of this client
 * @lazy: the registry
 */
void tmem_lazy_disconnect(struct tmem_lazy *lazy)
{
	struct tmem_lazy_member *member;
	uint32_t i;

	tmem_os_mutex_lock(&lazy->mutex);
	lazy->connected = false;
	for (i = 0; i < lazy->members_count; i++) {
		member = &lazy->member[i];
		if (tmem_load_once(&member->state) == TMEM_LAZY_READY && !lazy_is_persistent(member))
			lazy_stop_calls(lazy, member, TMEM_LAZY_WAITING);
		member->has_pool = false;
	}
	tmem_os_mutex_unlock(&lazy->mutex);
}

/* Stores the state of all persistent members that have another one, and waits for calls that saw that. */
static void lazy_turn_persistent(struct tmem_lazy *lazy, uint32_t from, uint32_t to)
{
	uint32_t i;

	for (i = 0; i < lazy->members_count; i++) {
		struct tmem_lazy_member *member = &lazy->member[i];

		if (lazy_is_persistent(member) && tmem_load_once(&member->state) == from)
			tmem_store_release(&member->state, to);
	}
	tmem_os_gate_drain(&lazy->gate);
}

/**
 * tmem_lazy_leave() - no more puts to persistent pools, so that their pages can be brought back
 * @lazy: the registry
 *
 * On return no put is inside. Members that come later are refused puts too.
 */
void tmem_lazy_leave(struct tmem_lazy *lazy)
{
	tmem_os_mutex_lock(&lazy->mutex);
	lazy->leaving = true;
	lazy_turn_persistent(lazy, TMEM_LAZY_READY, TMEM_LAZY_LEAVING);
	tmem_os_mutex_unlock(&lazy->mutex);
}

/**
 * tmem_lazy_resume() - puts to persistent pools again
 * @lazy: the registry
 */
void tmem_lazy_resume(struct tmem_lazy *lazy)
{
	tmem_os_mutex_lock(&lazy->mutex);
	lazy->leaving = false;
	lazy_turn_persistent(lazy, TMEM_LAZY_LEAVING, TMEM_LAZY_READY);
	tmem_os_mutex_unlock(&lazy->mutex);
}

static bool lazy_holds_pages(struct tmem_lazy *lazy)
{
	const struct tmem_lazy_backend *backend = lazy->backend;
	uint32_t i;

	for (i = 0; i < lazy->members_count; i++) {
		const struct tmem_lazy_member *member = &lazy->member[i];

		if (lazy_is_persistent(member) && tmem_load_once(&member->state) == TMEM_LAZY_LEAVING &&
		    backend->pages(backend->owner, i))
			return true;
	}
	return false;
}

/**
 * tmem_lazy_unregister() - the backend goes
 * @lazy: the registry
 *
 * Return: 0: no call is inside nor will be, the members are remembered for the next backend; also without a backend. -EBUSY:
 * a persistent pool has pages; all is as it was.
 */
int tmem_lazy_unregister(struct tmem_lazy *lazy)
{
	bool was_leaving;
	int error = 0;
	uint32_t i;

	tmem_os_mutex_lock(&lazy->mutex);
	was_leaving = lazy->leaving;
	lazy_turn_persistent(lazy, TMEM_LAZY_READY, TMEM_LAZY_LEAVING);
	if (lazy_holds_pages(lazy)) {
		error = -EBUSY;
		if (!was_leaving)
			lazy_turn_persistent(lazy, TMEM_LAZY_LEAVING, TMEM_LAZY_READY);
	}
	for (i = 0; !error && i < lazy->members_count; i++)
		if (tmem_load_once(&lazy->member[i].state) != TMEM_LAZY_EMPTY)
			tmem_store_release(&lazy->member[i].state, TMEM_LAZY_WAITING);
	if (!error) {
		tmem_os_gate_drain(&lazy->gate);
		for (i = 0; i < lazy->members_count; i++) {
			lazy_drop(lazy, &lazy->member[i]);
			lazy->member[i].has_pool = false; /* with the connection, what could not be dropped goes */
		}
		lazy->backend = NULL;
		lazy->connected = false;
		lazy->leaving = false;
	}
	tmem_os_mutex_unlock(&lazy->mutex);
	return error;
}

/**
 * tmem_lazy_mend() - spoiled members get a new pool
 * @lazy: the registry
 */
void tmem_lazy_mend(struct tmem_lazy *lazy)
{
	struct tmem_lazy_member *member;
	uint32_t i;

	tmem_os_mutex_lock(&lazy->mutex);
	for (i = 0; i < lazy->members_count; i++) {
		member = &lazy->member[i];
		if (!tmem_load_acquire(&member->spoiled) || tmem_load_once(&member->state) != TMEM_LAZY_READY)
			continue;
		lazy_stop_calls(lazy, member, TMEM_LAZY_WAITING);
		lazy_make(lazy, member);
	}
	tmem_os_mutex_unlock(&lazy->mutex);
}
