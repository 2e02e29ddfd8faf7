/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The data-plane ABI of tmem: what a guest's front and the service's backend put into memory that both see.
 * docs/abi.md is the specification and wins over this header where the two differ.
 *
 * Fixed widths, little endian, no bit-fields, no pointers; reserved bytes are written as zero and checked by the reader.
 * Compiles unchanged as kernel C, C11 and C++20.
 */
#ifndef TMEM_TMEMIF_H
#define TMEM_TMEMIF_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/build_bug.h>
#include <linux/stddef.h>
#define TMEMIF_STATIC_ASSERT(condition) static_assert(condition)
#else
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
#define TMEMIF_STATIC_ASSERT(condition) static_assert(condition, #condition)
#else
#define TMEMIF_STATIC_ASSERT(condition) _Static_assert(condition, #condition)
#endif
#endif

/* The version of everything in this header. Negotiated before a ring exists (xenstore: versions/version; memfd: hello). */
#define TMEMIF_VERSION 1u

#define TMEMIF_PAGE_BYTES 4096u

/* A queue has 2^order requests, as many responses, and as many slots of one page. */
#define TMEMIF_RING_ORDER_MIN 3u
#define TMEMIF_RING_ORDER_MAX 7u
#define TMEMIF_RING_ORDER_DEFAULT 6u
#define TMEMIF_QUEUES_MAX 32u

/* A request that carries no page names this slot. */
#define TMEMIF_NO_SLOT 0xffffu

/* Operations. Zero is no operation, so that zeroed memory is never a valid request. */
enum tmemif_op {
	TMEMIF_OP_QUERY = 1,        /* slot := struct tmemif_capabilities */
	TMEMIF_OP_NEW_POOL = 2,     /* private pool under the id that the front chose */
	TMEMIF_OP_DESTROY_POOL = 3, /* with all its pages; a shared pool is left instead */
	TMEMIF_OP_PUT = 4,          /* page in slot, or a word with SAME_FILLED */
	TMEMIF_OP_GET = 5,          /* page to slot, or a word with SAME_FILLED in the response */
	TMEMIF_OP_FLUSH_PAGE = 6,
	TMEMIF_OP_FLUSH_OBJECT = 7,
	TMEMIF_OP_JOIN_POOL = 8,  /* shared pool by uuid under the id that the front chose */
	TMEMIF_OP_LEAVE_POOL = 9, /* shared pool: give up the membership, pages of others stay */
};
#define TMEMIF_OP_MAX 9u

/* Answers. OK is zero; everything else says why nothing was done (but see PUT_FLUSHED). Values never change. */
enum tmemif_status {
	TMEMIF_OK = 0,
	TMEMIF_MISS = 1,           /* get: not there. Flush: nothing was there (it is done all the same) */
	TMEMIF_NO_SPACE = 2,       /* put: no room; handle was absent and stays absent. new pool: no room to note it */
	TMEMIF_PUT_FLUSHED = 3,    /* put of a present handle could not replace it: the old page is gone */
	TMEMIF_FROZEN = 4,         /* put of a new handle, new pool: the client is frozen */
	TMEMIF_OVER_CAP = 5,       /* put of a new handle: the client's cap is reached */
	TMEMIF_NO_POOL = 6,        /* no such pool of this client */
	TMEMIF_POOL_EXISTS = 7,    /* the id is taken by a pool of other flags or uuid */
	TMEMIF_NO_POOL_SLOTS = 8,  /* limit of pools reached */
	TMEMIF_BAD_VERSION = 9,    /* pool flags: version */
	TMEMIF_BAD_PAGE_SIZE = 10, /* pool flags: page size */
	TMEMIF_BAD_FLAGS = 11,     /* pool flags: reserved bits, or a combination that cannot be */
	TMEMIF_NOT_AUTHORISED = 12,/* join: this client may not use that uuid */
	TMEMIF_NOT_ALL_QUEUES = 13,/* join: sharing needs one queue for each shard */
	TMEMIF_BAD_OBJECT = 14,    /* the all-ones object is reserved */
	TMEMIF_BAD_REQUEST = 15,   /* unknown op or flag, slot out of range, reserved bytes not zero */
	TMEMIF_CORRUPT = 16,       /* get: the stored page fails its checksum; it is gone, never returned */
	TMEMIF_NO_CREDIT = 17,     /* put with CREDIT: none was left, and without one there is no room */
};
#define TMEMIF_STATUS_MAX 17u

