// SPDX-License-Identifier: MIT
// A guest's files in a temporary tree.
#include <gtest/gtest.h>

#include <fstream>

#include "selfballoon/system.h"

namespace tmem::selfballoon {
namespace {

class SystemTest : public ::testing::Test {
 protected:
  SystemTest() {
    char place[] = "/tmp/selfballoon-test-XXXXXX";
    root_ = mkdtemp(place);
    put("proc/meminfo", "MemTotal: 400000 kB\nMemAvailable: 300000 kB\nCommitted_AS: 50000 kB\nSUnreclaim: 4000 kB\nKernelStack: 1000 kB\n"
                        "PageTables: 2000 kB\nPercpu: 300 kB\nUnevictable: 100 kB\n");
    put("proc/vmstat", "workingset_refault_anon 3\nworkingset_refault_file 4\npswpin 5\n");
    put("proc/zoneinfo", "Node 0, zone DMA32\n high 500\n spanned 110000\n managed 100000\n protection: (0, 0)\n start_pfn: 4096\n");
    put("proc/swaps", "Filename Type Size Used Priority\n/dev/tmemswap0 partition 100 40 -2\n");
    put("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\n");
    put(kXen + "target_kb", "524288\n");
    put(kXen + "info/current_kb", "420000\n");
  }
  ~SystemTest() override { std::filesystem::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::filesystem::path root_;
  const std::string kXen = "sys/devices/system/xen_memory/xen_memory0/";
};

TEST_F(SystemTest, ASampleHoldsWhatTheFilesSay) {
  const Sample s = System(root_).sample();
  EXPECT_EQ(s.target_kib, 524288u);
  EXPECT_EQ(s.current_kib, 420000u);
  EXPECT_EQ(s.total_kib, 400000u);
  EXPECT_EQ(s.available_kib, 300000u);
  EXPECT_EQ(s.committed_kib, 50000u);
  EXPECT_EQ(s.reserve_kib, 2000u);
  EXPECT_EQ(s.kernel_kib, 4000u + 1000 + 2000 + 300 + 100 + 2000);
  EXPECT_EQ(s.span_kib, 114096u * 4);
  EXPECT_EQ(s.in_tmem_kib, 40u);
  EXPECT_EQ(s.stall_us, 77u);
  EXPECT_EQ(s.refaults_pages, 7u);
  EXPECT_EQ(s.swapins_pages, 5u);
}

TEST_F(SystemTest, PressureStallInformationMayBeOff) {
  std::filesystem::remove_all(root_ / "proc/pressure");
  EXPECT_FALSE(System(root_).has_pressure());
  EXPECT_EQ(System(root_).sample().stall_us, std::nullopt);
}

TEST_F(SystemTest, Dom0IsRecognised) {
  EXPECT_FALSE(System(root_).is_dom0());
  put("sys/hypervisor/uuid", "00000000-0000-0000-0000-000000000000\n");
  EXPECT_TRUE(System(root_).is_dom0());
  put("sys/hypervisor/uuid", "5f0c1a8e-0000-0000-0000-000000000001\n");
  EXPECT_FALSE(System(root_).is_dom0());
  put("proc/xen/capabilities", "control_d\n");
  EXPECT_TRUE(System(root_).is_dom0());
}

TEST_F(SystemTest, TheTargetIsWritten) {
  System(root_).set_target(300000);
  EXPECT_EQ(System(root_).target_kib(), 300000u);
}

TEST_F(SystemTest, AMissingFileIsNamed) {
  std::filesystem::remove(root_ / "proc/zoneinfo");
  try {
    System(root_).sample();
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("proc/zoneinfo"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace tmem::selfballoon
