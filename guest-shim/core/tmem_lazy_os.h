/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the lazy registry needs of its system, beside the types of tmem_front_os.h. tmem_front_os_types.h also gives
 *
 *   struct tmem_os_mutex  mutual exclusion whose holder may sleep
 *   struct tmem_os_gate   knows who is inside; costs those who pass next to nothing (SRCU in a kernel)
 *
 * Thread rule: tmem_os_gate_enter() and _leave() anywhere, also where the OS completes I/O; everything else may sleep.
 */
#ifndef TMEM_LAZY_OS_H
#define TMEM_LAZY_OS_H

#include "tmem_front_os.h"

#ifdef __cplusplus
extern "C" {
#endif

void tmem_os_mutex_init(struct tmem_os_mutex *mutex);
void tmem_os_mutex_lock(struct tmem_os_mutex *mutex);
void tmem_os_mutex_unlock(struct tmem_os_mutex *mutex);

int tmem_os_gate_init(struct tmem_os_gate *gate); /* 0 or a negative error number */

/*
 * What is stored before a drain is seen by whoever enters after the drain began; whoever entered before has left, with all
 * its effects visible, when it returns. The ticket goes from enter to leave.
 */
int tmem_os_gate_enter(struct tmem_os_gate *gate);
void tmem_os_gate_leave(struct tmem_os_gate *gate, int ticket);
void tmem_os_gate_drain(struct tmem_os_gate *gate);

#ifdef __cplusplus
}
#endif

#endif /* TMEM_LAZY_OS_H */
