/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The three memory-ordering words of the ring, in three dialects: Linux kernel C, C11 and C++20. A dialect is chosen by what
 * the compiler says of itself; the rest of the contract is free of #ifdef.
 *
 *   tmem_load_acquire(p)      nothing after it is seen earlier than the load of *p
 *   tmem_store_release(p, v)  nothing before it is seen later than the store to *p
 *   tmem_fence()              full fence: a store before it is seen before a load after it is done
 *   tmem_load_once(p)         one load, not torn and not repeated by the compiler; no ordering
 *   tmem_store_once(p, v)     one store, likewise
 *
 * Objects are uint32_t, naturally aligned, in memory shared with a peer that is not trusted. And one word about time only:
 *
 *   tmem_prefetch_write(p)    the line at p comes to this processor, taken from the peer's, because it will be written
 */
#ifndef TMEM_BARRIER_H
#define TMEM_BARRIER_H

#ifdef __KERNEL__

#include <linux/types.h>
#include <asm/barrier.h>
#include <linux/compiler.h>
#include <linux/prefetch.h>

/* virt_*: a guest of one CPU still shares memory with a service on another. */
#define tmem_load_acquire(p) virt_load_acquire(p)
#define tmem_store_release(p, v) virt_store_release(p, v)
#define tmem_fence() virt_mb()
#define tmem_load_once(p) READ_ONCE(*(p))
#define tmem_store_once(p, v) WRITE_ONCE(*(p), v)
#define tmem_prefetch_write(p) prefetchw(p)

#else

#include <stdint.h>

/* gcc and clang give the same builtins to C11 and C++20; std::atomic_ref would not compile as C, nor _Atomic as C++. */
static inline uint32_t tmem_load_acquire(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void tmem_store_release(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline void tmem_fence(void)
{
	__sync_synchronize(); /* __atomic_thread_fence is the same instruction, but g++ warns of it under ThreadSanitizer */
}

static inline uint32_t tmem_load_once(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void tmem_store_once(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void tmem_prefetch_write(const void *p)
{
#ifdef __x86_64__
	/* what the builtin becomes on a generic x86 leaves the line with the peer, to be asked for again by the write */
	__asm__ __volatile__("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

#endif

#endif /* TMEM_BARRIER_H */
