// SPDX-License-Identifier: GPL-2.0-only
/*
 * One queue's memory granted to the service's domain, and its event channel. A grant that the backend still holds is never
 * taken back by force: its memory is left to it (leaked) and the queue gets new pages.
 *
 * The interrupt handler uses only tmem_channel.queue and the front.
 */
#include "bus_channel.h"

#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <xen/events.h>
#include <xen/grant_table.h>
#include <xen/interface/grant_table.h>
#include <xen/page.h>
#include <xen/xenbus.h>

static irqreturn_t tmem_channel_interrupt(int irq, void *data)
{
	struct tmem_channel *channel = data;
	bool wanted = tmem_front_interrupt(&tmem_guest.front, channel->queue);

	/* An event that nobody asked for counts against the backend: Xen's event core then delays the next one. */
	xen_irq_lateeoi(irq, wanted ? 0 : XEN_EOI_FLAG_SPURIOUS);
	return IRQ_HANDLED;
}

static u32 tmem_channel_pages(const struct tmem_channel *channel)
{
	return TMEMIF_QUEUE_PAGES(channel->order);
}

/* Queues' memory that the present backend held on to. One that takes ever more of it is not given any; a domain that is gone holds nothing. */
#define TMEM_CHANNELS_LEFT_MAX TMEMIF_QUEUES_MAX
static u32 tmem_channels_left;
static domid_t tmem_channels_left_to;

/* Whoever holds the memory now: the channel gets new one when it is opened. */
static void tmem_channel_forget(struct tmem_channel *channel)
{
	channel->memory = NULL;
	channel->directory = NULL;
	channel->refs = NULL;
}

/**
 * tmem_channel_free() - gives the memory back
 * @channel: closed, and not used by the front any more
 */
void tmem_channel_free(struct tmem_channel *channel)
{
	vfree(channel->memory);
	free_page((unsigned long)channel->directory);
	kfree(channel->refs);
	tmem_channel_forget(channel);
}

static int tmem_channel_allocate(struct tmem_channel *channel, domid_t to)
{
	if (to != tmem_channels_left_to)
		tmem_channels_left = 0;
	tmem_channels_left_to = to;
	if (channel->memory)
		return 0;
	if (tmem_channels_left >= TMEM_CHANNELS_LEFT_MAX)
		return -EBUSY;
	channel->memory = vzalloc((size_t)tmem_channel_pages(channel) * PAGE_SIZE);
	channel->directory = (__le32 *)get_zeroed_page(GFP_KERNEL);
	channel->refs = kcalloc(tmem_channel_pages(channel) + 1, sizeof(*channel->refs), GFP_KERNEL);
	if (channel->memory && channel->directory && channel->refs)
		return 0;
	tmem_channel_free(channel);
	return -ENOMEM;
}

/* A ring that nobody has written to: what a backend takes up before the front attaches. */
static void tmem_channel_reset(struct tmem_channel *channel)
{
	struct tmemif_ring_control *control = (void *)channel->memory;

	memset(control, 0, sizeof(*control));
	control->request_event = 1;
	control->response_event = 1;
}

static int tmem_channel_grant(struct tmem_channel *channel, domid_t to)
{
	u32 pages = tmem_channel_pages(channel);
	u32 i;
	int ref;

	for (i = 0; i <= pages; i++) {
		struct page *page = i < pages ? vmalloc_to_page(channel->memory + (size_t)i * PAGE_SIZE) :
						virt_to_page(channel->directory);

		ref = gnttab_grant_foreign_access(to, xen_page_to_gfn(page), i == pages);
		if (ref < 0)
			return ref;
		channel->refs[i] = ref;
		channel->refs_count = i + 1;
		if (i < pages)
			channel->directory[i] = cpu_to_le32(ref);
	}
	return 0;
}

/**
 * tmem_channel_open() - new grants and a new event channel for the service's domain, and a ring that nobody has written to
 * @channel: closed; its queue and order are set, the order as at every time before
 * @device: whose other end they are for
 *
 * Context: process, tmem_bus_lock held.
 * Return: 0 or a negative error number; tmem_channel_close() is due in either case.
 */
int tmem_channel_open(struct tmem_channel *channel, struct xenbus_device *device)
{
	int error = tmem_channel_allocate(channel, device->otherend_id);

	if (error)
		return error;
	tmem_channel_reset(channel);
	error = tmem_channel_grant(channel, device->otherend_id);
	if (error)
		return error;
	error = xenbus_alloc_evtchn(device, &channel->port);
	if (error)
		return error;
	error = bind_evtchn_to_irqhandler_lateeoi(channel->port, tmem_channel_interrupt, 0, "tmem", channel);
	if (error < 0) {
		xenbus_free_evtchn(device, channel->port);
		return error;
	}
	WRITE_ONCE(channel->irq, error);
	return 0;
}

/**
 * tmem_channel_close() - ends event channel and grants
 * @channel: open, or not
 *
 * Memory stays, for what is in flight, unless the backend still holds some of it.
 *
 * Context: process, tmem_bus_lock held.
 */
void tmem_channel_close(struct tmem_channel *channel)
{
	u32 held = 0;
	int irq = channel->irq;

	WRITE_ONCE(channel->irq, 0);
	if (irq)
		unbind_from_irqhandler(irq, channel); /* closes the event channel too */
	for (; channel->refs_count; channel->refs_count--) {
		if (!gnttab_try_end_foreign_access(channel->refs[channel->refs_count - 1]))
			held++;
	}
	if (!held)
		return;
	/* In flight data was copied by the front's next attach, or is lost with its close: new pages next time, these stay. */
	pr_warn_ratelimited("queue %u: the backend still holds %u pages; they are left to it\n", channel->queue, held);
	tmem_channel_forget(channel);
	tmem_channels_left++;
}

/**
 * tmem_channel_notify() - ring the service's doorbell, if there is one
 * @channel: any
 *
 * Context: any.
 */
void tmem_channel_notify(struct tmem_channel *channel)
{
	int irq = READ_ONCE(channel->irq);

	if (irq)
		notify_remote_via_irq(irq);
}
