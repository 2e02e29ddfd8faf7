/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's idea of what tmem_front_os.h builds on; see there. */
#ifndef TMEM_FRONT_OS_TYPES_H
#define TMEM_FRONT_OS_TYPES_H

#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/wait.h>

/* Taken where event channels are served, so interrupts are off while it is held; @flags belong to the holder. */
struct tmem_os_lock {
	spinlock_t lock;
	unsigned long flags;
};

/* Not a function: lockdep has a class of locks for each place that this is written in, so the front's order of locks is checked. */
#define tmem_os_lock_init(os_lock) spin_lock_init(&(os_lock)->lock)

struct tmem_os_event {
	atomic_t count;
	wait_queue_head_t queue;
};

struct tmem_os_mutex {
	struct mutex mutex;
};

struct tmem_os_gate {
	struct srcu_struct srcu;
};

#endif /* TMEM_FRONT_OS_TYPES_H */
