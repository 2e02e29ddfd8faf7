// SPDX-License-Identifier: MIT
// What swapping costs a program: fills more memory than there is, then touches pages at random, every second time to write, and says
// how long it took and what the faults that read from swap cost. A page compresses to about a quarter, and knows its number.
//
// swapbench MEBIBYTES TOUCHES     "swapbench: seconds=S faults=N p50=US p90=US p99=US"; faults are major ones
// swapbench fault                 "swapbench: fault=US": a page fault that needs no device, to compare processors by
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "mix.h"

#define PAGE 4096u
#define WORDS (PAGE / sizeof(uint64_t))

static uint64_t now_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000ull + (uint64_t)at.tv_nsec;
}

static void fill(uint64_t *page, uint64_t number)
{
	for (unsigned i = 0; i < WORDS; i++)
		page[i] = i % 4 ? number : mix(number * WORDS + i);
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_majflt;
}

static int descending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

static int fault_alone(void)
{
	enum { kPages = 4096, kRounds = 4 };
	uint64_t start = now_ns();

	for (unsigned round = 0; round < kRounds; round++) {
		uint8_t *memory = mmap(NULL, kPages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED || madvise(memory, kPages * PAGE, MADV_NOHUGEPAGE)) {
			perror("swapbench");
			return 1;
		}
		for (uint64_t page = 0; page < kPages; page++)
			memory[page * PAGE] = 1;
		munmap(memory, kPages * PAGE);
	}
	printf("swapbench: fault=%.3f\n", (double)(now_ns() - start) / 1e3 / (kPages * kRounds));
	return 0;
}

int main(int count, char **words)
{
	if (count == 2 && !strcmp(words[1], "fault"))
		return fault_alone();
	uint64_t pages = count == 3 ? strtoull(words[1], NULL, 10) * 256 : 0;
	uint64_t touches = count == 3 ? strtoull(words[2], NULL, 10) : 0;

	if (!pages || !touches) {
		fprintf(stderr, "usage: swapbench MEBIBYTES TOUCHES | fault\n");
		return 2;
	}
	uint64_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t *took = mmap(NULL, touches * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED || took == MAP_FAILED || mlock(took, touches * 8)) {
		perror("swapbench");
		return 1;
	}
	uint64_t start = now_ns();
	for (uint64_t page = 0; page < pages; page++)
		fill(memory + page * WORDS, page);
	long before = faults();
	for (uint64_t n = 0; n < touches; n++) {
		uint64_t number = mix(n + 1) % pages;
		volatile uint64_t *page = memory + number * WORDS;
		uint64_t at = now_ns(), first = page[0];

		took[n] = now_ns() - at;
		if (first != mix(number * WORDS) || page[WORDS - 1] != number) {
			printf("swapbench: page %llu is not what was written\n", (unsigned long long)number);
			return 1;
		}
		if (n % 2)
			page[1] = number;
	}
	double seconds = (double)(now_ns() - start) / 1e9;
	uint64_t slow = (uint64_t)(faults() - before);

	if (slow > touches) // the program's own text counts too, when that was dropped
		slow = touches;
	qsort(took, touches, sizeof(*took), descending); // the slowest are those that had to wait for a page
	// Without a fault the percentiles are those of the slowest touch.
	printf("swapbench: seconds=%.2f faults=%llu p50=%.0f p90=%.0f p99=%.0f\n", seconds, (unsigned long long)slow,
	       (double)took[slow / 2] / 1e3, (double)took[slow / 10] / 1e3, (double)took[slow / 100] / 1e3);
	return 0;
}
