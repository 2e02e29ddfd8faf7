/* SPDX-License-Identifier: MIT */
/* The checker's system: every lock is a word that the explorer knows; see ../explorer.h. */
#ifndef TMEM_FRONT_OS_TYPES_H
#define TMEM_FRONT_OS_TYPES_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct tmem_os_lock {
	uint32_t taken;
};

struct tmem_os_event {
	uint32_t count;
};

struct tmem_os_mutex {
	uint32_t taken;
};

struct tmem_os_gate {
	uint32_t inside;
};

#endif /* TMEM_FRONT_OS_TYPES_H */
