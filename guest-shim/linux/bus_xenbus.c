// SPDX-License-Identifier: GPL-2.0-only
/*
 * The connection over xenbus: the handshake of proto/tmem/tmem_xs.h, one channel (bus_channel.h) a queue. There is one device;
 * its channels' memory outlives it, because what was in flight lies in the slots.
 *
 * The backend's nodes are not trusted: each number is bounded here, once.
 *
 * Locking: all set-up and take-down under tmem_bus_lock, which may have to wait for xenstore.
 */
#include "bus_channel.h"

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <xen/xen-ops.h>
#include <xen/xenbus.h>

#include "tmem/tmem_xs.h"

#define TMEM_BUS_ASK_AGAIN_S 5u

static DEFINE_MUTEX(tmem_bus_lock);

static struct {
	struct xenbus_device *device;
	struct delayed_work ask_again;
	bool registered;
	bool suspended; /* we said so, and have not started over since */
	bool offering; /* the rings that our nodes name */
	struct tmem_identity offered; /* by the latest handshake */
	u32 queues;
	u32 order;
	struct tmem_channel channel[TMEMIF_QUEUES_MAX];
} tmem_bus;

void tmem_bus_notify(void *owner, u32 queue)
{
	tmem_channel_notify(&tmem_bus.channel[queue]);
}

static void tmem_bus_close_channels(void)
{
	u32 i;

	tmem_bus.offering = false;
	for (i = 0; i < tmem_bus.queues; i++)
		tmem_channel_close(&tmem_bus.channel[i]);
}

/* One number out of a node's words KEY=NUMBER. */
static bool tmem_bus_word(const char *words, const char *key, u64 *value)
{
	size_t length = strlen(key);
	const char *at;
	char number[24];

	for (at = words; (at = strstr(at, key)); at += length) {
		if ((at == words || at[-1] == ' ') && at[length] == '=') {
			at += length + 1;
			strscpy(number, at, min(sizeof(number), strcspn(at, " -") + 1));
			return kstrtou64(number, 10, value) == 0;
		}
	}
	return false;
}

/* What the service says of itself and of us; a number that it does not say is 0. */
struct tmem_bus_service {
	unsigned int version_min, version_max;
	u64 queues_max, order_max;
	u64 resumed, epoch;
};

static int tmem_bus_read_service(struct xenbus_device *device, struct tmem_bus_service *service)
{
	char *words = xenbus_read(XBT_NIL, device->otherend, TMEM_XS_SERVICE, NULL);
	const char *versions;

	memset(service, 0, sizeof(*service));
	if (IS_ERR(words))
		return PTR_ERR(words);
	versions = strstr(words, "versions=");
	if (versions && sscanf(versions, "versions=%u-%u", &service->version_min, &service->version_max) != 2)
		service->version_max = 0;
	tmem_bus_word(words, "max-queues", &service->queues_max);
	tmem_bus_word(words, "max-ring-order", &service->order_max);
	tmem_bus_word(words, "resumed", &service->resumed);
	tmem_bus_word(words, "epoch", &service->epoch);
	kfree(words);
	return 0;
}

static int tmem_bus_identify(struct xenbus_transaction transaction, struct xenbus_device *device, struct tmem_identity who, bool suspended)
{
	return xenbus_printf(transaction, device->nodename, TMEM_XS_IDENTITY, "nonce=%016llx%016llx epoch=%llu suspended=%d",
			     who.nonce[0], who.nonce[1], who.epoch, suspended);
}

static int tmem_bus_write_nodes(struct xenbus_device *device)
{
	struct xenbus_transaction transaction;
	char *queues;
	int error;
	u32 i;

	queues = kzalloc(TMEMIF_QUEUES_MAX * 24, GFP_KERNEL);
	if (!queues)
		return -ENOMEM;
	tmem_bus.offered = tmem_guest_identity();
	for (i = 0; i < tmem_bus.queues; i++) {
		struct tmem_channel *channel = &tmem_bus.channel[i];

		snprintf(queues + strlen(queues), 24, "%s%u:%u", i ? " " : "", channel->refs[channel->refs_count - 1], channel->port);
	}
	do {
		error = xenbus_transaction_start(&transaction);
		if (error)
			break;
		error = xenbus_printf(transaction, device->nodename, TMEM_XS_CONNECT, "version=%u queues=%u ring-order=%u",
				      TMEMIF_VERSION, tmem_bus.queues, tmem_bus.order);
		if (!error)
			error = xenbus_printf(transaction, device->nodename, TMEM_XS_QUEUES, "%s", queues);
		if (!error)
			error = tmem_bus_identify(transaction, device, tmem_bus.offered, false);
		if (error) {
			xenbus_transaction_end(transaction, 1);
			break;
		}
		error = xenbus_transaction_end(transaction, 0);
	} while (error == -EAGAIN);
	kfree(queues);
	return error;
}

