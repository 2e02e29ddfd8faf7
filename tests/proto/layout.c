/* SPDX-License-Identifier: MIT */
/*
 * The contract's headers, compiled as C11 and as C++20, by gcc and by clang, with every warning an error; the asserts are
 * the tables of docs/abi.md. The kernel's dialect is compiled with the module.
 */
#include "tmem/tmem_memfd.h"
#include "tmem/tmem_ring.h"
#include "tmem/tmem_xs.h"

#include "abi_asserts.h"

int main(void)
{
	return 0;
}
