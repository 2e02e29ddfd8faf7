// SPDX-License-Identifier: GPL-2.0-only
/* What the front needs of the kernel; see guest-shim/core/tmem_front_os.h. A page is a struct page. */
#include "compat.h"

#include <linux/highmem.h>
#include <linux/ktime.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>

#include "tmem_front_os.h"

void tmem_os_acquire(struct tmem_os_lock *lock)
{
	unsigned long flags;

	spin_lock_irqsave(&lock->lock, flags);
	lock->flags = flags;
	__release(&lock->lock); /* for sparse: released by tmem_os_release() */
}

void tmem_os_release(struct tmem_os_lock *lock)
{
	unsigned long flags = lock->flags;

	__acquire(&lock->lock);
	spin_unlock_irqrestore(&lock->lock, flags);
}

void tmem_os_event_init(struct tmem_os_event *event)
{
	atomic_set(&event->count, 0);
	init_waitqueue_head(&event->queue);
}

uint32_t tmem_os_event_read(struct tmem_os_event *event)
{
	return (uint32_t)atomic_read_acquire(&event->count);
}

void tmem_os_event_wait(struct tmem_os_event *event, uint32_t seen)
{
	wait_event(event->queue, tmem_os_event_read(event) != seen);
}

void tmem_os_event_signal(struct tmem_os_event *event)
{
	atomic_inc_return_release(&event->count);
	wake_up_all(&event->queue);
}

void *tmem_os_page_map(void *page)
{
	return tmem_kmap(page);
}

void tmem_os_page_unmap(void *page, void *bytes)
{
	tmem_kunmap(bytes);
}

uint64_t tmem_os_now_ns(void)
{
	return ktime_get_ns();
}

void tmem_os_relax(void)
{
	cpu_relax();
}

void tmem_os_warn(const char *format, ...)
{
	static DEFINE_RATELIMIT_STATE(limit, 5 * HZ, 10);
	struct va_format text;
	va_list arguments;

	if (!__ratelimit(&limit))
		return;
	va_start(arguments, format);
	text.fmt = format;
	text.va = &arguments;
	pr_warn("%pV\n", &text);
	va_end(arguments);
}
