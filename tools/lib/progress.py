# SPDX-License-Identifier: MIT
"""Copies standard input to a log and shows the last line of it as progress; fails like the command before it in the pipe does
through pipefail. Usage: command | progress.py LOG"""
import sys

from runner import Progress


def main():
    progress = Progress("build")
    with open(sys.argv[1], "w", encoding="utf-8") as log:
        for line in sys.stdin:
            log.write(line)
            if "error" in line.lower() or line.startswith("FAILED"):
                progress.clear()
                print("   " + line.rstrip())
            elif line.strip():
                progress.tell(line)
    progress.clear()


if __name__ == "__main__":
    main()
