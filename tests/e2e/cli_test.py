#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a person meets at the prompt: wrong words, versions, completion, and tmem-load with its verdict."""
import json
import os
import shutil
import subprocess
import unittest

from pages import page
from raw_front import PERSISTENT
from service import WAIT_S, ServiceTest, program

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
PROGRAMS = ["xen-tmemd", "xen-tmemctl", "tmem-guest", "tmem-load", "tmem-inspect", "xen-tmem-agent"]


def run(*command, **environment):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT_S, check=False,
                          env={**os.environ, **environment})


class Prompt(unittest.TestCase):
    def test_every_program_says_its_version(self):
        for name in PROGRAMS:
            with self.subTest(program=name):
                told = run(program(name), "--version")
                self.assertEqual((told.returncode, told.stderr), (0, ""))
                self.assertRegex(told.stdout, rf"^{name} \d+\.\d+\.\d+\n$")

    def test_a_wrong_option_is_one_line_with_a_remedy_and_status_2(self):
        for name in PROGRAMS:
            for wrong in (["--frobnicate"], ["--frobnicate", "1", "2"]):
                with self.subTest(program=name, wrong=wrong):
                    told = run(program(name), *wrong)
                    self.assertEqual((told.returncode, told.stdout), (2, ""))
                    self.assertRegex(told.stderr, rf"^{name}: [^\n;]+; [^\n]+\n$")
                    self.assertIn("--frobnicate" if name == "xen-tmemctl" else "--help", told.stderr)

    def test_a_value_out_of_range_is_told_the_same_way(self):
        for command in (["tmem-load", "--threads", "0"], ["tmem-load", "--seconds", "-1"], ["tmem-load", "--seconds", "nan"], ["tmem-load", "--put", "0", "--get", "0", "--flush", "0"], ["tmem-guest", "--budget", "1"],
                        ["tmem-guest", "--budget"], ["xen-tmemd", "--supervise", "--no-supervisor"], ["tmem-inspect"], ["xen-tmemctl", "--timeout", "x", "list"],
                        ["xen-tmemctl", "--timeout", "nan", "list"], ["xen-tmemctl", "top", "-b", "-d", "nan"], ["xen-tmemctl", "top", "-b", "-i", "-1"]):
            with self.subTest(command=command):
                told = run(program(command[0]), *command[1:])
                self.assertEqual((told.returncode, told.stdout), (2, ""))
                self.assertRegex(told.stderr, rf"^{command[0]}: [^\n]+; see {command[0]}[^\n]* --help\n$")

    def test_a_service_that_is_not_there_is_one_line(self):
        for command in (["tmem-load", "--socket", "/nonexistent/s"], ["tmem-guest", "--socket", "/nonexistent/s", "--tree", "/usr/include"]):
            with self.subTest(command=command):
                told = run(program(command[0]), *command[1:])
                self.assertEqual((told.returncode, told.stdout), (2, ""))
                self.assertRegex(told.stderr, rf"^{command[0]}: [^\n]*/nonexistent/s[^\n]*\n$")


class Completion(ServiceTest):
    def setUp(self):
        if not shutil.which("bash"):
            self.skipTest("bash is not installed")
        self.running = self.started()
        front = self.guest(self.running, name="web1", queues=2)
        for pool in (0, 3):
            self.assertEqual(front.new_pool(pool, PERSISTENT if pool == 0 else 0), ["ok", "ok"])
        self.assertEqual(front.put(0, 1, 1, page("swap", 1)), "ok")

    def complete(self, *words):
        """What bash offers for the last word, found as bash finds it: by the function registered for the program."""
        script = ('source "$COMPLETION"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; '
                  'read -ra spec < <(complete -p xen-tmemctl); "${spec[2]}" xen-tmemctl "${!#}" "${@: -2:1}"; '
                  'compgen -W "${COMPREPLY[*]}" -- "${!#}"')
        told = run("bash", "-c", script, "bash", "xen-tmemctl", *words, COMPLETION=os.path.join(TOP, "tools", "tmemctl", "completion", "xen-tmemctl"),
                   PATH=os.path.dirname(program("xen-tmemctl")) + ":" + os.environ["PATH"], XEN_TMEM_CONTROL=self.running.control_socket)
        self.assertEqual(told.stderr, "")
        return sorted(told.stdout.split())

    def test_bash_offers_what_the_running_service_has(self):
        self.assertEqual(self.complete("freeze", "w"), ["web1"])
        self.assertEqual(self.complete("destroy-pool", "web1", ""), ["0", "3"])
        self.guest(self.running, name="db7", queues=2)
        self.assertEqual(self.complete("set", "d"), ["db7", "dedup=", "dedup=off", "dedup=self"])
        self.assertEqual(self.complete("destr"), ["destroy-pool"])
        self.assertEqual(self.complete("stats", "--js"), ["--json"])
        self.assertEqual(self.complete("make-r"), ["make-room"])
        self.assertEqual(self.complete("make-room", "--ho"), ["--hold"])


class Load(ServiceTest):
    def load(self, service, *options, status=0):
        told = run(program("tmem-load"), "--socket", service.memfd_socket, "--capture", "300", "--operations", "6000", "--pages", "500", "--json", *options)
        self.assertEqual(told.returncode, status, told.stderr)
        return json.loads(told.stdout), told.stderr

    def test_every_page_comes_back_and_the_mix_is_what_was_asked(self):
        service = self.started()
        result, _ = self.load(service, "--put", "2", "--get", "1", "--flush", "1", "--threads", "2", "--verify")
        self.assertEqual(sum(result[kind]["count"] for kind in ("put", "get", "flush")), 6000)
        self.assertGreater(result["put"]["count"], result["get"]["count"] + result["flush"]["count"] - 600)
        self.assertEqual([result[key] for key in ("get_wrong", "get_lost", "get_failed", "put_lost")], [0, 0, 0, 0])
        self.assertGreater(result["get_hit"], 0)
        self.assertTrue(result["verified"])

    def test_density_is_the_services_own_account(self):
        service = self.started()
        result, _ = self.load(service, "--control", service.control_socket)
        self.assertGreater(result["density"], 0)
        result, said = self.load(service, "--control", "/nonexistent/s")
        self.assertIsNone(result["density"])
        self.assertIn("tmem-load: no density: ", said)

    def test_credits_do_not_carry_a_client_over_its_cap(self):
        service = self.started(client_cap="1M")  # 256 of the 500 handles
        result, _ = self.load(service, "--put", "1", "--get", "0", "--flush", "0")
        self.assertGreater(result["put_credited"], 0)
        self.assertGreater(result["put_refused"], 0)

    def test_a_small_capture_is_had_and_a_smaller_one_is_told(self):
        service = self.started()
        result, said = self.load(service)
        self.assertEqual((result["pages_wanted"], result["pages_captured"]), (300, 300), said)
        self.assertEqual(said, "")
        # Of the programs that pages are taken from, only sort is there.
        for tool in ("bash", "sort", "find", "sleep"):
            os.symlink(shutil.which(tool), service.path(tool))
        told = run(program("tmem-load"), "--socket", service.memfd_socket, "--capture", "300", "--operations", "100", "--json", PATH=service.folder)
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertEqual(json.loads(told.stdout)["pages_captured"], 100)
        self.assertEqual(told.stderr, "tmem-load: only 100 of 300 page contents could be had (sort 100); the load repeats them\n")


if __name__ == "__main__":
    unittest.main()