/* Numbers of queues and ring order are settled once: later connections must serve them as well. */
static int tmem_bus_settle(struct xenbus_device *device)
{
	struct tmem_bus_service service;
	u32 queues, order;
	int error;

	error = tmem_bus_read_service(device, &service);
	if (error)
		return error;
	if (service.version_min > TMEMIF_VERSION || service.version_max < TMEMIF_VERSION) {
		dev_err_ratelimited(&device->dev, "the service speaks versions %u to %u, this module only %u: update the older one\n",
				    service.version_min, service.version_max, TMEMIF_VERSION);
		return -EPROTONOSUPPORT;
	}
	queues = tmem_bus.queues ?: (u32)min_t(u64, tmem_guest.front.config.queues_max, service.queues_max);
	order = tmem_bus.queues ? tmem_bus.order : (u32)min_t(u64, TMEMIF_RING_ORDER_DEFAULT, service.order_max);
	if (!queues || queues > service.queues_max || order > service.order_max || order < TMEMIF_RING_ORDER_MIN)
		return -EPROTO;
	tmem_bus.queues = queues;
	tmem_bus.order = order;
	return 0;
}

/*
 * Backend in InitWait: offer our rings, whatever was before. An offer that was not answered stands: two changes of the backend's state
 * come as two calls, each with the latter, and by the second the service may have mapped what the first was answered with.
 */
static void tmem_bus_connect(struct xenbus_device *device)
{
	int error;
	u32 i;

	if (tmem_bus.offering && device->state == XenbusStateInitialised)
		return;
	tmem_guest_lost();
	tmem_bus_close_channels();
	error = tmem_bus_settle(device);
	if (error == -EPROTONOSUPPORT) {
		/* Not asked again: only another service speaks otherwise, and it offers by itself. */
		xenbus_switch_state(device, XenbusStateInitialising);
		return;
	}
	for (i = 0; !error && i < tmem_bus.queues; i++) {
		tmem_bus.channel[i].queue = i;
		tmem_bus.channel[i].order = tmem_bus.order;
		error = tmem_channel_open(&tmem_bus.channel[i], device);
	}
	if (!error)
		error = tmem_bus_write_nodes(device);
	if (error) {
		tmem_bus_close_channels();
		xenbus_dev_fatal(device, error, "offering the rings to the service");
		return;
	}
	tmem_bus.offering = true;
	xenbus_switch_state(device, XenbusStateInitialised);
}

/* Backend is Connected: it has mapped the rings. */
static void tmem_bus_connected(struct xenbus_device *device)
{
	struct tmem_front_attachment attachment = {
		.queues = tmem_bus.queues,
		.ring_order = tmem_bus.order,
	};
	struct tmem_bus_service service;
	int error;
	u32 i;

	if (device->state != XenbusStateInitialised)
		return;
	for (i = 0; i < tmem_bus.queues; i++)
		attachment.memory[i] = tmem_bus.channel[i].memory;
	error = tmem_bus_read_service(device, &service);
	if (!error) {
		attachment.resumed = service.resumed == 1;
		error = tmem_guest_attached(&attachment, &tmem_bus.offered, service.epoch);
	}
	if (error == -ESTALE) {
		xenbus_switch_state(device, XenbusStateInitialising);
		return;
	}
	if (error) {
		xenbus_dev_fatal(device, error, "attaching to the service");
		return;
	}
	xenbus_switch_state(device, XenbusStateConnected);
	dev_info_ratelimited(&device->dev, "connected to dom %d: %u queues, %s\n", device->otherend_id, tmem_bus.queues,
		 attachment.resumed ? "pages of before are there" : "no pages of before");
	for (i = 0; i < tmem_bus.queues; i++)
		tmem_front_interrupt(&tmem_guest.front, i);
}

/*
 * Refused, perhaps for something that has passed by now; the service may have our pages still. Frozen during a suspend: xenstore does not
 * answer then, and tmem_bus_thawing() wants the lock.
 */
