/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * How a local process connects over a Unix SOCK_SEQPACKET socket: one hello, one welcome, and the file descriptors of the
 * queues' memory and doorbells with it (SCM_RIGHTS). The socket then stays open and silent; its end is the end of the
 * connection. docs/abi.md, "Connecting over a memfd". The Xen way of connecting is in tmem_xs.h.
 */
#ifndef TMEM_MEMFD_H
#define TMEM_MEMFD_H

#include "tmemif.h"

#define TMEM_MEMFD_MAGIC 0x666d656d74ull /* "tmemf" */
#define TMEM_MEMFD_NAME_BYTES 64u

/* Where the service listens unless its configuration says otherwise. */
#define TMEM_MEMFD_SOCKET "/run/xen-tmem/memfd.sock"

/**
 * struct tmem_memfd_hello - first and only message of the client
 * @magic: TMEM_MEMFD_MAGIC
 * @version: TMEMIF_VERSION that the client wants
 * @queues: number of queues wanted, 1 to the number of shards; 0: as many as there are shards
 * @ring_order: wanted, TMEMIF_RING_ORDER_MIN to TMEMIF_RING_ORDER_MAX
 * @flags: zero
 * @uuid: who this is, over restarts
 * @nonce: random, new for each boot of the client; claims the pools that an earlier connection left
 * @epoch: what the last welcome said, to claim the pools of that connection; 0: claims nothing, starts with no pools
 * @name: for people; printable, ends with a zero byte
 */
struct tmem_memfd_hello {
	uint64_t magic;
	uint32_t version;
	uint32_t queues;
	uint32_t ring_order;
	uint32_t flags;
	uint8_t uuid[16];
	uint64_t nonce[2];
	uint64_t epoch;
	char name[TMEM_MEMFD_NAME_BYTES];
};

enum tmem_memfd_result {
	TMEM_MEMFD_WELCOME = 0,
	TMEM_MEMFD_BAD_HELLO = 1,    /* malformed, or a value out of range */
	TMEM_MEMFD_BAD_VERSION = 2,  /* version not spoken; @version of the welcome says what is */
	TMEM_MEMFD_NOT_ALLOWED = 3,  /* the socket's peer may not be that uuid */
	TMEM_MEMFD_IN_USE = 4,       /* that uuid is connected already */
	TMEM_MEMFD_FULL = 5,         /* limit of clients reached, or no memory */
	TMEM_MEMFD_SHUTTING_DOWN = 6,
};

/**
 * struct tmem_memfd_welcome - the answer; with WELCOME come 1 + 2 * @queues descriptors
 * @magic: TMEM_MEMFD_MAGIC
 * @result: enum tmem_memfd_result
 * @version: spoken on this connection
 * @queues: given; the region holds them one after the other, TMEMIF_QUEUE_PAGES(@ring_order) pages each
 * @ring_order: given, never more than was asked for
 * @client: id of the client in the service, for people
 * @resumed: 1: the pools of this nonce and epoch are still there; 0: the client starts with none
 * @epoch: to present at the next resume; never zero
 * @generation: changes whenever the service loses its memory
 *
 * Descriptors in order: the sealed memfd of the region; then for each queue an eventfd that the client writes to (requests)
 * and a socket that becomes readable (responses). Both are rung by writing eight bytes and made quiet by reading eight
 * until there is nothing left. What is readable already is one doorbell; nobody counts them.
 */
struct tmem_memfd_welcome {
	uint64_t magic;
	uint32_t result;
	uint32_t version;
	uint32_t queues;
	uint32_t ring_order;
	uint32_t client;
	uint32_t resumed;
	uint64_t epoch;
	uint64_t generation;
};

TMEMIF_STATIC_ASSERT(sizeof(struct tmem_memfd_hello) == 128);
TMEMIF_STATIC_ASSERT(offsetof(struct tmem_memfd_hello, uuid) == 24);
TMEMIF_STATIC_ASSERT(offsetof(struct tmem_memfd_hello, name) == 64);
TMEMIF_STATIC_ASSERT(sizeof(struct tmem_memfd_welcome) == 48);

#endif /* TMEM_MEMFD_H */
