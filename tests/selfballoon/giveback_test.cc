// SPDX-License-Identifier: MIT
// A write that blocks until somebody reads, as the kernel's does until pages have come.
#include "selfballoon/giveback.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "selfballoon/guest_files.h"

namespace tmem::selfballoon {
namespace {

class GiveBackTest : public GuestFiles {
 protected:
  GiveBackTest() : path_(root_ / "pages_target") {
    EXPECT_EQ(mkfifo(path_.c_str(), 0600), 0);
    pipe_ = open(path_.c_str(), O_RDWR | O_NONBLOCK);
    EXPECT_GE(pipe_, 0);
  }
  ~GiveBackTest() override { close(pipe_); }
  void fill() {
    const std::string block(4096, '.');
    while (write(pipe_, block.data(), block.size()) > 0) {
    }
  }
  // What is in the pipe now.
  std::string drain() {
    std::string all;
    char part[4096];
    for (ssize_t got; (got = read(pipe_, part, sizeof part)) > 0;) all.append(part, static_cast<size_t>(got));
    return all;
  }
  void finish(GiveBack& back) {
    while (back.under_way()) usleep(1000);
  }

  const std::filesystem::path path_;
  int pipe_ = -1;
};

TEST_F(GiveBackTest, TheNumberThatMayStayIsWritten) {
  GiveBack back(path_);
  EXPECT_FALSE(back.under_way());
  back.start(950);
  finish(back);
  EXPECT_EQ(drain(), "950\n");
}

TEST_F(GiveBackTest, NobodyWaitsForTheKernelAndOnlyOneIsUnderWay) {
  GiveBack back(path_);
  fill();
  back.start(950);
  EXPECT_TRUE(back.under_way());
  back.start(900);
  std::string all = drain();
  finish(back);
  all += drain();
  EXPECT_TRUE(all.ends_with(".950\n"));
}

TEST_F(GiveBackTest, WhatIsUnderWayEndsWithUs) {
  fill();
  {
    GiveBack back(path_);
    back.start(950);
  }
  EXPECT_EQ(drain().find("950"), std::string::npos);
}

TEST_F(GiveBackTest, AMissingFileIsNamed) { EXPECT_THROW(GiveBack(root_ / "none").start(1), std::runtime_error); }

}  // namespace
}  // namespace tmem::selfballoon
