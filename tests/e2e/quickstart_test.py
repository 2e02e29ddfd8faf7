#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The show of tools/quickstart with half the load, on programs that are built already: it ends well, and leaves nothing running."""
import os
import subprocess
import sys
import tempfile
import unittest

from service import BUILD

SHOW = os.path.join(os.path.dirname(__file__), "..", "..", "tools", "lib", "quickstart.py")
SHOW_S = 500  # far above what is needed


class Quickstart(unittest.TestCase):
    def test_three_guests_a_kill_and_the_comparison_come_to_status_zero(self):
        with tempfile.TemporaryDirectory(prefix="tmem-show-") as folder:
            show = subprocess.run([sys.executable, "-B", SHOW, "--build", BUILD, "--budget", "8"], stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, timeout=SHOW_S, check=False, env={**os.environ, "TMPDIR": folder})
            self.assertEqual((show.returncode, show.stderr), (0, ""), show.stdout)
            self.assertEqual(os.listdir(folder), [], "its sockets")
        self.assertRegex(show.stdout, r"back as process \d+ after \d+ ms: [1-9]\d* records found again, 0 torn")
        for guest in ("alice", "bob", "carol"):
            self.assertRegex(show.stdout, rf"\n   {guest} +\d+ M +8 M +[1-9]\d* +\d+ %")
        self.assertIn("nothing was lost", show.stdout)
        self.assertRegex(show.stdout, r"quickstart: all right after \d+ s")


if __name__ == "__main__":
    unittest.main()
