// SPDX-License-Identifier: MIT
// The terminal of top: keys in, lines out. ncurses stays behind this door.
//
// Owns the terminal's mode from construction to destruction; one at a time; one thread.
#pragma once

#include <string>
#include <vector>

namespace tmem::tool {

class Screen {
 public:
  // Throws Failure when there is no terminal to draw on.
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // The first heading_line lines are shown as they are, that one as a heading, the rest as far as there is room for them.
  void draw(const std::vector<std::string>& lines, size_t heading_line, const std::string& footer);
  // The next key in lower case, or 0 when none came in that time or the window changed its size.
  int key(double seconds);
  // Asks for a line at the bottom of the screen.
  std::string ask(const std::string& question);
};

}  // namespace tmem::tool
