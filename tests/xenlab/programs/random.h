/* SPDX-License-Identifier: MIT */
/* Numbers for programs that do anything at all, the same ones for the same seed (Marsaglia's xorshift). */
#ifndef XENLAB_RANDOM_H
#define XENLAB_RANDOM_H

#include <stdint.h>

static uint64_t random_state;

static inline void seed_any(uint64_t seed)
{
	random_state = seed * 0x9e3779b97f4a7c15u + 1;
}

static inline uint32_t any(uint32_t bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % bound;
}

#endif
