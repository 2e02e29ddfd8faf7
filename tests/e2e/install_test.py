#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a package would hold: programs that run, below the prefix and nowhere else."""
import os
import subprocess
import tempfile
import unittest

from service import BUILD, WAIT_S

PROGRAMS = ["xen-tmemd", "xen-tmemctl", "tmem-inspect"]


class Install(unittest.TestCase):
    def test_an_installation_into_a_folder_holds_programs_that_run(self):
        with tempfile.TemporaryDirectory(prefix="tmem-install-") as root:
            run = subprocess.run(["cmake", "--install", BUILD], env={**os.environ, "DESTDIR": root}, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=WAIT_S * 5, check=False)
            self.assertEqual(run.returncode, 0, run.stdout)
            found = {name: os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names}
            for name in PROGRAMS:
                self.assertIn(name, found)
                version = subprocess.run([found[name], "--version"], capture_output=True, text=True, timeout=WAIT_S, check=False)
                self.assertEqual(version.returncode, 0, version.stderr)
                self.assertRegex(version.stdout, r"\d+\.\d+\.\d+")
            self.assertIn("xen-tmemctl.1", {name.removesuffix(".gz") for name in found})


if __name__ == "__main__":
    unittest.main()
