#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a package would hold: programs that run, their manual pages, completion, units and examples, below the prefix and nowhere else."""
import os
import subprocess
import tempfile
import unittest

from service import BUILD, WAIT_S

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
PROGRAMS = {"sbin": ["xen-tmemd", "xen-tmem-agent"], "bin": ["xen-tmemctl", "tmem-guest", "tmem-inspect", "tmem-load"]}


def names(*folder, ending=""):
    return [name for name in os.listdir(os.path.join(TOP, *folder)) if name.endswith(ending) and name != "README.md"]


class Install(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tmem-install-")
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        run = subprocess.run(["cmake", "--install", BUILD, "--prefix", "/usr"], env={**os.environ, "DESTDIR": self.root}, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=WAIT_S * 5, check=False)
        self.assertEqual(run.returncode, 0, run.stdout)

    def assert_holds(self, *path):
        self.assertTrue(os.path.isfile(os.path.join(self.root, "usr", *path)), "/".join(path))

    def test_an_installation_into_a_folder_holds_programs_that_run(self):
        for folder, programs in PROGRAMS.items():
            for name in programs:
                self.assert_holds(folder, name)
                run = subprocess.run([os.path.join(self.root, "usr", folder, name), "--version"], capture_output=True, text=True, timeout=WAIT_S, check=False)
                self.assertEqual(run.returncode, 0, run.stderr)
                self.assertRegex(run.stdout, rf"^{name} \d+\.\d+\.\d+\n$")

    def test_every_page_unit_and_example_of_the_tree_is_in_it(self):
        for page in names("docs", "man"):
            self.assert_holds("share", "man", f"man{page[-1]}", page)
        for unit in names("xenstore-config", "systemd", ending=".service"):
            self.assert_holds("lib", "systemd", "system", unit)
        for example in names("xenstore-config", "examples"):
            self.assert_holds("share", "doc", "xen-tmem", "examples", example)
        self.assert_holds("share", "bash-completion", "completions", "xen-tmemctl")
        self.assertEqual(os.listdir(self.root), ["usr"])


if __name__ == "__main__":
    unittest.main()
