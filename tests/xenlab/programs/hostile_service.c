// SPDX-License-Identifier: MIT
// hostile_service GUEST HOW [SEED]: in dom0, a service's worst behaviour towards the module of domain GUEST, which an agent has
// attached to dom0. Each time the guest is told that dom0 took its device away and gives it anew, and connects; then, until a line
// comes on standard input:
//   id, status, answer, flags   the first request of a queue is answered, with a nonsense in that place
//   index                       more answers than there are requests
//   noise                       random bytes all over the queues, and doorbells
//   lie                         everything is answered as it should be, but with other bytes
//   storm                       doorbells for nothing all the while, also for the first request of queue 0, which is never answered;
//                               to the other queues a lie
//   handshake                   nodes, states and offers, in any order and without end
//   hold                        ends and begins anew with the queues still mapped, until the guest gives no more of them; what is
//                               held is filled, and must stay as it is: the guest is not to use that memory again
// Says "ready" once it is at it; a storm when kStorm doorbells are rung, handshakes when there were kHandshakes. Ends with 0 unless the guest did not play its part.
#include <poll.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#include "front.h"
#include "random.h"

enum { kQueues = 8, kHeldMax = 64, kPatience = 6000, kStorm = 100000, kHandshakes = 300, kOk = 0 };
enum { kNewPool = 2, kGet = 5 };
enum { kRequestProd = 0, kResponseProd = 128, kResponses = 256, kRequests = kPage, kSlots = 2 * kPage, kQueueBytes = kQueuePages * kPage };

struct Queue {
	uint8_t *memory;
	evtchn_port_t port;
	uint32_t answered;
};

struct Answer {
	uint32_t id;
	uint16_t status;
	uint8_t flags;
	uint8_t credits;
	uint64_t value;
};

static uint32_t guest;
static struct Queue queues[kQueues];
static uint32_t queues_count;
static uint8_t *held[kHeldMax];
static uint32_t held_count;
static xengnttab_handle *grants;
static xenevtchn_handle *events;

static void fail(const char *what)
{
	fprintf(stderr, "hostile_service: %s\n", what);
	exit(1);
}

static int told_to_end(int wait_ms)
{
	struct pollfd input = { 0, POLLIN, 0 };

	return poll(&input, 1, wait_ms) > 0;
}

/* ---- nodes ---- */

static void write_back(const char *name, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), "/local/domain/0/backend/tmem/%u/0/%s", guest, name);
	if (!xs_write(store, XBT_NULL, path, value, (unsigned)strlen(value)))
		fail("a node cannot be written");
}

static char *read_front(const char *name)
{
	char path[96];
	unsigned length;

	snprintf(path, sizeof(path), "/local/domain/%u/device/tmem/0/%s", guest, name);
	return xs_read(store, XBT_NULL, path, &length);
}

/* The first of the two states that the guest comes to. */
static unsigned wait_front(unsigned wanted, unsigned or_this)
{
	unsigned is = 0;

	for (int i = 0; i < kPatience; i++, usleep(10000)) {
		char *text = read_front("state");

		is = text ? (unsigned)strtoul(text, NULL, 10) : 0;
		free(text);
		if (is == wanted || is == or_this)
			return is;
	}
	fprintf(stderr, "hostile_service: the guest stays in state %u, and does not come to %u or %u\n", is, wanted, or_this);
	exit(1);
}

/* As if dom0 had taken the device away: the guest begins with nothing of before. */
static void take_away(void)
{
	write_back("online", "0");
	write_back("state", "6");
	wait_front(6, 1);
	write_back("online", "1");
}

/* Whether the guest offers its queues. */
static bool offer(void)
{
	write_back("service", "versions=1-1 max-queues=8 max-ring-order=3 generation=1 resumed=0 epoch=1");
	write_back("state", "2");
	return wait_front(3, 5) == 3;
}

/* ---- queues ---- */

