/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: the hooks of the kernel, and why they are a module of their own
 *
 * A kernel before 5.17 takes frontswap's and cleancache's tables of functions, but never gives them back. So these tables are
 * in tmem_hooks.ko, which is small and stays; tmem.ko, the backend, comes and goes. In between stands the lazy registry
 * (core/lazy_registry.h): it remembers swap types and file systems, and lets calls through once tmem.ko is there, connected,
 * and has made their pools. While it is not, a call costs one branch that is patched away.
 *
 * Members' slots: swap types have their own numbers, file systems the numbers behind them. cleancache keeps a file system's
 * slot in its superblock as the pool's number, so nothing is looked up.
 */
#ifndef TMEM_HOOKS_H
#define TMEM_HOOKS_H

#include <linux/mm_types.h>
#include <linux/swap.h>
#include <linux/types.h>

#include "lazy_registry.h"

#define TMEM_HOOK_TYPES 32u
#define TMEM_HOOK_FILE_SYSTEMS 64u
#define TMEM_HOOK_SLOTS (TMEM_HOOK_TYPES + TMEM_HOOK_FILE_SYSTEMS)

/**
 * struct tmem_hooks_backend - what tmem.ko gives; each may be called from any thread, and only inside the registry's gate
 * @lazy: pools
 * @store: 0: the page is in the service. May sleep
 * @load: 0: the page is there again. May sleep
 * @invalidate: forget this page. Atomic
 * @area: forget all pages of this type
 * @get: 0: the page is there, and no longer in the service. May sleep
 * @put: may not sleep; after it no older page is got
 * @flush: likewise
 * @flush_object: may sleep
 */
struct tmem_hooks_backend {
	struct tmem_lazy_backend lazy;
	int (*store)(u32 type, pgoff_t offset, struct page *page);
	int (*load)(u32 type, pgoff_t offset, struct page *page);
	void (*invalidate)(u32 type, pgoff_t offset);
	void (*area)(u32 type);
	int (*get)(u32 slot, const u64 object[3], pgoff_t index, struct page *page);
	void (*put)(u32 slot, const u64 object[3], pgoff_t index, struct page *page);
	void (*flush)(u32 slot, const u64 object[3], pgoff_t index);
	void (*flush_object)(u32 slot, const u64 object[3]);
};

extern struct tmem_lazy tmem_hooks_registry;

int tmem_hooks_register(const struct tmem_hooks_backend *backend, bool frontswap, bool cleancache);
int tmem_hooks_unregister(void);
void tmem_hooks_take_frontswap(void);

/* hooks_lost.c */
int tmem_hooks_watch_reads(void);

#endif /* TMEM_HOOKS_H */
