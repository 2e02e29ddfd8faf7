/* SPDX-License-Identifier: MIT */
/* The POSIX side of core/tmem_front_os.h: the types. The functions are in os_posix.c. */
#ifndef TMEM_FRONT_OS_TYPES_H
#define TMEM_FRONT_OS_TYPES_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A spin lock that yields: held for a page copy at most, so sleeping would cost more than it saves. */
struct tmem_os_lock {
	uint32_t taken;
};

/* A futex. */
struct tmem_os_event {
	uint32_t count;
};

struct tmem_os_mutex {
	pthread_mutex_t mutex;
};

/* How many are inside. */
struct tmem_os_gate {
	uint32_t inside;
};

#endif /* TMEM_FRONT_OS_TYPES_H */
