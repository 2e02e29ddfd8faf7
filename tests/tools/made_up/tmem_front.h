// SPDX-License-Identifier: MIT
// Stands where guest-shim/core/tmem_front.h stands, for a test that makes up what a front answers.
#pragma once

#include "tmem/tmemif.h"

struct tmem_front;
struct tmem_front_handle {
  uint32_t pool;
  uint32_t index;
  uint64_t object[3];
};
uint32_t tmem_front_put(tmem_front* front, const tmem_front_handle* handle, void* page);
uint32_t tmem_front_get(tmem_front* front, const tmem_front_handle* handle, void* page);
uint32_t tmem_front_flush_page(tmem_front* front, const tmem_front_handle* handle);