static void tmem_bus_ask_again(struct work_struct *work)
{
	struct xenbus_device *device;

	mutex_lock(&tmem_bus_lock);
	device = tmem_bus.device;
	if (device && device->otherend && device->state == XenbusStateClosed &&
	    tmem_front_read_state(&tmem_guest.front) != TMEM_FRONT_STATE_BROKEN &&
	    xenbus_read_unsigned(device->otherend, TMEM_XS_ONLINE, 0))
		xenbus_switch_state(device, XenbusStateInitialising);
	mutex_unlock(&tmem_bus_lock);
}

/*
 * The backend goes. When dom0 wants that, it frees our pages, and there is nothing to wait for. Only a backend that is Closed has
 * unmapped our memory.
 */
static void tmem_bus_leave(struct xenbus_device *device, enum xenbus_state state)
{
	bool online;

	/* Initialising: that is what the backend was before it saw us. */
	if (device->state == XenbusStateClosed || device->state == XenbusStateInitialising)
		return;
	online = xenbus_read_unsigned(device->otherend, TMEM_XS_ONLINE, 0);
	tmem_guest_lost();
	if (!online)
		tmem_guest_closed();
	if (state == XenbusStateClosed)
		tmem_bus_close_channels();
	xenbus_switch_state(device, state);
	if (state == XenbusStateClosed && online)
		queue_delayed_work(system_freezable_wq, &tmem_bus.ask_again, TMEM_BUS_ASK_AGAIN_S * HZ);
}

/* We go: the backend is given a moment to unmap our memory. */
static void tmem_bus_part(struct xenbus_device *device)
{
	int i;

	if (!device->otherend)
		return;
	xenbus_switch_state(device, XenbusStateClosed);
	for (i = 0; i < 100 && xenbus_read_driver_state(device->otherend) == XenbusStateConnected; i++)
		msleep(20);
}

static void tmem_bus_changed(struct xenbus_device *device, enum xenbus_state state)
{
	/* No memory by swapping: that would wait for this connection. */
	unsigned int scope = memalloc_noio_save();

	mutex_lock(&tmem_bus_lock);
	switch (state) {
	case XenbusStateInitWait:
		tmem_bus_connect(device);
		break;
	case XenbusStateConnected:
		tmem_bus_connected(device);
		break;
	case XenbusStateClosing:
	case XenbusStateClosed:
		tmem_bus_leave(device, state);
		break;
	case XenbusStateUnknown:
		/* The backend's directory is gone, with its domain most likely. */
		tmem_guest_lost();
		tmem_bus_close_channels();
		break;
	case XenbusStateInitialising:
	case XenbusStateInitialised:
	case XenbusStateReconfiguring:
	case XenbusStateReconfigured:
		break;
	}
	mutex_unlock(&tmem_bus_lock);
	memalloc_noio_restore(scope);
}

static int tmem_bus_probe(struct xenbus_device *device, const struct xenbus_device_id *id)
{
	int error = 0;

	mutex_lock(&tmem_bus_lock);
	if (tmem_bus.device)
		error = -EBUSY;
	else
		tmem_bus.device = device;
	/* Registering ends with waiting, for minutes, for each device that is neither connected nor closed; the service may be away. */
	if (!error && !tmem_bus.registered)
		device->state = XenbusStateClosed;
	else if (!error)
		xenbus_switch_state(device, XenbusStateInitialising);
	mutex_unlock(&tmem_bus_lock);
	return error;
}

/* The device that was there before us is begun with; a module before us left it Closed. An offer may have come already. */
static void tmem_bus_registered(void)
{
	mutex_lock(&tmem_bus_lock);
	tmem_bus.registered = true;
	if (tmem_bus.device && tmem_bus.device->state == XenbusStateClosed)
		xenbus_switch_state(tmem_bus.device, XenbusStateInitialising);
	mutex_unlock(&tmem_bus_lock);
}

static TMEM_REMOVE_RESULT tmem_bus_remove(struct xenbus_device *device)
{
	mutex_lock(&tmem_bus_lock);
	tmem_guest_lost();
	tmem_bus_part(device);
	tmem_bus_close_channels();
	tmem_bus.device = NULL;
	tmem_bus.suspended = false;
	mutex_unlock(&tmem_bus_lock);
	TMEM_REMOVE_RETURN;
}

/*
 * Says that we will be back, so that our pools outlive this domain. The rings are served until the processors stop: making the
 * image may need memory, and memory may need the swap disk.
 */
