// SPDX-License-Identifier: MIT
// hostile ROUNDS [SEED]: a guest's worst behaviour towards the service behind device/tmem/0. Each round it offers something that
// looks like queues, or does not, and then writes garbage: into its nodes, its ring, its requests, its directory page; it storms
// the doorbell, and ends in a state of its choice. Ends with 0 when all rounds are over; what matters is what became of others.
#include <poll.h>
#include <stdint.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#include "front.h"
#include "random.h"

static char *back;

/* Whatever it is that the service does next, it is given a moment for it. */
static unsigned wait_state(unsigned wanted)
{
	unsigned is = back_state(back);

	for (int i = 0; i < 200 && is != wanted; i++, is = back_state(back))
		usleep(10000);
	return is;
}

static void write_state(unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	write_node("state", text);
}

static void write_garbage_nodes(void)
{
	static const char *const names[] = { "connect", "queues", "identity", "state" };
	static const char *const words[] = { "version=1 queues=4294967295 ring-order=31", "0:0", "1:1 2:2 3:3", "version=1 queues=1 ring-order=3",
					     "nonce=00000000000000000000000000000001 epoch=18446744073709551615 suspended=7", "", "3", "4", "-1" };
	char junk[512];
	uint32_t length = 1 + any(sizeof(junk) - 1);

	for (int i = 0; i < 12; i++) {
		write_node(names[any(4)], words[any(9)]);
		for (uint32_t at = 0; at < length; at++)
			junk[at] = (char)(1 + any(126));
		junk[length - 1] = 0;
		write_node(names[any(3)], junk);
	}
}

/* One request that could be meant, with one field out of place most of the time. */
static void write_request(uint8_t *request, uint32_t id)
{
	uint16_t slot = (uint16_t)any(kEntries + 2);
	uint32_t pool = any(3);

	memset(request, 0, 64);
	memcpy(request, &id, 4);
	request[4] = (uint8_t)any(12);
	request[5] = (uint8_t)(any(4) ? any(4) : any(256));
	memcpy(request + 6, &slot, 2);
	memcpy(request + 8, &pool, 4);
	if (any(2))
		request[any(64)] = (uint8_t)any(256);
}

static void write_garbage_ring(uint8_t *memory, xenevtchn_handle *events, evtchn_port_t port)
{
	uint32_t *request_prod = (uint32_t *)(void *)memory;

	for (uint32_t i = 0, sent = 0; i < 2000; i++) {
		for (uint32_t batch = 1 + any(kEntries); batch; batch--, sent++)
			write_request(memory + kPage + sent % kEntries * 64, sent);
		__atomic_store_n(request_prod, any(500) ? sent : any(UINT32_MAX), __ATOMIC_RELEASE);
		if (any(4) == 0)
			memory[any(kPages * kPage)] = (uint8_t)any(256);
		xenevtchn_notify(events, port);
	}
}

/* Queues that are as they should be, or nearly; the service connects, or says no. */
static void offer(uint8_t *memory, const uint32_t *refs, evtchn_port_t port, uint32_t round)
{
	uint32_t *directory = (uint32_t *)(void *)(memory + kQueuePages * kPage);
	char text[128];

	memset(memory, 0, kPage);
	memset(memory + 64, 1, 1);
	for (uint32_t i = 0; i < kQueuePages; i++)
		directory[i] = any(64) ? refs[i] : any(4096);
	write_node("connect", "version=1 queues=1 ring-order=3");
	snprintf(text, sizeof(text), "%u:%u", any(16) ? refs[kQueuePages] : any(4096), any(16) ? port : any(64));
	write_node("queues", text);
	snprintf(text, sizeof(text), "nonce=%032x epoch=%u suspended=%u", round, any(3), any(2));
	write_node("identity", text);
	write_state(3);
}

static int one_round(unsigned peer, uint32_t round)
{
	uint32_t refs[kPages];
	xengntshr_handle *grants = xengntshr_open(NULL, 0);
	xenevtchn_handle *events = xenevtchn_open(NULL, 0);
	uint8_t *memory = grants ? xengntshr_share_pages(grants, peer, kPages, refs, 1) : NULL;
	xenevtchn_port_or_error_t port = events ? xenevtchn_bind_unbound_port(events, peer) : -1;

	if (!memory || port < 0) {
		perror("hostile: grant");
		return 1;
	}
	write_state(1);
	wait_state(2);
	if (any(4) == 0)
		write_garbage_nodes();
	offer(memory, refs, (evtchn_port_t)port, round);
	if (wait_state(4) == 4) {
		if (any(2))
			write_state(4);
		write_garbage_ring(memory, events, (evtchn_port_t)port);
		for (uint32_t i = any(100000); i; i--)
			xenevtchn_notify(events, (evtchn_port_t)port);
		write_garbage_nodes();
	}
	write_state(any(2) ? 6 : any(9));
	xenevtchn_close(events); /* and the grants go while the service may still have them */
	xengntshr_unshare(grants, memory, kPages);
	xengntshr_close(grants);
	return 0;
}

int main(int count, char **words)
{
	uint32_t rounds = count > 1 ? (uint32_t)strtoul(words[1], NULL, 10) : 0;
	unsigned length;

	seed_any(count > 2 ? strtoull(words[2], NULL, 10) : (uint64_t)getpid());
	store = xs_open(0);
	back = store ? xs_read(store, XBT_NULL, "device/tmem/0/backend", &length) : NULL;
	if (!back || !rounds) {
		fprintf(stderr, "usage: hostile ROUNDS [SEED], in a guest that dom0 has attached\n");
		return 2;
	}
	for (uint32_t round = 0; round < rounds; round++)
		if (one_round(read_number("device/tmem/0/backend-id"), round))
			return 1;
	printf("hostile: %u rounds\n", rounds);
	return 0;
}
