// SPDX-License-Identifier: MIT
/*
 * sharer PEER PAGES NODE: the granting side. Grants PAGES pages to domain PEER, opens an event channel for it, publishes both in
 * the xenstore node NODE (readable by PEER) as "PORT REF REF …", and answers requests in the first page until told to stop.
 *
 * Page 0 holds the mailbox; every other page is filled with a pattern that the mapper knows. Word 1 of page 1 counts lives of the
 * mapper: only the mapper writes it, and nobody resets it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>
#include "share.h"

static int publish(const char *node, unsigned peer, evtchn_port_t port, const uint32_t *refs, unsigned pages)
{
	char value[1024];
	int used = snprintf(value, sizeof(value), "%u", port);
	struct xs_permissions permissions[2] = { { .perms = XS_PERM_NONE }, { .id = peer, .perms = XS_PERM_READ } };
	struct xs_handle *store = xs_open(0);
	unsigned length;
	char *self = store ? xs_read(store, XBT_NULL, "domid", &length) : NULL;

	if (!self)
		return -1;
	permissions[0].id = (unsigned)atoi(self);
	for (unsigned i = 0; i < pages; i++)
		used += snprintf(value + used, sizeof(value) - (size_t)used, " %u", refs[i]);
	if (!xs_write(store, XBT_NULL, node, "", 0) || !xs_set_permissions(store, XBT_NULL, node, permissions, 2) ||
	    !xs_write(store, XBT_NULL, node, value, (unsigned)used))
		return -1;
	xs_close(store);
	free(self);
	return 0;
}

static void serve(volatile struct Mailbox *box, xenevtchn_handle *events, evtchn_port_t port)
{
	for (;;) {
		xenevtchn_port_or_error_t pending = xenevtchn_pending(events);
		if (pending < 0)
			continue;
		xenevtchn_unmask(events, (evtchn_port_t)pending);
		uint64_t request = __atomic_load_n(&box->request, __ATOMIC_ACQUIRE);
		if (request == kStop)
			return;
		__atomic_store_n(&box->reply, request, __ATOMIC_RELEASE);
		xenevtchn_notify(events, port);
	}
}

int main(int argc, char **argv)
{
	unsigned peer = argc == 4 ? (unsigned)atoi(argv[1]) : 0, pages = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
	uint32_t refs[kMaxPages];

	if (pages < 2 || pages > kMaxPages)
		return 2;
	xengntshr_handle *grants = xengntshr_open(NULL, 0);
	xenevtchn_handle *events = xenevtchn_open(NULL, 0);
	uint8_t *memory = grants ? xengntshr_share_pages(grants, peer, (int)pages, refs, 1) : NULL;
	xenevtchn_port_or_error_t port = events ? xenevtchn_bind_unbound_port(events, peer) : -1;
	if (!memory || port < 0) {
		perror("grant");
		return 1;
	}
	memset(memory, 0, kPage);
	for (unsigned page = 1; page < pages; page++)
		fill(memory + page * kPage, page);
	if (publish(argv[3], peer, (evtchn_port_t)port, refs, pages)) {
		perror("xenstore");
		return 1;
	}
	puts("shared");
	fflush(stdout);
	serve((volatile struct Mailbox *)memory, events, (evtchn_port_t)port);
	printf("stopped after %llu lives\n", (unsigned long long)*lives(memory));
	return 0;
}
