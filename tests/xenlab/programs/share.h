/* SPDX-License-Identifier: MIT */
/* What sharer and mapper agree on. */
#ifndef XENLAB_SHARE_H
#define XENLAB_SHARE_H

#include <stddef.h>
#include <stdint.h>

enum { kPage = 4096, kMaxPages = 32, kWords = kPage / 8 };
#define kStop UINT64_MAX

struct Mailbox {
	uint64_t request;       /* written by the mapper, then notified */
	uint64_t reply;         /* the sharer's echo of it, then notified */
};

static inline uint64_t pattern(unsigned page, size_t word)
{
	return (page * 0x9e3779b97f4a7c15u) ^ (word * 0xd6e8feb86659fd93u);
}

/* Word 1 of page 1, the mapper's own, is left out of the pattern. */
static inline int patterned(unsigned page, size_t word)
{
	return !(page == 1 && word == 1);
}

static inline uint64_t *lives(uint8_t *memory)
{
	return (uint64_t *)(void *)(memory + kPage) + 1;
}

static inline void fill(uint8_t *memory, unsigned page)
{
	uint64_t *words = (uint64_t *)(void *)memory;

	for (size_t word = 0; word < kWords; word++)
		words[word] = patterned(page, word) ? pattern(page, word) : 0;
}

#endif
