// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bringing pages back from the service, into memory and from there to the swap device: all of them, so that the module can
 * leave (frontswap=0), or down to a number (pages_target, or dom0's request: frontswap_request.c). Stopped by a signal or for
 * lack of memory it ends with an error, and what is still in the service stays there.
 *
 * The kernel does the walking, as it does for swapoff: try_to_unuse(), of one swap area, a batch at a time, of all backends' pages.
 * frontswap_shrink() would do that for the first area only. A batch that is all there is does not end before the whole area is
 * empty, or a signal is pending. So when the goal is reached the walker is told to look for signals, and finds none after that;
 * likewise when nothing has come for a while. The walk always begins at the same place; what lies there and goes out to another
 * backend again would be all that a batch brings. So a batch has room for all of theirs beside ours.
 *
 * Freed places of the swap area wait in a cache of each processor, and would wait for ever in an idle guest. So during a batch these
 * caches are off, as during swapoff, whose lock for that also keeps a swapoff away meanwhile: the area stays as long as we walk.
 *
 * Each page has its place on the swap device all the time, so memory is only needed for those under way; no batch begins without
 * it. If the kernel runs out of it all the same, it is the process that asked for this which is killed; on a request of dom0 there
 * is no such process, so more must be free.
 *
 * A page that cannot be had any more ends it: no process gets other bytes (frontswap_lost.c).
 *
 * Locking: tmem_giveback_mutex for one at a time; tmem_giveback_lock for the walker and its goal, taken where pages are freed.
 */
#include "hook.h"

#include <linux/frontswap.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/oom.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/timer.h>

#define TMEM_GIVEBACK_STALL (10 * HZ)
#define TMEM_GIVEBACK_BATCH 1024u

bool tmem_frontswap_on = true;
static DEFINE_MUTEX(tmem_giveback_mutex);
static DEFINE_SPINLOCK(tmem_giveback_lock);
static struct task_struct *tmem_giveback_walker;
static u64 tmem_giveback_goal; /* how many may be left when a batch ends */
static u64 tmem_giveback_seen;
static bool tmem_giveback_stalled;
static bool tmem_giveback_over; /* the module leaves */

/* Under tmem_giveback_lock. */
static void tmem_giveback_stop(void)
{
	set_tsk_thread_flag(tmem_giveback_walker, TIF_SIGPENDING);
	wake_up_process(tmem_giveback_walker);
}

static void tmem_giveback_look(struct timer_list *timer)
{
	u64 left = frontswap_curr_pages();
	unsigned long flags;

	spin_lock_irqsave(&tmem_giveback_lock, flags);
	if (left == tmem_giveback_seen) {
		WRITE_ONCE(tmem_giveback_stalled, true);
		if (tmem_giveback_walker)
			tmem_giveback_stop();
	}
	tmem_giveback_seen = left;
	pr_info("bringing pages back: %llu left\n", tmem_frontswap_all_pages());
	mod_timer(timer, jiffies + TMEM_GIVEBACK_STALL);
	spin_unlock_irqrestore(&tmem_giveback_lock, flags);
}
static DEFINE_TIMER(tmem_giveback_timer, tmem_giveback_look);

/**
 * tmem_frontswap_page_gone() - a page left the service
 * @left: how many are there still
 *
 * Context: any.
 */
void tmem_frontswap_page_gone(u64 left)
{
	unsigned long flags;

	if (!READ_ONCE(tmem_giveback_walker))
		return;
	spin_lock_irqsave(&tmem_giveback_lock, flags);
	if (tmem_giveback_walker && left <= tmem_giveback_goal)
		tmem_giveback_stop();
	spin_unlock_irqrestore(&tmem_giveback_lock, flags);
}

/* The mark of a signal that nobody sent. */
static void tmem_giveback_clear_signal(void)
{
	struct sighand_struct *mine = rcu_dereference_protected(current->sighand, true); /* as long as we run */

	spin_lock_irq(&mine->siglock);
	recalc_sigpending();
	spin_unlock_irq(&mine->siglock);
}

/* A function of the kernel that it does not export, or NULL. */
static void *tmem_kernel_function(const char *name)
{
#ifdef CONFIG_KPROBES
	struct kprobe probe = { .symbol_name = name, .flags = KPROBE_FLAG_DISABLED }; /* only its address is wanted */

	if (register_kprobe(&probe) == 0) {
		unregister_kprobe(&probe);
		return probe.addr;
	}
#endif
	return NULL;
}

/* What swapoff is made of (mm/swapfile.c, mm/swap_slots.c). */
struct tmem_giveback_kernel {
	int (*unuse)(unsigned int type, bool frontswap, unsigned long pages);
	void (*caches_off)(void);
	void (*caches_on)(void);
};

/* Brings back as many pages of an area as this, of ours and of other backends, or fewer if that is enough. */
static void tmem_giveback_walk(const struct tmem_giveback_kernel *kernel, u32 type, u64 pages)
{
	bool was_origin = oom_task_origin(current);

	kernel->caches_off();
	WRITE_ONCE(tmem_giveback_walker, current);
	set_current_oom_origin();
	if (tmem_frontswap_all_pages() > tmem_giveback_goal)
		kernel->unuse(type, true, pages);
	if (!was_origin)
		clear_current_oom_origin();
	kernel->caches_on();
	spin_lock_irq(&tmem_giveback_lock);
	WRITE_ONCE(tmem_giveback_walker, NULL);
	spin_unlock_irq(&tmem_giveback_lock);
	tmem_giveback_clear_signal();
}

/* Up to a batch of the first area that has pages of ours; left is how many all areas have. */
static void tmem_giveback_batch(const struct tmem_giveback_kernel *kernel, u64 left, u64 target)
{
	u64 all = frontswap_curr_pages();
	u64 pages;
	u32 type;

	for (type = 0; type < TMEM_HOOK_TYPES; type++) {
		pages = tmem_frontswap_pages(NULL, type);
		if (!pages)
			continue;
		pages = min3(pages, left - target, (u64)TMEM_GIVEBACK_BATCH);
		tmem_giveback_goal = left - pages;
		tmem_giveback_walk(kernel, type, pages + max(all, left) - left);
		return;
	}
}

/* In memory or on the swap device: several times what is under way, as others want memory meanwhile. */
static bool tmem_giveback_has_room(void)
{
	long batches = current->flags & PF_KTHREAD ? 8 : 4;

	return si_mem_available() + get_nr_swap_pages() >= batches * (long)TMEM_GIVEBACK_BATCH;
}

static int tmem_giveback_batches(u64 target, const bool *called_off)
{
	struct tmem_giveback_kernel kernel = {
		.unuse = tmem_kernel_function("try_to_unuse"),
		.caches_off = tmem_kernel_function("disable_swap_slots_cache_lock"),
		.caches_on = tmem_kernel_function("reenable_swap_slots_cache_unlock"),
	};
	u64 left, before = U64_MAX;

	if (!kernel.unuse || !kernel.caches_off || !kernel.caches_on)
		return -EOPNOTSUPP;
	for (;;) {
		left = tmem_frontswap_all_pages();
		if (left <= target)
			return 0;
		if (left >= before) /* the batch was of pages that more than one process has, or there was none to be had */
			schedule_timeout_interruptible(1);
		if (signal_pending(current) || (called_off && READ_ONCE(*called_off)))
			return -EINTR;
		if (READ_ONCE(tmem_giveback_stalled) || !tmem_giveback_has_room())
			return -ENOMEM;
		before = left;
		tmem_giveback_batch(&kernel, left, target);
	}
}

/* Under tmem_giveback_mutex. */
static int tmem_giveback_down_to(u64 target, const bool *called_off)
{
	u64 left = tmem_frontswap_all_pages();
	int error;

	tmem_lazy_leave(&tmem_hooks_registry);
	error = tmem_frontswap_guard();
	if (!error && left > target) {
		pr_info("bringing pages back: %llu in the service, %llu may stay\n", left, target);
		tmem_giveback_seen = frontswap_curr_pages();
		tmem_giveback_stalled = false;
		mod_timer(&tmem_giveback_timer, jiffies + TMEM_GIVEBACK_STALL);
		error = tmem_giveback_batches(target, called_off);
		del_timer_sync(&tmem_giveback_timer);
	}
	if (error)
		pr_warn("bringing pages back ended with error %d: %llu stay in the service\n", error, tmem_frontswap_all_pages());
	if (tmem_frontswap_on && (error || target))
		tmem_lazy_resume(&tmem_hooks_registry);
	return error;
}

/**
 * tmem_frontswap_give_back() - bring pages back
 * @target: how many may stay
 * @called_off: ends it when set, as a signal does; or NULL
 *
 * Meanwhile, and after it if @target is 0 and nothing failed, no page is stored. Nor is one with frontswap=0.
 *
 * Context: process; sleeps long; a signal ends it.
 * Return: 0; -EINTR; -ENOMEM: the kernel could not bring more back; -EOPNOTSUPP. Then all is as it was but for what came.
 */
int tmem_frontswap_give_back(u64 target, const bool *called_off)
{
	int error;

	if (mutex_lock_interruptible(&tmem_giveback_mutex))
		return -EINTR;
	error = tmem_giveback_down_to(target, called_off);
	mutex_unlock(&tmem_giveback_mutex);
	return error;
}

/* Nobody asks for pages any more. */
void tmem_frontswap_stands_again(void)
{
	mutex_lock(&tmem_giveback_mutex);
	if (tmem_frontswap_on)
		tmem_lazy_resume(&tmem_hooks_registry);
	mutex_unlock(&tmem_giveback_mutex);
}

/* Under tmem_giveback_mutex. Swap types for which no pool was made while frontswap was off get theirs now. */
static void tmem_frontswap_switched_on(void)
{
	tmem_hooks_take_frontswap();
	tmem_lazy_resume(&tmem_hooks_registry);
	if (tmem_hook_connected())
		tmem_hooks_connected();
}

/* frontswap=0 brings everything back and stores no more; frontswap=1 stores again. Before the module runs it is only noted. */
static int tmem_frontswap_switch(const char *text, const struct kernel_param *parameter)
{
	bool on;
	int error = kstrtobool(text, &on);

	if (error)
		return error;
	if (THIS_MODULE->state != MODULE_STATE_LIVE) {
		tmem_frontswap_on = on;
		return 0;
	}
	if (mutex_lock_interruptible(&tmem_giveback_mutex))
		return -EINTR;
	if (tmem_giveback_over)
		error = -ENODEV;
	else if (!on)
		error = tmem_giveback_down_to(0, NULL);
	if (!error)
		tmem_frontswap_on = on;
	if (!error && on)
		tmem_frontswap_switched_on();
	mutex_unlock(&tmem_giveback_mutex);
	return error;
}

/* The module leaves, and who has the parameter's file open may still write to it. */
void tmem_frontswap_giveback_exit(void)
{
	mutex_lock(&tmem_giveback_mutex);
	tmem_giveback_over = true;
	mutex_unlock(&tmem_giveback_mutex);
}

static const struct kernel_param_ops tmem_frontswap_switch_ops = {
	.set = tmem_frontswap_switch,
	.get = param_get_bool,
};
__MODULE_PARM_TYPE(frontswap, "bool");
module_param_cb(frontswap, &tmem_frontswap_switch_ops, &tmem_frontswap_on, 0644);
MODULE_PARM_DESC(frontswap, "keep swapped pages in the service, where the kernel has frontswap; 0 brings them back (default 1)");
