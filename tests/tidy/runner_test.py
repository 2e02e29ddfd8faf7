#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/test counts what happened: a failure, a skip, a crash or an empty stage never looks green."""
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tools", "lib"))
import progress  # noqa: E402
import runner  # noqa: E402
import stages  # noqa: E402

JUNIT = """<testsuite>
<testcase name="a" status="run"/>
<testcase name="b" status="fail"><failure message=""/><system-out>expected 1</system-out></testcase>
<testcase name="c" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>
<system-out>a_test.cc:3: Skipped
no userfaultfd here
[  SKIPPED ] A.c</system-out></testcase>
<testcase name="d" status="notrun"><skipped message="Unable to find executable"/></testcase>
<testcase name="e" status="disabled"><skipped message="Disabled"/></testcase>
</testsuite>"""


class Runner(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.context = runner.Context(self.folder.name, long=False, quick=False, seed=1)

    def run_stages(self, *chosen):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            rows = runner.run_stages(self.context, chosen)
            status = runner.summary(rows)
        return status, out.getvalue()

    def case(self, command, **options):
        return runner.command_case(self.context, "it", command, **options)

    def stage(self, name, *cases, needs=()):
        return runner.Stage(name, "a stage", lambda context: list(cases), needs)

    def test_all_passed_is_status_zero_and_a_plain_last_line(self):
        status, out = self.run_stages(self.stage("s", runner.Case("a", runner.PASSED), runner.Case("b", runner.SKIPPED, "no /dev/x")))
        self.assertEqual(status, 0)
        self.assertEqual(out.splitlines()[-1], "1 passed, 0 failed, 1 skipped")
        self.assertIn("skipped: s: b: no /dev/x", out)

    def test_one_failure_is_status_one(self):
        status, out = self.run_stages(self.stage("s", runner.Case("a", runner.PASSED), runner.Case("b", runner.FAILED, "why")))
        self.assertEqual((status, out.splitlines()[-1]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_a_stage_that_finds_nothing_fails(self):
        self.assertEqual(self.run_stages(self.stage("s"))[0], 1)

    def test_only_skips_are_not_green(self):
        self.assertEqual(self.run_stages(self.stage("s", runner.Case("a", runner.SKIPPED, "x")))[0], 1)

    def test_a_stage_whose_build_failed_is_skipped_with_the_reason(self):
        status, out = self.run_stages(self.stage("build", runner.Case("a", runner.FAILED)),
                                      self.stage("unit", runner.Case("b", runner.PASSED), needs=("build",)))
        self.assertEqual((status, out.splitlines()[-1]), (1, "0 passed, 1 failed, 1 skipped"))
        self.assertIn("stage build failed", out)

    def test_exit_statuses_are_translated(self):
        self.assertEqual(self.case(["true"]).outcome, runner.PASSED)
        self.assertEqual(self.case(["sh", "-c", "echo no kvm; exit 77"]), runner.Case("it", runner.SKIPPED, "no kvm"))
        self.assertIn("exit status 3", self.case(["sh", "-c", "exit 3"]).detail)
        self.assertEqual(self.case(["sh", "-c", "kill -SEGV $$"]).outcome, runner.FAILED)

    def test_a_command_that_never_ends_is_ended_and_fails(self):
        self.assertIn("no end after 0 s", self.case(["sleep", "600"], timeout_s=0).detail)

    def test_ctest_reports_are_read(self):
        path = os.path.join(self.folder.name, "report.xml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(JUNIT)
        outcomes = {c.name: (c.outcome, c.detail) for c in stages.junit_cases(path)}
        self.assertEqual(outcomes["a"], (runner.PASSED, ""))
        self.assertEqual(outcomes["b"], (runner.FAILED, "expected 1"))
        self.assertEqual(outcomes["c"], (runner.SKIPPED, "no userfaultfd here"))
        self.assertEqual(outcomes["d"][0], runner.FAILED)
        self.assertEqual(outcomes["e"][0], runner.FAILED)

    def test_lab_reports_are_read(self):
        lines = ["boot             passed     20.1 s\n", "hello            failed      3.0 s\n", "    no console\n", "1 passed, 1 failed, 0 skipped\n"]
        cases = stages.lab_cases(lines)
        self.assertEqual(cases, [runner.Case("boot", runner.PASSED), runner.Case("hello", runner.FAILED, "no console\n")])

    def test_only_what_is_wrong_is_shown_of_a_build(self):
        for line in ("../a.cc:3:1: error: expected ';'", "FAILED: a.o", "CMake Error at CMakeLists.txt:3", "ninja: build stopped: subcommand failed."):
            self.assertTrue(progress.WRONG.search(line), line)
        for line in ('  TMEM_WERROR="ON"', "[3/9] Building CXX object error.cc.o", "-- Detecting errors"):
            self.assertFalse(progress.WRONG.search(line), line)

    def test_a_quickstart_that_fails_says_what_and_where_the_logs_are(self):
        service = os.path.join(self.folder.name, "bin", "xen-tmemd")
        os.mkdir(os.path.dirname(service))
        for program, text in (("xen-tmemd", "echo no memory to be had; exit 1"), ("xen-tmemctl", "exit 4")):
            with open(os.path.join(self.folder.name, "bin", program), "w", encoding="utf-8") as script:
                script.write(f"#!/bin/sh\n{text}\n")
            os.chmod(script.name, 0o755)
        run = subprocess.run([sys.executable, "-B", os.path.join(TOP, "tools", "lib", "quickstart.py"), "--build", self.folder.name],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        self.assertIn("quickstart: FAILED: xen-tmemd ended with status 1: no memory to be had", run.stderr)
        logs = os.path.join(TOP, re.search(r"what each program said is in (\S+)", run.stderr).group(1))
        with open(os.path.join(logs, "xen-tmemd.log"), encoding="utf-8") as log:
            self.assertEqual(log.read(), "no memory to be had\n")
        shutil.rmtree(logs)


if __name__ == "__main__":
    unittest.main()
