/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the front needs of the operating system it runs in, and nothing else. Two implementations: sim/os_posix.c for user
 * space and linux/os_linux.c for the kernel module. Each brings a tmem_front_os_types.h on its include path, which gives
 *
 *   fixed-width types, bool, size_t, NULL, memcpy() and memset(), the E* error numbers
 *   struct tmem_os_lock   a short mutual exclusion; may be taken where the OS completes I/O (interrupts off, if need be)
 *   struct tmem_os_event  a counter that threads can sleep on
 *
 * Thread rule: every function may be called from any thread; only tmem_os_event_wait() sleeps.
 */
#ifndef TMEM_FRONT_OS_H
#define TMEM_FRONT_OS_H

#include <tmem_front_os_types.h> /* the system's, not ours */

#ifdef __cplusplus
extern "C" {
#endif

void (tmem_os_lock_init)(struct tmem_os_lock *lock); /* may be a macro: a lock checker tells locks apart by where that stands */
void tmem_os_acquire(struct tmem_os_lock *lock);
void tmem_os_release(struct tmem_os_lock *lock);

/*
 * An event count. A sleeper reads it, looks whether it has to sleep, and waits for the count to differ from what it read;
 * so a signal between the look and the sleep is not missed.
 */
void tmem_os_event_init(struct tmem_os_event *event);
uint32_t tmem_os_event_read(struct tmem_os_event *event);
void tmem_os_event_wait(struct tmem_os_event *event, uint32_t seen);
void tmem_os_event_signal(struct tmem_os_event *event); /* wakes all */

/*
 * The bytes of a caller's page (whatever the OS calls a page: an address here, a struct page there). Mappings are short,
 * end in reverse order, and nothing sleeps in between.
 */
void *tmem_os_page_map(void *page);
void tmem_os_page_unmap(void *page, void *bytes);

/* Monotonic; only differences matter. Coarse is good enough: it ends the polling before a sleep. */
uint64_t tmem_os_now_ns(void);
/* Tells the processor that this is a spin loop. */
void tmem_os_relax(void);

/* For people. A hostile service can provoke these: implementations limit the rate. */
__attribute__((format(printf, 1, 2))) void tmem_os_warn(const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif /* TMEM_FRONT_OS_H */
