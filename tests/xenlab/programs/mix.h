/* SPDX-License-Identifier: MIT */
/* Words that do not compress, from numbers that do (the finaliser of MurmurHash3). */
#ifndef XENLAB_MIX_H
#define XENLAB_MIX_H

#include <stdint.h>

static inline uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

#endif
