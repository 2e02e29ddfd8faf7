// SPDX-License-Identifier: MIT
// Pages are asked for as for writing and never changed. That they come back from a swap disk is shown in the lab.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "selfballoon/unswap.h"

namespace tmem::selfballoon {
namespace {

TEST(Unswap, MapsAreReadForWhatIsPrivateAndWritable) {
  const auto ranges = parse_maps(
      "55d000000000-55d000001000 r--p 00000000 08:01 1 /bin/cat\n55d000002000-55d000004000 rw-p 00000000 00:00 0 [heap]\n"
      "7f0000000000-7f0000001000 rw-s 00000000 00:01 5 /dev/zero\nnonsense\n7f0000002000-zz rw-p\n7f0000003000-7f0000001000 rw-p 0 0 0\n");
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].from, 0x55d000002000u);
  EXPECT_EQ(ranges[0].to, 0x55d000004000u);
}

// A child with one page that it has written and one that it never touched; both are asked for, and its bytes stay.
TEST(Unswap, TouchingChangesNothingButMakesPagesPresent) {
  auto* pages = static_cast<unsigned char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto* told = static_cast<volatile int*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(pages, MAP_FAILED);
  int go[2];
  ASSERT_EQ(pipe(go), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(go[1]);
    std::memset(pages, 0x5a, 4096);
    told[0] = 1;
    char byte;
    while (read(go[0], &byte, 1) < 0) {}
    unsigned char present[2] = {};
    mincore(pages, 8192, present);
    bool same = true;
    for (int i = 0; i < 4096; ++i) same &= pages[i] == 0x5a;
    _exit(same && (present[1] & 1) ? 0 : 1);
  }
  close(go[0]);
  while (told[0] == 0) usleep(1000);
  const auto address = reinterpret_cast<uint64_t>(pages);
  const size_t touched = Unswap().touch(child, {address, address + 4096});
  close(go[1]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (touched == 0) GTEST_SKIP() << "this machine does not let us reach another process";
  EXPECT_EQ(touched, 2u);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Unswap().touch(child, {address}), 0u) << "a process that is gone";
  munmap(pages, 8192);
}

TEST(Unswap, AProcTreeWithoutProcessesBringsNothing) { EXPECT_EQ(Unswap("/nonexistent").bring_back(100), 0u); }

}  // namespace
}  // namespace tmem::selfballoon
