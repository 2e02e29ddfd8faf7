/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TMEM_BUS_CHANNEL_H
#define TMEM_BUS_CHANNEL_H

#include "guest.h"

#include <xen/grant_table.h>
#include <xen/interface/event_channel.h>

struct xenbus_device;

/* The memory of one queue, its grants and its event channel. Allocated at first use and kept until the module leaves. */
struct tmem_channel {
	u32 queue;
	u32 order;            /* of its ring */
	u8 *memory;           /* TMEMIF_QUEUE_PAGES(order), vmalloc */
	__le32 *directory;    /* one page */
	grant_ref_t *refs;    /* pages, then the directory */
	u32 refs_count;       /* granted of them */
	evtchn_port_t port;
	int irq;              /* 0: none */
};

int tmem_channel_open(struct tmem_channel *channel, struct xenbus_device *device);
void tmem_channel_close(struct tmem_channel *channel);
void tmem_channel_notify(struct tmem_channel *channel);
void tmem_channel_free(struct tmem_channel *channel);

#endif /* TMEM_BUS_CHANNEL_H */
