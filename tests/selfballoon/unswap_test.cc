// SPDX-License-Identifier: MIT
// Pages are asked for as for writing and never changed. That they come back from a swap disk is shown in the lab.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

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

// A tree of two: one who is said to map 96 TiB, with nothing there, and a child with a page that is said to be swapped out.
TEST(Unswap, WhoMapsTerabytesHoldsUpNobody) {
  void* const at = reinterpret_cast<void*>(uintptr_t{0x20000000});
  ASSERT_EQ(mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), at);
  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  const std::filesystem::path proc = std::filesystem::temp_directory_path() / ("unswap." + std::to_string(getpid()));
  const auto tell = [&](pid_t pid, const std::string& maps, uint64_t entries) {
    const std::filesystem::path of = proc / std::to_string(pid);
    std::filesystem::create_directories(of);
    std::ofstream(of / "maps") << maps << " rw-p 00000000 00:00 0\n";
    std::ofstream(of / "pagemap") << "";
    std::filesystem::resize_file(of / "pagemap", entries * 8);
    return of / "pagemap";
  };
  tell(1, "1000-600000001000", uint64_t{0x600000001});
  const uint64_t swapped = uint64_t{1} << 62;
  std::fstream(tell(child, "20000000-20001000", 0x20001)).seekp(0x20000 * 8).write(reinterpret_cast<const char*>(&swapped), 8);
  const bool may = Unswap().touch(child, {0x20000000}) == 1;

  Unswap unswap(proc);
  EXPECT_EQ(unswap.bring_back(100, std::chrono::milliseconds{20}), 0u) << "the first has had all of the time";
  const size_t back = unswap.bring_back(100, std::chrono::milliseconds{20});
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  munmap(at, 4096);
  std::filesystem::remove_all(proc);
  if (!may) GTEST_SKIP() << "this machine does not let us reach another process";
  EXPECT_EQ(back, 1u) << "the other's turn";
}

TEST(Unswap, AProcTreeWithoutProcessesBringsNothing) { EXPECT_EQ(Unswap("/nonexistent").bring_back(100), 0u); }

}  // namespace
}  // namespace tmem::selfballoon
