/* SPDX-License-Identifier: MIT */
/* Given to the compiler before lazy_registry.c, which is otherwise the product's file: each atomic access is a step of its own. */
#ifndef CHECKED_ATOMICS_H
#define CHECKED_ATOMICS_H

#include "tmem/tmem_barrier.h"

#ifdef __cplusplus
extern "C" {
#endif
uint32_t checked_load(const uint32_t *word);
void checked_store(uint32_t *word, uint32_t value);
#ifdef __cplusplus
}
#endif

#define tmem_load_acquire(p) checked_load(p)
#define tmem_load_once(p) checked_load(p)
#define tmem_store_release(p, v) checked_store(p, v)
#define tmem_store_once(p, v) checked_store(p, v)

#endif /* CHECKED_ATOMICS_H */