static int tmem_bus_suspend(struct xenbus_device *device)
{
	mutex_lock(&tmem_bus_lock);
	if (!tmem_bus_identify(XBT_NIL, device, tmem_guest_identity(), true))
		tmem_bus.suspended = true;
	mutex_unlock(&tmem_bus_lock);
	return 0;
}

/*
 * The processors run again, tasks not yet. Whether the image goes on or this domain, the image can claim what we had: nothing more
 * may be sent before we have claimed it.
 */
static int tmem_bus_thawing(struct notifier_block *block, unsigned long event, void *data)
{
	mutex_lock(&tmem_bus_lock);
	if (tmem_bus.suspended)
		tmem_guest_lost();
	mutex_unlock(&tmem_bus_lock);
	return NOTIFY_DONE;
}

static struct notifier_block tmem_bus_resume_block = {
	.notifier_call = tmem_bus_thawing,
};

/* A new domain, new grants: the handshake starts over when the backend is in InitWait. */
static int tmem_bus_resume(struct xenbus_device *device)
{
	mutex_lock(&tmem_bus_lock);
	tmem_bus.suspended = false;
	tmem_guest_lost();
	tmem_bus_close_channels();
	mutex_unlock(&tmem_bus_lock);
	return 0;
}

/*
 * Something in our directory has changed. Of interest only after a suspend that did not end in tmem_bus_resume(), and then it
 * is certain to come: our own word in tmem_bus_suspend() made an event, and the thread that delivers events is the one that
 * suspends. Either the suspend was called off, or dom0 has given the new domain its device only now.
 */
static void tmem_bus_awake(struct xenbus_watch *watch, const char *path, const char *token)
{
	struct xenbus_device *rebind = NULL;
	struct xenbus_device *device;
	char *backend;

	mutex_lock(&tmem_bus_lock);
	device = tmem_bus.device;
	if (tmem_bus.suspended)
		tmem_guest_lost(); /* it is already, unless the suspend was called off before the processors stopped */
	backend = tmem_bus.suspended ? xenbus_read(XBT_NIL, device->nodename, TMEM_XS_BACKEND, NULL) : ERR_PTR(-ENOENT);
	if (!IS_ERR(backend)) {
		tmem_bus.suspended = false;
		if (device->otherend && !strcmp(backend, device->otherend))
			xenbus_switch_state(device, XenbusStateInitialising);
		else
			rebind = device;
		kfree(backend);
	}
	mutex_unlock(&tmem_bus_lock);
	if (rebind && device_reprobe(&rebind->dev))
		pr_warn_ratelimited("the device of the restored domain cannot be taken up\n");
}

static struct xenbus_watch tmem_bus_watch = {
	.node = "device/" TMEM_XS_DEVICE "/0",
	.callback = tmem_bus_awake,
};

static const struct xenbus_device_id tmem_bus_ids[] = { { TMEM_XS_DEVICE }, { "" } };

static struct xenbus_driver tmem_bus_driver = {
	.ids = tmem_bus_ids,
	.probe = tmem_bus_probe,
	.remove = tmem_bus_remove,
	.otherend_changed = tmem_bus_changed,
	.suspend = tmem_bus_suspend,
	.resume = tmem_bus_resume,
};

static void tmem_bus_unregister(void)
{
	u32 i;

	xenbus_unregister_driver(&tmem_bus_driver);
	cancel_delayed_work_sync(&tmem_bus.ask_again);
	for (i = 0; i < TMEMIF_QUEUES_MAX; i++)
		tmem_channel_free(&tmem_bus.channel[i]);
}

int tmem_bus_init(void)
{
	/*
	 * Without an owner: a bound device would hold the module, and it could not be unloaded as long as dom0 has the device
	 * there. Unregistering in tmem_bus_exit() unbinds it, and returns when no call of ours is under way.
	 */
	int error;

	INIT_DELAYED_WORK(&tmem_bus.ask_again, tmem_bus_ask_again);
	error = __xenbus_register_frontend(&tmem_bus_driver, NULL, KBUILD_MODNAME);
	if (error)
		return error;
	tmem_bus_registered();
	error = register_xenbus_watch(&tmem_bus_watch);
	if (error) {
		tmem_bus_unregister();
		return error;
	}
	xen_resume_notifier_register(&tmem_bus_resume_block);
	return 0;
}

void tmem_bus_exit(void)
{
	xen_resume_notifier_unregister(&tmem_bus_resume_block);
	unregister_xenbus_watch(&tmem_bus_watch);
	tmem_bus_unregister();
}
