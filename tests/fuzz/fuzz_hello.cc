// SPDX-License-Identifier: MIT
// Input: the first message on the memfd socket. Whatever is welcomed must have values that a region can be made of and a name
// that can be printed.
#include <cstdlib>
#include <cstring>

#include "transport/memfd/memfd_handshake.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tmem;
  constexpr uint32_t kShards = 4;
  if (check_hello(data, size, kShards) != TMEM_MEMFD_WELCOME) return 0;
  tmem_memfd_hello hello;
  if (size != sizeof(hello)) std::abort();
  std::memcpy(&hello, data, sizeof(hello));
  if (hello.queues > kShards || hello.ring_order > TMEMIF_RING_ORDER_MAX) std::abort();
  if (std::memchr(hello.name, 0, sizeof(hello.name)) == nullptr) std::abort();
  for (const char* c = hello.name; *c != 0; ++c)
    if (*c < 0x20 || *c > 0x7e) std::abort();
  if (!MemfdRegion::create(hello.queues == 0 ? kShards : hello.queues, hello.ring_order)) std::abort();
  return 0;
}
