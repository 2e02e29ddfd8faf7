/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What dom0 may tune of a guest's self-ballooning, and where both sides write. xenstore-config/nodes.md has the nodes as a
 * table. A key is a node below memory/tmem/selfballoon of its domain, written by dom0 and read by the guest; in xl.cfg and in
 * /etc/xen/tmem.d it is "tmem_" and the same name ("tmem_selfballoon" stands for tmem_selfballooning).
 *
 * Values are decimal numbers, but for selfballoon_policy, which is a word. A node that is removed means the default again.
 * Names and defaults of the first group are those of the self-ballooning driver that Linux had up to 5.2.
 */
#ifndef TMEM_SELFBALLOON_H
#define TMEM_SELFBALLOON_H

/* X(name, default, lowest, highest, meaning) */
#define TMEM_SELFBALLOON_NUMBERS(X)                                                                              \
	X(selfballooning, 1, 0, 1, "adjust the balloon at all")                                                  \
	X(selfballoon_interval, 5, 1, 3600, "seconds between two decisions")                                     \
	X(selfballoon_downhysteresis, 8, 1, 65536, "one part of so many of the distance down is taken at a time") \
	X(selfballoon_uphysteresis, 1, 1, 65536, "one part of so many of the distance up is given at a time")    \
	X(selfballoon_min_usable_mb, 0, 0, 16777216, "never less usable MiB than this; 0: by rule of thumb")     \
	X(selfballoon_reserved_mb, 0, 0, 16777216, "committed: MiB to keep above what is committed")             \
	X(frontswap_selfshrinking, 1, 0, 1, "bring pages back from tmem when idle")                              \
	X(frontswap_hysteresis, 20, 1, 65536, "one part of so many of the pages comes back at a time")           \
	X(frontswap_inertia, 3, 1, 65536, "intervals without growth before pages come back")                     \
	X(pressure_reserve_percent, 10, 1, 90, "pressure: percent of all memory kept available")                 \
	X(pressure_stall_permille, 5, 0, 1000, "pressure: time lost to stalls that still counts as quiet")       \
	X(pressure_refaults, 128, 0, 1000000, "pressure: refaults and swap-ins per second that count as quiet")  \
	X(pressure_inertia, 3, 1, 65536, "pressure: quiet intervals before memory is taken")                     \
	X(pressure_window, 12, 1, 64, "pressure: intervals over which the highest need counts")

#define TMEM_SELFBALLOON_POLICY "selfballoon_policy" /* the one word */
#define TMEM_SELFBALLOON_POLICY_PRESSURE "pressure"  /* default */
#define TMEM_SELFBALLOON_POLICY_COMMITTED "committed"

/* Below /local/domain/N; both relative, as the guest names them. */
#define TMEM_SELFBALLOON_KEYS "memory/tmem/selfballoon" /* dom0 writes, the guest reads */
#define TMEM_SELFBALLOON_REPORT "data/tmem/selfballoon" /* the guest writes, dom0 reads and trusts nothing of it */

/* Nodes of the report. */
#define TMEM_SELFBALLOON_STATE "state"       /* words KEY=VALUE: what it is doing and with which tuning */
#define TMEM_SELFBALLOON_DECISION "decision" /* words KEY=VALUE, the last one is reason= and goes to the end */
#define TMEM_SELFBALLOON_REFUSED "refused"   /* a line "KEY: why" for each key that is not used; empty: none */
#define TMEM_SELFBALLOON_LOG "log"           /* the latest decisions, one to a line, oldest first */
#define TMEM_SELFBALLOON_LOG_LINES_MAX 12u

#endif /* TMEM_SELFBALLOON_H */
