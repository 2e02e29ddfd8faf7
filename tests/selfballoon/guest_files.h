// SPDX-License-Identifier: MIT
// A guest's files in a temporary tree, as far as xen-selfballoond reads them.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace tmem::selfballoon {

class GuestFiles : public ::testing::Test {
 protected:
  GuestFiles() {
    char place[] = "/tmp/selfballoon-test-XXXXXX";
    root_ = mkdtemp(place);
    put("proc/meminfo",
        "MemTotal: 400000 kB\nMemAvailable: 300000 kB\nCommitted_AS: 50000 kB\nSUnreclaim: 4000 kB\nKernelStack: 1000 kB\n"
        "PageTables: 2000 kB\nPercpu: 300 kB\nUnevictable: 100 kB\n");
    put("proc/vmstat", "workingset_refault_anon 3\nworkingset_refault_file 4\npswpin 5\n");
    put("proc/zoneinfo", "Node 0, zone DMA32\n high 500\n spanned 110000\n managed 100000\n protection: (0, 0)\n start_pfn: 4096\n");
    put("proc/swaps", "Filename Type Size Used Priority\n/dev/tmemswap0 partition 100 40 -2\n");
    put("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\n");
    put(kBalloon + "target_kb", "524288\n");
    put(kBalloon + "info/current_kb", "420000\n");
    put(kBalloon + "max_schedule_delay", "32\n");
    put(kBalloon + "max_retry_count", "4\n");
  }
  ~GuestFiles() override { std::filesystem::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  std::filesystem::path root_;
  const std::string kBalloon = "sys/devices/system/xen_memory/xen_memory0/";
};

}  // namespace tmem::selfballoon
