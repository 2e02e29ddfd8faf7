// SPDX-License-Identifier: MIT
// ephemeral PAGES: a guest's front in user space, written from docs/abi.md and not from the project's headers. It puts PAGES different
// pages that do not compress into an ephemeral pool, one after the other, and says how many the service took; the same again for each
// line of its input, and stays, connected, until that ends.
#include <stdint.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#include "front.h"

enum { kNewPool = 2, kPut = 4, kNoSlot = 0xffff, kPool = 7 };
enum { kRequestProd = 0, kRequestEvent = 64, kResponseProd = 128, kResponseEvent = 192, kResponses = 256, kRequests = kPage, kSlots = 2 * kPage };

static uint8_t *memory;
static xenevtchn_handle *events;
static evtchn_port_t port;
static uint32_t published;

static void must_write(const char *name, const char *value)
{
	if (!write_node(name, value)) {
		perror(name);
		exit(1);
	}
}

static void wait_state(const char *back, unsigned wanted)
{
	while (back_state(back) != wanted)
		usleep(10000);
}

static void connect_to(const char *back, unsigned peer)
{
	uint32_t refs[kPages], one = 1;
	xengntshr_handle *grants = xengntshr_open(NULL, 0);
	char text[64];
	xenevtchn_port_or_error_t bound;

	memory = grants ? xengntshr_share_pages(grants, peer, kPages, refs, 1) : NULL;
	events = xenevtchn_open(NULL, 0);
	bound = events ? xenevtchn_bind_unbound_port(events, peer) : -1;
	if (!memory || bound < 0) {
		perror("ephemeral: grants and an event channel");
		exit(1);
	}
	port = (evtchn_port_t)bound;
	memset(memory, 0, kPage);
	memcpy(memory + kRequestEvent, &one, 4);
	memcpy(memory + kQueuePages * kPage, refs, kQueuePages * 4);
	must_write("state", "1");
	wait_state(back, 2);
	must_write("connect", "version=1 queues=1 ring-order=3");
	snprintf(text, sizeof(text), "%u:%u", refs[kQueuePages], port);
	must_write("queues", text);
	must_write("identity", "nonce=000000000000000000000000000000e1 epoch=0 suspended=0");
	must_write("state", "3");
	wait_state(back, 4);
	must_write("state", "4");
}

/* Sends the request that was written to its place in the ring, and waits for its answer. */
static unsigned call(void)
{
	uint32_t at = published % kEntries;
	uint16_t status;

	published++;
	__atomic_store_n((uint32_t *)(void *)(memory + kRequestProd), published, __ATOMIC_SEQ_CST);
	if (__atomic_load_n((uint32_t *)(void *)(memory + kRequestEvent), __ATOMIC_SEQ_CST) == published)
		xenevtchn_notify(events, port);
	while (__atomic_load_n((uint32_t *)(void *)(memory + kResponseProd), __ATOMIC_ACQUIRE) != published)
		usleep(200);
	memcpy(&status, memory + kResponses + at * 16 + 4, 2);
	return status;
}

static unsigned request(uint8_t op, uint16_t slot, uint32_t index, uint32_t pool_flags)
{
	uint8_t *bytes = memory + kRequests + published % kEntries * 64;
	uint32_t pool = kPool;

	memset(bytes, 0, 64);
	memcpy(bytes, &published, 4);
	bytes[4] = op;
	memcpy(bytes + 6, &slot, 2);
	memcpy(bytes + 8, &pool, 4);
	memcpy(bytes + 12, &index, 4);
	memcpy(bytes + 40, &pool_flags, 4);
	return call();
}

static unsigned put(uint32_t index)
{
	uint64_t state = index * 0x9e3779b97f4a7c15u + 1, *page = (uint64_t *)(void *)(memory + kSlots);

	for (unsigned i = 0; i < kPage / 8; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		page[i] = state;
	}
	return request(kPut, 0, index, 0);
}

static void put_all(uint32_t pass, uint32_t pages)
{
	uint32_t taken = 0;

	for (uint32_t index = 0; index < pages; index++)
		taken += put(index) == 0;
	printf("ephemeral: pass %u, %u of %u taken\n", pass, taken, pages);
	fflush(stdout);
}

int main(int count, char **words)
{
	uint32_t pages = count == 2 ? (uint32_t)strtoul(words[1], NULL, 10) : 0, pass = 0;
	unsigned length;
	char *back;

	store = xs_open(0);
	back = store ? xs_read(store, XBT_NULL, "device/tmem/0/backend", &length) : NULL;
	if (!back || !pages) {
		fprintf(stderr, "usage: ephemeral PAGES, in a guest that dom0 has attached\n");
		return 2;
	}
	connect_to(back, read_number("device/tmem/0/backend-id"));
	if (request(kNewPool, kNoSlot, 0, 1u << 24)) {
		fprintf(stderr, "ephemeral: no pool\n");
		return 1;
	}
	do
		put_all(++pass, pages);
	while (getchar() != EOF);
	must_write("state", "6");
	return 0;
}
