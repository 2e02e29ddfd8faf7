// SPDX-License-Identifier: GPL-2.0-only
/* The module's beginning and end, and what happens to the hooks when the connection comes and goes; see guest.h. */
#include "guest.h"

#include <linux/module.h>
#include <linux/random.h>
#include <linux/vmalloc.h>
#include <xen/xen.h>

#define TMEM_GUEST_PATIENCE_S 3u

unsigned int tmem_reconnect_s = 60;
module_param_named(reconnect_s, tmem_reconnect_s, uint, 0644);
MODULE_PARM_DESC(reconnect_s, "seconds to wait for a lost service before its pages are given up (default 60)");

/* Not by processors: each queue leads to one shard, and who has fewer queues has only those shards' memory. Decision 0017. */
static unsigned int tmem_queues = 8;
module_param_named(queues, tmem_queues, uint, 0444);
MODULE_PARM_DESC(queues, "most queues to the service, 1 to 32; it says how many it serves (default 8)");

static unsigned int tmem_poll_us = 20;
module_param_named(poll_us, tmem_poll_us, uint, 0444);
MODULE_PARM_DESC(poll_us, "microseconds to look for an answer before waiting for an event; at most 10000 (default 20)");

struct tmem_guest tmem_guest;

static void tmem_guest_forgotten(void *owner)
{
	pr_warn_ratelimited("the service lost its memory: pages that were only there cannot be read any more\n");
}

static void tmem_guest_broken(void *owner)
{
	pr_err("the service answered nonsense and is not used any more\n");
}

static const struct tmem_front_owner_ops tmem_guest_ops = {
	.notify = tmem_bus_notify,
	.forgotten = tmem_guest_forgotten,
	.broken = tmem_guest_broken,
};

/* What a handshake is to present. Context: process. */
struct tmem_identity tmem_guest_identity(void)
{
	struct tmem_identity identity;

	mutex_lock(&tmem_guest.lock);
	identity = tmem_guest.identity;
	mutex_unlock(&tmem_guest.lock);
	return identity;
}

/**
 * tmem_guest_attached() - a handshake is complete
 * @attachment: the rings
 * @offered: what it presented
 * @epoch: for the next one
 *
 * Context: process.
 * Return: 0 or a negative error number, then nothing is attached. -ESTALE: we have given up since, and the service has taken us for who
 * we were; what it has of them is not to be claimed.
 */
int tmem_guest_attached(const struct tmem_front_attachment *attachment, const struct tmem_identity *offered, u64 epoch)
{
	int error = -ESTALE;

	mutex_lock(&tmem_guest.lock);
	if (!memcmp(offered->nonce, tmem_guest.identity.nonce, sizeof(offered->nonce)))
		error = tmem_front_attach(&tmem_guest.front, attachment);
	if (!error) {
		tmem_guest.identity.epoch = epoch;
		cancel_delayed_work(&tmem_guest.give_up);
		schedule_work(&tmem_guest.connected);
	}
	mutex_unlock(&tmem_guest.lock);
	return error;
}

static void tmem_guest_connected(struct work_struct *work)
{
	tmem_swapdisk_connected();
	tmem_hooks_connected();
}

/* Whoever swaps waits meanwhile. So it is asked early, and again, whether there is anything to wait for. */
static void tmem_guest_give_up_later(void)
{
	queue_delayed_work(tmem_guest.give_up_wq, &tmem_guest.give_up, min(tmem_reconnect_s, TMEM_GUEST_PATIENCE_S) * HZ);
}

static bool tmem_guest_is_patient(void)
{
	return time_before(jiffies, tmem_guest.lost_at + (unsigned long)tmem_reconnect_s * HZ) &&
	       (tmem_swapdisk_needs_service() || tmem_hooks_need_service());
}

/**
 * tmem_guest_lost() - the connection is gone, perhaps to come back
 *
 * Context: process.
 */
void tmem_guest_lost(void)
{
	mutex_lock(&tmem_guest.lock);
	if (tmem_guest_is_connected()) {
		tmem_front_lost(&tmem_guest.front);
		tmem_guest.lost_at = jiffies;
		tmem_guest_give_up_later();
	}
	mutex_unlock(&tmem_guest.lock);
}

