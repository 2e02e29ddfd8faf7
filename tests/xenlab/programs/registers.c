// SPDX-License-Identifier: MIT
// Keeps known words in its vector registers while the timer and other processes interrupt it, and tells what came back changed.
// 256 bits of each where the processor has them, else 128.
//
// registers ROUNDS      ends with 0, or with 1 if a register lost its words
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define REGISTERS 8
#define BYTES_MAX 32
#define SPINS 400000L /* some milliseconds under emulation: the timer comes meanwhile */

static void on_tick(int signal)
{
	(void)signal;
}

static void hold_128(const uint64_t *in, uint64_t *out)
{
	long spins = SPINS;

	asm volatile("movdqu 0(%1),%%xmm0\n movdqu 16(%1),%%xmm1\n movdqu 32(%1),%%xmm2\n movdqu 48(%1),%%xmm3\n"
		     "movdqu 64(%1),%%xmm4\n movdqu 80(%1),%%xmm5\n movdqu 96(%1),%%xmm6\n movdqu 112(%1),%%xmm7\n"
		     "1: dec %0\n jnz 1b\n"
		     "movdqu %%xmm0,0(%2)\n movdqu %%xmm1,16(%2)\n movdqu %%xmm2,32(%2)\n movdqu %%xmm3,48(%2)\n"
		     "movdqu %%xmm4,64(%2)\n movdqu %%xmm5,80(%2)\n movdqu %%xmm6,96(%2)\n movdqu %%xmm7,112(%2)\n"
		     : "+r"(spins)
		     : "r"(in), "r"(out)
		     : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
}

__attribute__((target("avx"))) static void hold_256(const uint64_t *in, uint64_t *out)
{
	long spins = SPINS;

	asm volatile("vmovdqu 0(%1),%%ymm0\n vmovdqu 32(%1),%%ymm1\n vmovdqu 64(%1),%%ymm2\n vmovdqu 96(%1),%%ymm3\n"
		     "vmovdqu 128(%1),%%ymm4\n vmovdqu 160(%1),%%ymm5\n vmovdqu 192(%1),%%ymm6\n vmovdqu 224(%1),%%ymm7\n"
		     "1: dec %0\n jnz 1b\n"
		     "vmovdqu %%ymm0,0(%2)\n vmovdqu %%ymm1,32(%2)\n vmovdqu %%ymm2,64(%2)\n vmovdqu %%ymm3,96(%2)\n"
		     "vmovdqu %%ymm4,128(%2)\n vmovdqu %%ymm5,160(%2)\n vmovdqu %%ymm6,192(%2)\n vmovdqu %%ymm7,224(%2)\n"
		     : "+r"(spins)
		     : "r"(in), "r"(out)
		     : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
}

int main(int count, char **words)
{
	const struct itimerval ticks = {{0, 3000}, {0, 3000}};
	const size_t bytes = REGISTERS * (__builtin_cpu_supports("avx") ? 32 : 16);
	uint64_t in[REGISTERS * BYTES_MAX / 8], out[REGISTERS * BYTES_MAX / 8];
	long rounds = count == 2 ? atol(words[1]) : 0, lost = 0;

	if (rounds < 1) {
		fprintf(stderr, "usage: registers ROUNDS\n");
		return 2;
	}
	signal(SIGALRM, on_tick);
	setitimer(ITIMER_REAL, &ticks, NULL);
	for (long round = 0; round < rounds; round++) {
		for (size_t i = 0; i < bytes / 8; i++)
			in[i] = ((uint64_t)round << 32 | i) * 0x9e3779b97f4a7c15ull;
		if (bytes == REGISTERS * 32)
			hold_256(in, out);
		else
			hold_128(in, out);
		lost += memcmp(in, out, bytes) != 0;
	}
	printf("registers: %ld of %ld rounds changed, %zu bits each\n", lost, rounds, bytes / REGISTERS * 8);
	return lost != 0;
}