/* Pool flags, as the original's: two bits, log2(page size) - 12, and the version. */
#define TMEMIF_POOL_PERSISTENT 0x00000001u
#define TMEMIF_POOL_SHARED 0x00000002u
#define TMEMIF_POOL_PRECOMPRESSED 0x00000004u /* known, always refused */
#define TMEMIF_POOL_PAGE_SHIFT 4u
#define TMEMIF_POOL_PAGE_MASK 0x000000f0u
#define TMEMIF_POOL_RESERVED 0x00ffff08u
#define TMEMIF_POOL_VERSION_SHIFT 24u
#define TMEMIF_POOL_VERSION_MASK 0xff000000u
#define TMEMIF_POOL_FLAGS(kind) ((kind) | (TMEMIF_VERSION << TMEMIF_POOL_VERSION_SHIFT))

/* Request flags. */
#define TMEMIF_REQUEST_CREDIT 0x01u      /* put: spends a credit; the guest already counts it as done */
#define TMEMIF_REQUEST_SAME_FILLED 0x02u /* put: value[0] repeated 512 times is the page; no slot */
#define TMEMIF_REQUEST_FLAGS 0x03u

/* Response flags. */
#define TMEMIF_RESPONSE_SAME_FILLED 0x01u /* get: value repeated 512 times is the page; the slot was not written */

/**
 * struct tmemif_request - one operation, 64 bytes, one cache line
 * @id: chosen by the front, echoed in the response; names the front's shadow of this request
 * @op: enum tmemif_op
 * @flags: TMEMIF_REQUEST_*
 * @slot: number of the page slot of this queue, or TMEMIF_NO_SLOT
 * @pool: pool id of this client, chosen by the front at new_pool and join_pool
 * @index: page number inside the object
 * @object: 192-bit object id; all ones is reserved
 * @pool_flags: TMEMIF_POOL_*, for new_pool and join_pool; else zero
 * @reserved: zero
 * @value: join_pool: the uuid's bytes; put with SAME_FILLED: the word, then zero; else zero
 */
struct tmemif_request {
	uint32_t id;
	uint8_t op;
	uint8_t flags;
	uint16_t slot;
	uint32_t pool;
	uint32_t index;
	uint64_t object[3];
	uint32_t pool_flags;
	uint32_t reserved;
	uint64_t value[2];
};

/**
 * struct tmemif_response - the answer to one request, 16 bytes
 * @id: the request's
 * @status: enum tmemif_status
 * @flags: TMEMIF_RESPONSE_*
 * @credits_unspent: credits that this queue has left after this request; those of CREDIT puts still unanswered are spent
 * @value: get with SAME_FILLED: the word; else zero
 *
 * Each request is answered by exactly one response, in the order of the requests. So the number of responses published is
 * also the number of requests completed, and a backend that starts anew on a living ring takes up its work there, with
 * the credits that the last published response tells. A level, not a difference, so that a restart cannot lose count.
 */
struct tmemif_response {
	uint32_t id;
	uint16_t status;
	uint8_t flags;
	uint8_t credits_unspent;
	uint64_t value;
};

/**
 * struct tmemif_capabilities - what the service has; the answer to QUERY, written to the head of the slot, rest zero
 * @version: highest TMEMIF_VERSION spoken
 * @features: TMEMIF_FEATURE_*
 * @shards: number of shards; a client with as many queues may join shared pools
 * @pools_max: pool ids run from 0 to this - 1
 * @credits_max: most credits that a queue can hold
 * @reserved: zero
 */