static void map_queue(struct Queue *queue, uint32_t reference, uint32_t port)
{
	uint32_t *directory = xengnttab_map_grant_ref(grants, guest, reference, PROT_READ);
	xenevtchn_port_or_error_t bound = xenevtchn_bind_interdomain(events, guest, port);

	if (!directory || bound < 0)
		fail("a queue's directory or event channel cannot be had");
	queue->memory = xengnttab_map_domain_grant_refs(grants, kQueuePages, guest, directory, PROT_READ | PROT_WRITE);
	if (!queue->memory)
		fail("a queue cannot be mapped");
	queue->port = (evtchn_port_t)bound;
	queue->answered = 0;
	xengnttab_unmap(grants, directory, 1);
}

static void map_queues(void)
{
	char *text = read_front("queues"), *next = text;

	events = xenevtchn_open(NULL, 0);
	for (queues_count = 0; next && *next && queues_count < kQueues; queues_count++) {
		uint32_t reference = (uint32_t)strtoul(next, &next, 10);
		uint32_t port = *next == ':' ? (uint32_t)strtoul(next + 1, &next, 10) : 0;

		map_queue(&queues[queues_count], reference, port);
	}
	free(text);
	if (!queues_count)
		fail("the guest offers no queue");
}

/* Says twice that it waits for an offer, as a slow guest may hear it: what it has mapped by then must stay what is offered. */
static void connect_guest(void)
{
	char *first, *then;

	take_away();
	if (!offer())
		fail("the guest refuses the offer");
	map_queues();
	first = read_front("queues");
	write_back("state", "2");
	usleep(500000);
	then = read_front("queues");
	if (!first || !then || strcmp(first, then))
		fail("the guest offers other queues for the same offer");
	free(first);
	free(then);
	write_back("state", "4");
	wait_front(4, 4);
}

static void let_go(void)
{
	for (uint32_t i = 0; i < queues_count; i++)
		xengnttab_unmap(grants, queues[i].memory, kQueuePages);
	queues_count = 0;
	xenevtchn_close(events);
}

static uint32_t *word(const struct Queue *queue, uint32_t offset)
{
	return (uint32_t *)(void *)(queue->memory + offset);
}

/* The oldest request without an answer, or NULL. */
static const uint8_t *request_of(const struct Queue *queue)
{
	if (__atomic_load_n(word(queue, kRequestProd), __ATOMIC_ACQUIRE) == queue->answered)
		return NULL;
	return queue->memory + kRequests + queue->answered % kEntries * 64;
}

static void answer(struct Queue *queue, struct Answer answer)
{
	memcpy(queue->memory + kResponses + queue->answered % kEntries * sizeof(answer), &answer, sizeof(answer));
	__atomic_store_n(word(queue, kResponseProd), ++queue->answered, __ATOMIC_RELEASE);
	xenevtchn_notify(events, queue->port);
}

/* ---- what it does ---- */

static void nonsense(const char *how, struct Queue *queue)
{
	const uint8_t *request = request_of(queue);
	struct Answer good = { .id = queue->answered, .status = kOk };

	if (!strcmp(how, "index")) {
		__atomic_store_n(word(queue, kResponseProd), queue->answered + kEntries + 1 + any(1u << 30), __ATOMIC_RELEASE);
		xenevtchn_notify(events, queue->port);
		return;
	}
	if (!request)
		return;
	if (!strcmp(how, "id"))
		good.id += 1 + any(UINT32_MAX - 1);
	else if (!strcmp(how, "status"))
		good.status = (uint16_t)(18 + any(65536 - 18));
	else if (!strcmp(how, "answer"))
		good.status = request[4] == kNewPool ? 1 : 8; /* a miss, and no room for a pool: each to what cannot be answered so */
	else if (!strcmp(how, "flags"))
		good.flags = (uint8_t)(2 + any(254));
	answer(queue, good);
}

static void noise(struct Queue *queue)
{
	for (uint32_t i = 0; i < kQueueBytes / 4; i++)
		if (any(2))
			*word(queue, i * 4) = any(4) ? any(UINT32_MAX) : any(kEntries * 2);
	xenevtchn_notify(events, queue->port);
}

