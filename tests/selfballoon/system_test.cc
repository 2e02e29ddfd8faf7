// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "selfballoon/guest_files.h"
#include "selfballoon/system.h"

namespace tmem::selfballoon {
namespace {

using SystemTest = GuestFiles;

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

TEST_F(SystemTest, PagesInFrontswapCountAsInTmemAndTheirLoadsAsSwapIns) {
  put("sys/kernel/tmem/frontswap_pages", "100\n");
  put("sys/kernel/tmem/frontswap_loaded", "7\n");
  const Sample s = System(root_).sample();
  EXPECT_EQ(s.in_tmem_kib, 400u) << "those of the swap disk are among them";
  EXPECT_EQ(s.swapins_pages, 5u + 7);
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

TEST_F(SystemTest, WhereThereIsNothingToDoItIsSaidWhy) {
  EXPECT_EQ(System(root_).nothing_to_do(), nullptr);
  put("proc/xen/capabilities", "control_d\n");
  EXPECT_STREQ(System(root_).nothing_to_do(), "this is dom0, whose memory is the toolstack's business") << "though it has a balloon";
  std::filesystem::remove(root_ / "proc/xen/capabilities");
  std::filesystem::remove_all(root_ / kBalloon);
  EXPECT_STREQ(System(root_).nothing_to_do(), "there is no Xen balloon driver here");
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