struct tmemif_capabilities {
	uint32_t version;
	uint32_t features;
	uint32_t shards;
	uint32_t pools_max;
	uint32_t credits_max;
	uint32_t reserved[3];
};

#define TMEMIF_FEATURE_EPHEMERAL 0x00000001u
#define TMEMIF_FEATURE_PERSISTENT 0x00000002u
#define TMEMIF_FEATURE_SHARED 0x00000004u
#define TMEMIF_FEATURE_CREDITS 0x00000008u
#define TMEMIF_FEATURE_SAME_FILLED 0x00000010u

/*
 * The control part of a queue's ring: one cache line for each word that one side writes, so that neither side's stores
 * take away a line that the other is spinning on without need.
 */
struct tmemif_ring_control {
	uint32_t request_prod; /* front writes: requests published */
	uint32_t pad0[15];
	uint32_t request_event; /* back writes: ring the doorbell when request_prod passes this */
	uint32_t pad1[15];
	uint32_t response_prod; /* back writes: responses published */
	uint32_t pad2[15];
	uint32_t response_event; /* front writes: ring the doorbell when response_prod passes this */
	uint32_t pad3[15];
};

/*
 * A queue in memory, all parts page-aligned, in this order:
 *   page 0             struct tmemif_ring_control, then 2^order responses
 *   next pages         2^order requests (TMEMIF_REQUEST_PAGES)
 *   next 2^order pages the slots
 */
#define TMEMIF_RESPONSES_OFFSET 256u
#define TMEMIF_REQUEST_PAGES(order) (((1u << (order)) * 64u + TMEMIF_PAGE_BYTES - 1u) / TMEMIF_PAGE_BYTES)
#define TMEMIF_RING_PAGES(order) (1u + TMEMIF_REQUEST_PAGES(order))
#define TMEMIF_QUEUE_PAGES(order) (TMEMIF_RING_PAGES(order) + (1u << (order)))

TMEMIF_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
TMEMIF_STATIC_ASSERT(sizeof(struct tmemif_request) == 64);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_request, op) == 4);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_request, slot) == 6);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_request, pool) == 8);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_request, index) == 12);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_request, object) == 16);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_request, pool_flags) == 40);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_request, reserved) == 44);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_request, value) == 48);
TMEMIF_STATIC_ASSERT(sizeof(struct tmemif_response) == 16);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_response, status) == 4);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_response, flags) == 6);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_response, credits_unspent) == 7);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_response, value) == 8);
TMEMIF_STATIC_ASSERT(sizeof(struct tmemif_capabilities) == 32);
TMEMIF_STATIC_ASSERT(sizeof(struct tmemif_ring_control) == TMEMIF_RESPONSES_OFFSET);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_ring_control, request_event) == 64);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_ring_control, response_prod) == 128);
TMEMIF_STATIC_ASSERT(offsetof(struct tmemif_ring_control, response_event) == 192);
TMEMIF_STATIC_ASSERT(TMEMIF_RESPONSES_OFFSET + (1u << TMEMIF_RING_ORDER_MAX) * sizeof(struct tmemif_response) <= TMEMIF_PAGE_BYTES);

/*
 * Which of a client's queues serves a handle: the same function on every front, so that the members of a shared pool meet
 * on one shard. Runs of eight indexes stay together; flush_object, new_pool and the like go to every queue.
 */
#define TMEMIF_EXTENT_SHIFT 3u

static inline uint32_t tmemif_queue_of(const uint64_t object[3], uint32_t index, uint32_t queues)
{
	uint64_t h = object[0] ^ (object[1] * 0x9e3779b97f4a7c15ull) ^ (object[2] * 0xc2b2ae3d27d4eb4full);

	h += (uint64_t)(index >> TMEMIF_EXTENT_SHIFT) * 0x165667b19e3779f9ull;
	h = (h ^ (h >> 32)) * 0x9e3779b97f4a7c15ull;
	/* the high half times the number of queues: no division, and no power of two needed */
	return (uint32_t)(((h >> 32) * queues) >> 32);
}

#endif /* TMEM_TMEMIF_H */