/* A page whose put was cut off may be older in the service than its reader expects; so what is there must never be claimed. */
static void tmem_guest_close(void)
{
	lockdep_assert_held(&tmem_guest.lock);
	tmem_front_close(&tmem_guest.front);
	get_random_bytes(tmem_guest.identity.nonce, sizeof(tmem_guest.identity.nonce));
	tmem_guest.identity.epoch = 0;
	tmem_hooks_closed();
}

/**
 * tmem_guest_closed() - nothing of before is to be had any more
 *
 * Context: process.
 */
void tmem_guest_closed(void)
{
	mutex_lock(&tmem_guest.lock);
	tmem_guest_close();
	mutex_unlock(&tmem_guest.lock);
}

static void tmem_guest_give_up(struct work_struct *work)
{
	mutex_lock(&tmem_guest.lock);
	if (tmem_front_read_state(&tmem_guest.front) != TMEM_FRONT_STATE_RECONNECTING)
		goto out;
	if (tmem_guest_is_patient()) {
		tmem_guest_give_up_later();
	} else {
		pr_warn("the service did not come back within %lu seconds\n", (jiffies - tmem_guest.lost_at) / HZ);
		tmem_guest_close();
	}
out:
	mutex_unlock(&tmem_guest.lock);
}

static void tmem_front_takedown(void)
{
	if (tmem_guest.give_up_wq)
		destroy_workqueue(tmem_guest.give_up_wq);
	vfree(tmem_guest.front_memory);
}

static int tmem_front_setup(void)
{
	struct tmem_front_config config = {
		.queues_max = clamp(tmem_queues, 1u, TMEMIF_QUEUES_MAX),
		.ring_order_max = TMEMIF_RING_ORDER_DEFAULT,
		.pools_max = TMEM_POOLS_MAX,
		.poll_ns = min(tmem_poll_us, 10000u) * NSEC_PER_USEC,
		.ops = &tmem_guest_ops,
		.owner = &tmem_guest,
	};

	tmem_guest.front_memory = vzalloc(tmem_front_memory_bytes(&config));
	tmem_guest.give_up_wq = alloc_workqueue("tmem", WQ_MEM_RECLAIM, 1);
	if (!tmem_guest.front_memory || !tmem_guest.give_up_wq) {
		tmem_front_takedown();
		return -ENOMEM;
	}
	tmem_front_init(&tmem_guest.front, &config, tmem_guest.front_memory);
	mutex_init(&tmem_guest.lock);
	INIT_WORK(&tmem_guest.connected, tmem_guest_connected);
	INIT_DELAYED_WORK(&tmem_guest.give_up, tmem_guest_give_up);
	get_random_bytes(tmem_guest.identity.nonce, sizeof(tmem_guest.identity.nonce));
	return 0;
}

/* After the device has gone: nothing is under way any more. */
static void tmem_front_end(void)
{
	cancel_delayed_work_sync(&tmem_guest.give_up);
	cancel_work_sync(&tmem_guest.connected);
	mutex_lock(&tmem_guest.lock);
	tmem_front_close(&tmem_guest.front);
	mutex_unlock(&tmem_guest.lock);
}

static int __init tmem_init(void)
{
	int error;

	if (!xen_domain())
		return -ENODEV;
	error = tmem_front_setup();
	if (error)
		return error;
	error = tmem_swapdisk_init();
	if (error)
		goto out_free_front;
	error = tmem_hooks_begin();
	if (error)
		goto out_swapdisk;
	error = tmem_bus_init();
	if (error)
		goto out_hooks;
	return 0;

out_hooks:
	tmem_front_end(); /* a device may have been there for a moment */
	tmem_hooks_end();
	tmem_hooks_free();
out_swapdisk:
	tmem_swapdisk_exit();
out_free_front:
	tmem_front_takedown();
	return error;
}

static void __exit tmem_exit(void)
{
	tmem_hooks_end();
	tmem_swapdisk_exit();
	tmem_bus_exit();
	tmem_front_end();
	tmem_hooks_free();
	tmem_front_takedown();
}

module_init(tmem_init);
module_exit(tmem_exit);

MODULE_DESCRIPTION("Transcendent memory for Xen guests: a swap disk in the tmem domain");
MODULE_AUTHOR("the xen-tmem authors");
MODULE_LICENSE("GPL");
MODULE_ALIAS("xen:tmem");
