// SPDX-License-Identifier: MIT
/*
 * mapper PEER NODE ROUNDS hold|leave|stop: the mapping side. Maps the pages and binds the event channel that sharer published in
 * NODE, checks every byte, counts a life, rings ROUNDS times and checks each answer, and measures on the way. Then it holds
 * everything until it is killed, leaves, or tells the sharer to stop.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>
#include "share.h"

enum { kAnswerMs = 20000, kReads = 200 };

static double now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static unsigned read_node(const char *node, evtchn_port_t *port, uint32_t *refs)
{
	struct xs_handle *store = xs_open(0);
	unsigned length, pages = 0;
	char *value = store ? xs_read(store, XBT_NULL, node, &length) : NULL;
	char *next = value;

	if (!value)
		return 0;
	*port = (evtchn_port_t)strtoul(next, &next, 10);
	while (*next && pages < kMaxPages)
		refs[pages++] = (uint32_t)strtoul(next, &next, 10);
	free(value);
	xs_close(store);
	return pages;
}

static int check(const uint8_t *memory, unsigned pages)
{
	for (unsigned page = 1; page < pages; page++) {
		const uint64_t *words = (const uint64_t *)(const void *)(memory + page * kPage);
		for (size_t word = 0; word < kWords; word++)
			if (patterned(page, word) && words[word] != pattern(page, word)) {
				fprintf(stderr, "page %u word %zu is wrong\n", page, word);
				return -1;
			}
	}
	return 0;
}

static int ask(volatile struct Mailbox *box, xenevtchn_handle *events, evtchn_port_t local, uint64_t request)
{
	struct pollfd ready = { xenevtchn_fd(events), POLLIN, 0 };

	__atomic_store_n(&box->request, request, __ATOMIC_RELEASE);
	xenevtchn_notify(events, local);
	while (__atomic_load_n(&box->reply, __ATOMIC_ACQUIRE) != request) {
		if (poll(&ready, 1, kAnswerMs) <= 0) {
			fprintf(stderr, "no answer to request %llu\n", (unsigned long long)request);
			return -1;
		}
		xenevtchn_port_or_error_t pending = xenevtchn_pending(events);
		if (pending >= 0)
			xenevtchn_unmask(events, (evtchn_port_t)pending);
	}
	return 0;
}

static void measure(const uint8_t *memory)
{
	static uint8_t copy[kPage];
	double start = now_us();

	for (int i = 0; i < kReads; i++) {
		memcpy(copy, memory + kPage, kPage);
		__asm__ volatile("" : : "r"(copy) : "memory");
	}
	printf("read of a mapped page: %.2f us\n", (now_us() - start) / kReads);
}

int main(int argc, char **argv)
{
	evtchn_port_t remote;
	uint32_t refs[kMaxPages];

	if (argc != 5)
		return 2;
	unsigned peer = (unsigned)atoi(argv[1]), rounds = (unsigned)atoi(argv[3]), pages = read_node(argv[2], &remote, refs);
	xengnttab_handle *grants = xengnttab_open(NULL, 0);
	xenevtchn_handle *events = xenevtchn_open(NULL, 0);
	uint8_t *memory = grants && pages ? xengnttab_map_domain_grant_refs(grants, pages, peer, refs, 3) : NULL;
	xenevtchn_port_or_error_t local = events && memory ? xenevtchn_bind_interdomain(events, peer, remote) : -1;
	if (local < 0) {
		perror(memory ? "bind" : "map");
		return 1;
	}
	if (check(memory, pages))
		return 1;
	uint64_t life = ++*lives(memory);
	double start = now_us();
	for (unsigned i = 1; i <= rounds; i++)
		if (ask((volatile struct Mailbox *)(void *)memory, events, (evtchn_port_t)local, (life << 32) + i))
			return 1;
	printf("life %llu: %u pages right, %u answers\n", (unsigned long long)life, pages, rounds);
	printf("round trip: %.0f us\n", (now_us() - start) / rounds);
	measure(memory);
	fflush(stdout);
	if (!strcmp(argv[4], "hold"))
		pause();
	if (!strcmp(argv[4], "stop")) {
		__atomic_store_n(&((volatile struct Mailbox *)(void *)memory)->request, kStop, __ATOMIC_RELEASE);
		xenevtchn_notify(events, (evtchn_port_t)local);
	}
	return 0;
}
