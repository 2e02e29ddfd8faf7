// SPDX-License-Identifier: MIT
/*
 * core/tmem_front_os.h and core/tmem_lazy_os.h for a Linux process: a yielding spin lock, a futex, pages that are plain
 * addresses.
 * Owns nothing but the rate limit of the warnings. Thread rule: that of tmem_front_os.h.
 */
#define _GNU_SOURCE
#include "tmem_lazy_os.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPINS_BEFORE_YIELD 128
#define WARNINGS_PER_SECOND 10

void tmem_os_lock_init(struct tmem_os_lock *lock)
{
	__atomic_store_n(&lock->taken, 0, __ATOMIC_RELAXED);
}

void tmem_os_acquire(struct tmem_os_lock *lock)
{
	unsigned int spins = 0;

	while (__atomic_exchange_n(&lock->taken, 1, __ATOMIC_ACQUIRE)) {
		while (__atomic_load_n(&lock->taken, __ATOMIC_RELAXED)) {
			if (++spins % SPINS_BEFORE_YIELD)
				tmem_os_relax();
			else
				sched_yield(); /* the holder may not be running */
		}
	}
}

void tmem_os_release(struct tmem_os_lock *lock)
{
	__atomic_store_n(&lock->taken, 0, __ATOMIC_RELEASE);
}

void tmem_os_event_init(struct tmem_os_event *event)
{
	__atomic_store_n(&event->count, 0, __ATOMIC_RELAXED);
}

uint32_t tmem_os_event_read(struct tmem_os_event *event)
{
	return __atomic_load_n(&event->count, __ATOMIC_ACQUIRE);
}

void tmem_os_event_wait(struct tmem_os_event *event, uint32_t seen)
{
	while (tmem_os_event_read(event) == seen)
		syscall(SYS_futex, &event->count, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

void tmem_os_event_signal(struct tmem_os_event *event)
{
	__atomic_fetch_add(&event->count, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &event->count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void tmem_os_mutex_init(struct tmem_os_mutex *mutex)
{
	pthread_mutex_init(&mutex->mutex, NULL);
}

void tmem_os_mutex_lock(struct tmem_os_mutex *mutex)
{
	pthread_mutex_lock(&mutex->mutex);
}

void tmem_os_mutex_unlock(struct tmem_os_mutex *mutex)
{
	pthread_mutex_unlock(&mutex->mutex);
}

int tmem_os_gate_init(struct tmem_os_gate *gate)
{
	__atomic_store_n(&gate->inside, 0, __ATOMIC_RELAXED);
	return 0;
}

/*
 * Both sides read, change and write the one word, so one is first: who enters after a drain began sees what was stored before
 * it, and who entered before is counted. No fence is needed, which TSan would not understand.
 */
int tmem_os_gate_enter(struct tmem_os_gate *gate)
{
	__atomic_fetch_add(&gate->inside, 1, __ATOMIC_ACQ_REL);
	return 0;
}

void tmem_os_gate_leave(struct tmem_os_gate *gate, int ticket)
{
	(void)ticket;
	__atomic_fetch_sub(&gate->inside, 1, __ATOMIC_RELEASE);
}

void tmem_os_gate_drain(struct tmem_os_gate *gate)
{
	while (__atomic_fetch_add(&gate->inside, 0, __ATOMIC_ACQ_REL))
		sched_yield();
}

void *tmem_os_page_map(void *page)
{
	return page;
}

void tmem_os_page_unmap(void *page, void *bytes)
{
	(void)page;
	(void)bytes;
}

uint64_t tmem_os_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void tmem_os_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
#endif
}

void tmem_os_warn(const char *format, ...)
{
	static uint64_t second;
	static uint32_t printed;
	uint64_t now = tmem_os_now_ns() / 1000000000u;
	va_list arguments;

	if (__atomic_exchange_n(&second, now, __ATOMIC_RELAXED) != now)
		__atomic_store_n(&printed, 0, __ATOMIC_RELAXED);
	if (__atomic_fetch_add(&printed, 1, __ATOMIC_RELAXED) >= WARNINGS_PER_SECOND)
		return;
	va_start(arguments, format);
	fputs("tmem: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
}
