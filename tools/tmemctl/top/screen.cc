// SPDX-License-Identifier: MIT
#include "tools/tmemctl/top/screen.h"

#include <curses.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>

#include "tools/tmemctl/failure.h"

namespace tmem::tool {

Screen::Screen() {
  // newterm, not initscr: the latter ends the process when it does not know the terminal.
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || newterm(nullptr, stdout, stdin) == nullptr)
    throw Failure(ExitCode::kUsage, "there is no terminal that top can draw on; use batch mode: xen-tmemctl top -b");
  cbreak();
  noecho();
  keypad(stdscr, TRUE);
  curs_set(0);
}

Screen::~Screen() { endwin(); }

void Screen::draw(const std::vector<std::string>& lines, size_t heading_line, const std::string& footer) {
  erase();
  int height = getmaxy(stdscr), width = getmaxx(stdscr);
  size_t room = static_cast<size_t>(std::max(height - 1, 0));
  for (size_t i = 0; i < std::min(lines.size(), room); i++) {
    if (i == heading_line) attron(A_REVERSE);
    mvaddnstr(static_cast<int>(i), 0, lines[i].c_str(), width);
    if (i == heading_line) attroff(A_REVERSE);
  }
  std::string last = footer;
  if (lines.size() > room) last = std::to_string(lines.size() - room) + " lines more; " + last;
  mvaddnstr(height - 1, 0, last.c_str(), width - 1);
  refresh();
}

int Screen::key(double seconds) {
  timeout(static_cast<int>(std::clamp(seconds, 0.0, 86400.0) * 1000));
  int pressed = getch();
  if (pressed == ERR || pressed == KEY_RESIZE || pressed > 0xff) return 0;
  return std::tolower(pressed);
}

std::string Screen::ask(const std::string& question) {
  char answer[32] = "";
  move(getmaxy(stdscr) - 1, 0);
  clrtoeol();
  addstr(question.c_str());
  timeout(-1);
  echo();
  getnstr(answer, static_cast<int>(sizeof answer) - 1);
  noecho();
  return answer;
}

}  // namespace tmem::tool
