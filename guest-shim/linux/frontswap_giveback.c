// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bringing pages back from the service, into memory and from there to the swap device: all of them, so that the module can
 * leave (frontswap=0), or down to a number (pages_target, or dom0's request: frontswap_request.c). Stopped by a signal or for
 * lack of memory it ends with an error, and what is still in the service stays there.
 *
 * The kernel does the walking, as it does for swapoff: try_to_unuse(), of one swap area, a batch at a time, of all backends' pages.
 * frontswap_shrink() would do that for the first area only. A batch that is all there is does not end before the whole area is
 * empty, or a signal is pending. So when the goal is reached the walker is told to look for signals, and finds none after that;
 * likewise when nothing of ours has come for a while. The walk always begins at the same place; what lies there and goes out to another
 * backend again would be all that a batch brings. So a batch has room for all of theirs beside ours.
 *
 * Freed places of the swap area wait in a cache of each processor, and would wait for ever in an idle guest. So during a batch these
 * caches are off, as during swapoff, whose lock for that also keeps a swapoff away meanwhile: the area stays as long as we walk.
 *
 * Each page has its place on the swap device all the time, so memory is only needed for those under way; no batch begins without
 * it. If the kernel runs out of it all the same, it is the process that asked for this which is killed; on a request of dom0 there
 * is no such process, so more must be free.
 *
 * A page that cannot be had any more ends the walk of its area: no process gets other bytes (hooks_lost.c). After some of those
 * without a page between them it is over.
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
#include <linux/workqueue.h>

#define TMEM_GIVEBACK_LOOK (10 * HZ)
#define TMEM_GIVEBACK_IDLE 3u  /* looks that saw no page come */
#define TMEM_GIVEBACK_FAILED 8u
#define TMEM_GIVEBACK_BATCH 1024u

bool tmem_frontswap_on = true;
static DEFINE_MUTEX(tmem_giveback_mutex);
static DEFINE_SPINLOCK(tmem_giveback_lock);
static struct task_struct *tmem_giveback_walker;
static u64 tmem_giveback_goal; /* how many may be left when a batch ends */
static u64 tmem_giveback_seen;
static unsigned int tmem_giveback_idle;
static bool tmem_giveback_stalled;
static bool tmem_giveback_none; /* dom0 wants no page in the service, until it says otherwise */
static bool tmem_giveback_over; /* the module leaves */

/* Under tmem_giveback_lock. */
static void tmem_giveback_stop(void)
{
	set_tsk_thread_flag(tmem_giveback_walker, TIF_SIGPENDING);
	wake_up_process(tmem_giveback_walker);
}

/* Tells how far it is. Pages do not come while the connection is away, and come again with it. */
static void tmem_giveback_look(struct work_struct *work);
static DECLARE_DELAYED_WORK(tmem_giveback_looker, tmem_giveback_look);

static void tmem_giveback_look(struct work_struct *work)
{
	u64 left = tmem_frontswap_all_pages();

	pr_info("bringing pages back: %llu left\n", left);
	tmem_giveback_idle = left == tmem_giveback_seen && tmem_guest_is_connected() ? tmem_giveback_idle + 1 : 0;
	tmem_giveback_seen = left;
	if (tmem_giveback_idle == TMEM_GIVEBACK_IDLE) {
		spin_lock_irq(&tmem_giveback_lock);
		WRITE_ONCE(tmem_giveback_stalled, true);
		if (tmem_giveback_walker)
			tmem_giveback_stop();
		spin_unlock_irq(&tmem_giveback_lock);
	}
	schedule_delayed_work(&tmem_giveback_looker, TMEM_GIVEBACK_LOOK);
}

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

/* Brings back as many pages of an area as this, of ours and of other backends, or fewer if that is enough. Returns what unuse does. */
static int tmem_giveback_walk(const struct tmem_giveback_kernel *kernel, u32 type, u64 pages)
{
	bool was_origin = oom_task_origin(current);
	int error = 0;

	kernel->caches_off();
	WRITE_ONCE(tmem_giveback_walker, current);
	set_current_oom_origin();
	if (tmem_frontswap_all_pages() > tmem_giveback_goal)
		error = kernel->unuse(type, true, pages);
	if (!was_origin)
		clear_current_oom_origin();
	kernel->caches_on();
	spin_lock_irq(&tmem_giveback_lock);
	WRITE_ONCE(tmem_giveback_walker, NULL);
	spin_unlock_irq(&tmem_giveback_lock);
	tmem_giveback_clear_signal();
	return error;
}

/* The area whose turn it is, of those that have pages of ours. */
static u32 tmem_giveback_area(u32 turn)
{
	u32 type = turn % TMEM_HOOK_TYPES;
	u32 n;

	for (n = 0; n < TMEM_HOOK_TYPES && !tmem_frontswap_pages(NULL, type); n++)
		type = (type + 1) % TMEM_HOOK_TYPES;
	return type;
}

/* Up to a batch; left is how many all areas have. */
static int tmem_giveback_batch(const struct tmem_giveback_kernel *kernel, u32 type, u64 left, u64 target)
{
	u64 pages = min3(tmem_frontswap_pages(NULL, type), left - target, (u64)TMEM_GIVEBACK_BATCH);
	u64 all = frontswap_curr_pages();

	if (!pages)
		return 0;
	tmem_giveback_goal = left - pages;
	return tmem_giveback_walk(kernel, type, pages + max(all, left) - left);
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
	unsigned int failed = 0;
	u32 turn = 0;

	if (!kernel.unuse || !kernel.caches_off || !kernel.caches_on)
		return -EOPNOTSUPP;
	for (;;) {
		left = tmem_frontswap_all_pages();
		if (left <= target)
			return 0;
		if (left < before)
			failed = 0;
		else /* the batch was of pages that more than one process has, or there was none to be had */
			schedule_timeout_interruptible(1);
		if (signal_pending(current) || (called_off && READ_ONCE(*called_off)))
			return -EINTR;
		if (READ_ONCE(tmem_giveback_stalled) || failed == TMEM_GIVEBACK_FAILED || !tmem_giveback_has_room())
			return -ENOMEM;
		before = left;
		turn = tmem_giveback_area(turn);
		if (tmem_giveback_batch(&kernel, turn, left, target) == -ENOMEM) {
			failed++;
			turn++;
		}
	}
}

/* Under tmem_giveback_mutex. */
static void tmem_giveback_store_again(void)
{
	if (tmem_frontswap_on && !tmem_giveback_none)
		tmem_lazy_resume(&tmem_hooks_registry);
}

/* Under tmem_giveback_mutex. */
static int tmem_giveback_down_to(u64 target, const bool *called_off)
{
	u64 left = tmem_frontswap_all_pages();
	int error = 0;

	tmem_lazy_leave(&tmem_hooks_registry);
	if (left > target) {
		pr_info("bringing pages back: %llu in the service, %llu may stay\n", left, target);
		tmem_giveback_seen = left;
		tmem_giveback_idle = 0;
		tmem_giveback_stalled = false;
		schedule_delayed_work(&tmem_giveback_looker, TMEM_GIVEBACK_LOOK);
		error = tmem_giveback_batches(target, called_off);
		cancel_delayed_work_sync(&tmem_giveback_looker);
	}
	if (error)
		pr_warn("bringing pages back ended with error %d: %llu stay in the service\n", error, tmem_frontswap_all_pages());
	if (error || target)
		tmem_giveback_store_again();
	return error;
}

/**
 * tmem_frontswap_give_back() - bring pages back
 * @target: how many may stay
 * @called_off: of dom0's request: ends it when set, as a signal does. NULL for everybody else
 *
 * Meanwhile, and after it if @target is 0 and nothing failed, no page is stored. Nor is one with frontswap=0, or after dom0's
 * request for none.
 *
 * Context: process; sleeps long; a signal ends it.
 * Return: 0; -EINTR; -ENOMEM: the kernel could not bring more back; -EOPNOTSUPP; -ENODEV: the module leaves. Then all is as it was
 * but for what came.
 */
int tmem_frontswap_give_back(u64 target, const bool *called_off)
{
	int error;

	if (mutex_lock_interruptible(&tmem_giveback_mutex))
		return -EINTR;
	if (called_off)
		tmem_giveback_none = target == 0;
	error = tmem_giveback_over ? -ENODEV : tmem_giveback_down_to(target, called_off);
	mutex_unlock(&tmem_giveback_mutex);
	return error;
}

/* Nobody asks for pages any more. */
void tmem_frontswap_stands_again(void)
{
	mutex_lock(&tmem_giveback_mutex);
	tmem_giveback_none = false;
	tmem_giveback_store_again();
	mutex_unlock(&tmem_giveback_mutex);
}

/* Under tmem_giveback_mutex. Swap types for which no pool was made while frontswap was off get theirs now. */
static void tmem_frontswap_switched_on(void)
{
	tmem_hooks_take_frontswap();
	tmem_giveback_store_again();
	if (tmem_guest_is_connected())
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
