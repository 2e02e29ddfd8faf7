// SPDX-License-Identifier: MIT
// Uses more memory than its domain has, and knows each word that it should read. In every pass each page is read, checked
// against what the pass before wrote, and written anew; a random order makes reading ahead no help.
//
// pressure MEBIBYTES PASSES [SEED]      ends with 0 and "pressure: ... right", or with 1 at the first wrong word
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mix.h"

#define PAGE 4096u
#define WORDS (PAGE / sizeof(uint64_t))

// A page that compresses to about half: every other word is small. Every eighth page is one word repeated.
static uint64_t word_of(uint64_t seed, uint64_t page, uint64_t pass, unsigned i)
{
	uint64_t key = mix(seed ^ page << 20 ^ pass);

	if (page % 8 == 0)
		return key;
	return i % 2 ? key + i : mix(key + i);
}

static void fill(uint64_t *to, uint64_t seed, uint64_t page, uint64_t pass)
{
	for (unsigned i = 0; i < WORDS; i++)
		to[i] = word_of(seed, page, pass, i);
}

static int check(const uint64_t *from, uint64_t seed, uint64_t page, uint64_t pass)
{
	for (unsigned i = 0; i < WORDS; i++) {
		if (from[i] != word_of(seed, page, pass, i)) {
			printf("pressure: page %llu word %u of pass %llu is %016llx, not %016llx\n", (unsigned long long)page, i,
			       (unsigned long long)pass, (unsigned long long)from[i], (unsigned long long)word_of(seed, page, pass, i));
			return 0;
		}
	}
	return 1;
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 0);
	if (errno || end == text || *end || !value) {
		fprintf(stderr, "pressure: '%s' is not a number above 0\n", text);
		exit(2);
	}
	return value;
}

int main(int count, char **words)
{
	if (count < 3) {
		fprintf(stderr, "usage: pressure MEBIBYTES PASSES [SEED]\n");
		return 2;
	}
	uint64_t pages = number(words[1]) * 256, passes = number(words[2]), seed = count > 3 ? number(words[3]) : 1;
	uint64_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED) {
		perror("pressure: mmap");
		return 1;
	}
	for (uint64_t page = 0; page < pages; page++)
		fill(memory + page * WORDS, seed, page, 0);
	printf("pressure: %llu pages written\n", (unsigned long long)pages);
	fflush(stdout);
	// The pages of a pass in the order of a full-period congruence: step odd and coprime to a power of two above.
	uint64_t bound = 1;
	while (bound < pages)
		bound *= 2;
	for (uint64_t pass = 1; pass <= passes; pass++) {
		uint64_t at = mix(seed + pass) % bound;
		for (uint64_t n = 0; n < bound; n++) {
			at = (at * 5 + 12345) % bound;
			if (at >= pages)
				continue;
			if (!check(memory + at * WORDS, seed, at, pass - 1))
				return 1;
			fill(memory + at * WORDS, seed, at, pass);
		}
		printf("pressure: pass %llu of %llu\n", (unsigned long long)pass, (unsigned long long)passes);
		fflush(stdout);
	}
	for (uint64_t page = 0; page < pages; page++) {
		if (!check(memory + page * WORDS, seed, page, passes))
			return 1;
	}
	printf("pressure: %llu pages, %llu passes, every word right\n", (unsigned long long)pages, (unsigned long long)passes);
	return 0;
}
