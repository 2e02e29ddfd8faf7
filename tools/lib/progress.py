# SPDX-License-Identifier: MIT
"""Copies standard input to a log and shows the last line of it as progress; fails like the command before it in the pipe does
through pipefail. Usage: command | progress.py LOG"""
import re
import sys

from runner import Progress


# What a compiler, ninja or cmake says when something is wrong; not a flag that has the word in its name.
WRONG = re.compile(r"\berror\b:|^FAILED|^CMake Error|^ninja: ", re.IGNORECASE)


def main():
    progress = Progress("build")
    with open(sys.argv[1], "w", encoding="utf-8") as log:
        for line in sys.stdin:
            log.write(line)
            if WRONG.search(line):
                progress.clear()
                print("   " + line.rstrip())
            elif line.strip():
                progress.tell(line)
    progress.clear()


if __name__ == "__main__":
    main()