static void lie(struct Queue *queue)
{
	const uint8_t *request;

	while ((request = request_of(queue))) {
		struct Answer good = { .id = queue->answered, .status = kOk };
		uint16_t slot;

		memcpy(&slot, request + 6, sizeof(slot));
		if (request[4] == kGet && any(2))
			good.flags = 1, good.value = any(UINT32_MAX); /* one repeated word */
		else if (request[4] == kGet)
			memset(queue->memory + kSlots + slot % kEntries * kPage, (int)any(256), kPage);
		answer(queue, good);
	}
}

static void misbehave(const char *how)
{
	bool storm = !strcmp(how, "storm");
	uint32_t events_sent = 0;

	connect_guest();
	if (!storm)
		printf("ready\n");
	while (!told_to_end(0)) {
		for (uint32_t i = 0; i < queues_count; i++) {
			if (!strcmp(how, "noise"))
				noise(&queues[i]);
			else if (storm ? i > 0 : !strcmp(how, "lie"))
				lie(&queues[i]);
			else if (!storm)
				nonsense(how, &queues[i]);
			if (storm && !xenevtchn_notify(events, queues[i].port) && ++events_sent == kStorm)
				printf("ready: %u events\n", events_sent);
		}
		if (!storm)
			usleep(1000);
	}
	let_go();
}

static void shake_hands(void)
{
	static const char *const words[] = { "", "versions=1-1 max-queues=8 max-ring-order=3", "versions=1-1 max-queues=0 max-ring-order=3",
					     "versions=1-1 max-queues=4294967297 max-ring-order=18446744073709551616",
					     "max-queues==8 max-ring-order", "versions=1-1 max-queues=8 max-ring-order=-3 resumed=7 epoch=-1" };
	static const char *const states[] = { "2", "4", "2", "5", "6", "2", "1", "3", "9", "", "-1", "4294967298" };
	uint32_t rounds = 0;
	char junk[256];

	while (!told_to_end((int)any(50))) {
		uint32_t length = 1 + any(sizeof(junk) - 1);

		for (uint32_t at = 0; at < length; at++)
			junk[at] = (char)(1 + any(126));
		junk[length - 1] = 0;
		write_back("service", any(4) ? words[any(6)] : junk);
		write_back("state", states[any(12)]);
		if (++rounds == kHandshakes)
			printf("ready\n");
	}
}

/* Filled with what says where it is, and compared. */
static bool fill_or_check(bool fill)
{
	for (uint32_t i = 0; i < held_count; i++)
		for (uint32_t at = 0; at < kQueueBytes; at += 8) {
			uint64_t *there = (uint64_t *)(void *)(held[i] + at);

			if (fill)
				*there = (uint64_t)i << 32 | at | 1;
			else if (*there != ((uint64_t)i << 32 | at | 1))
				return false;
		}
	return true;
}

static void hold(void)
{
	take_away();
	while (held_count + kQueues <= kHeldMax && offer()) {
		map_queues();
		write_back("state", "4");
		wait_front(4, 5);
		write_back("state", "6");
		wait_front(6, 6);
		for (uint32_t i = 0; i < queues_count; i++)
			held[held_count++] = queues[i].memory;
		xenevtchn_close(events);
	}
	fill_or_check(true);
	printf("ready\n");
	printf("%u queues held\n", held_count);
	told_to_end(-1);
	if (!fill_or_check(false))
		fail("the guest has written to memory that it has left to us");
}

int main(int count, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (count < 3) {
		fprintf(stderr, "usage: hostile_service GUEST HOW [SEED]\n");
		return 2;
	}
	guest = (uint32_t)strtoul(argv[1], NULL, 10);
	seed_any(count > 3 ? strtoull(argv[3], NULL, 10) : (uint64_t)getpid());
	store = xs_open(0);
	grants = xengnttab_open(NULL, 0);
	if (!store || !grants)
		fail("no xenstore, or no grants");
	if (!strcmp(argv[2], "hold"))
		hold();
	else if (!strcmp(argv[2], "handshake"))
		shake_hands();
	else
		misbehave(argv[2]);
	take_away();
	return 0;
}
