/* SPDX-License-Identifier: MIT */
/* What the fronts in user space have in common: one small queue, and the nodes of device/tmem/0. */
#ifndef XENLAB_FRONT_H
#define XENLAB_FRONT_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

enum { kPage = 4096, kOrder = 3, kEntries = 1 << kOrder, kQueuePages = 2 + kEntries, kPages = kQueuePages + 1 };

static struct xs_handle *store;

static inline bool write_node(const char *name, const char *value)
{
	char path[64];

	snprintf(path, sizeof(path), "device/tmem/0/%s", name);
	return xs_write(store, XBT_NULL, path, value, (unsigned)strlen(value));
}

static inline unsigned read_number(const char *path)
{
	unsigned length;
	char *text = xs_read(store, XBT_NULL, path, &length);
	unsigned value = text ? (unsigned)strtoul(text, NULL, 10) : 0;

	free(text);
	return value;
}

/* The state of the service's end. */
static inline unsigned back_state(const char *back)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/state", back);
	return read_number(path);
}

#endif
