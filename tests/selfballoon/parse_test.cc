// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "selfballoon/parse.h"

namespace tmem::selfballoon {
namespace {

TEST(Parse, NumbersAreAllOfTheTextOrNothing) {
  EXPECT_EQ(parse_number("42"), 42u);
  EXPECT_EQ(parse_number(" 42\n"), 42u);
  EXPECT_EQ(parse_number("18446744073709551615"), UINT64_MAX);
  for (const char* bad : {"", " ", "-1", "4 2", "42x", "x42", "18446744073709551616", "0x10"}) EXPECT_EQ(parse_number(bad), std::nullopt) << bad;
}

TEST(Parse, MeminfoAndVmstat) {
  const Table meminfo = parse_table("MemTotal:        483120 kB\nMemAvailable:    401000 kB\nHugePages_Total:       0\nbroken\n: 5\nx: y\n");
  EXPECT_EQ(meminfo.at("MemTotal"), 483120u);
  EXPECT_EQ(meminfo.at("MemAvailable"), 401000u);
  EXPECT_EQ(meminfo.size(), 3u);
  const Table vmstat = parse_table("pswpin 12\nworkingset_refault_file 7");
  EXPECT_EQ(vmstat.at("pswpin"), 12u);
  EXPECT_EQ(vmstat.at("workingset_refault_file"), 7u);
}

TEST(Parse, TheTotalOfSomeNotOfFull) {
  EXPECT_EQ(parse_stall_us("some avg10=0.00 avg60=0.12 avg300=0.00 total=123456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n"), 123456u);
  EXPECT_EQ(parse_stall_us("full avg10=0.00 total=99\n"), std::nullopt);
  EXPECT_EQ(parse_stall_us("some avg10=0.00 total=-1\n"), std::nullopt);
  EXPECT_EQ(parse_stall_us(""), std::nullopt);
}

// Two zones; the second is smaller than its watermark and what is protected of it, and a third has nothing.
TEST(Parse, TheReserveIsSummedOverZones) {
  const Zones zones = parse_zoneinfo(
      "Node 0, zone      DMA\n  per-node stats\n      nr_free_pages 1\n  pages free     3840\n        min      17\n        low      21\n        high     25\n"
      "        spanned  4095\n        present  3998\n        managed  3840\n        protection: (0, 411, 411, 411, 400)\n  pagesets\n    cpu: 0\n"
      "              count: 9\n              high:  300\n  start_pfn:           1\n"
      "Node 0, zone    DMA32\n  pages free     10\n        high     900\n        spanned  126976\n        managed  100\n"
      "        protection: (0, 0, 0)\n  start_pfn:           4096\n"
      "Node 0, zone   Normal\n        high     32\n        spanned  0\n        managed  0\n  start_pfn:           0\n");
  EXPECT_EQ(zones.reserve_pages, (25u + 411) + 100);
  EXPECT_EQ(zones.span_pages, 4096u + 126976);
}

TEST(Parse, SwapsOfTmemOnly) {
  const char* text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/tmemswap0 partition\t1048572\t\t2048\t\t-2\n"
                     "/dev/xvdb partition 500 100 -3\n/dev/tmemswap1 partition 500 24 -4\n";
  EXPECT_EQ(parse_swaps_used_kib(text, "/dev/tmemswap"), 2072u);
  EXPECT_EQ(parse_swaps_used_kib("", "/dev/tmemswap"), 0u);
}

}  // namespace
}  // namespace tmem::selfballoon
