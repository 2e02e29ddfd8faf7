#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""xen-tmemctl and tmem-inspect against a real service with real guests: what is said is what is there, and what is set holds."""
import glob
import json
import os
import select
import signal
import subprocess
import unittest

from pages import page
from raw_front import PERSISTENT
from service import WAIT_S, ServiceTest, program, wait_for

UUID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"


class Tools(ServiceTest):
    def setUp(self):
        self.running = self.started()
        self.front = self.guest(self.running, name="web1", queues=2)
        self.assertEqual(self.front.new_pool(0, PERSISTENT), ["ok", "ok"])
        self.assertEqual(self.front.new_pool(3, 0), ["ok", "ok"])
        for index in range(40):
            self.assertEqual(self.front.put(0, 1, index, page("swap", index)), "ok")
        for index in range(24):
            self.assertEqual(self.front.put(3, 1, index, page("cache", index)), "ok")

    def client(self, name="web1"):
        return next(c for c in self.running.json("list")["clients"] if c["name"] == name)

    def refused(self, status, *arguments):
        run = self.running.ctl(*arguments, check=False)
        self.assertEqual(run.returncode, status, run.stderr)
        self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
        self.assertTrue(run.stderr.startswith("xen-tmemctl: "), run.stderr)
        return run.stderr

    def test_the_listing_shows_each_pool_with_its_pages(self):
        rows = {line.split()[0]: line for line in self.running.ctl("list").stdout.splitlines()}
        self.assertIn("2 pools", rows["web1"])
        self.assertRegex(rows["web1/0"], r"persistent private +40 ")
        self.assertRegex(rows["web1/3"], r"ephemeral private +24 ")
        by_id = self.running.ctl("list", str(self.client()["id"])).stdout
        self.assertEqual(by_id, self.running.ctl("list", "web1").stdout)
        self.assertEqual(self.running.ctl("tmem-list", "-a").stdout, self.running.ctl("list").stdout)

    def test_what_is_set_is_listed_and_the_rest_stays(self):
        self.guest(self.running, name="db", queues=2)
        self.running.ctl("set", "web1", "weight=300", "cap=8M", "min=1M", "compress=off", "dedup=self")
        policy = self.client()["policy"]
        self.assertEqual((policy["weight"], policy["cap_pages"], policy["min_pages"], policy["compress"]), (300, 2048, 256, False))
        self.assertEqual(policy["dedup_group"], "self")
        other = self.client("db")["policy"]
        self.running.ctl("tmem-set", "-a", "-w", "50")
        self.assertEqual(self.client()["policy"], {**policy, "weight": 50})
        self.assertEqual(self.client("db")["policy"], {**other, "weight": 50})

    def test_a_dry_run_changes_nothing(self):
        before = self.running.json("list")["clients"]
        for command in (["set", "-a", "weight=1"], ["freeze", "-a"], ["flush", "-a"], ["destroy-pool", "web1", "0", "--force"], ["set-memory", "32M"],
                        ["shared-auth", "-a", UUID, "allow"], ["forget", "web1"]):
            with self.subTest(command=command):
                self.assertIn("would", self.running.ctl(*command, "-n").stdout)
        self.assertEqual(self.running.json("list")["clients"], before)

    def test_a_flush_takes_the_ephemeral_pages_and_no_others(self):
        self.assertGreater(self.running.json("freeable")["bytes"], 0)
        self.assertIn("flushed 24 pages", self.running.ctl("flush", "web1").stdout)
        self.assertEqual(self.client()["space"]["pages_ephemeral"], 0)
        self.assertEqual(self.front.get(0, 1, 7), ("ok", page("swap", 7)))
        self.assertEqual(self.front.get(3, 1, 7), ("miss", None))

    def test_a_persistent_pool_is_destroyed_only_by_force(self):
        self.assertIn("force", self.refused(5, "destroy-pool", "web1", "0"))
        self.assertEqual(self.front.get(0, 1, 7), ("ok", page("swap", 7)))
        self.running.ctl("destroy-pool", "web1", "3")
        self.running.ctl("destroy-pool", "web1", "0", "--force")
        self.assertEqual(self.client()["pools"], [])
        self.assertEqual(self.front.get(0, 1, 7)[0], "no_pool")

    def test_shared_pools_are_allowed_and_denied(self):
        self.running.ctl("shared-auth", "web1", UUID, "allow")
        self.assertEqual(self.client()["authorised"], [UUID])
        self.running.ctl("tmem-shared-auth", "-a", "-u", UUID, "-A", "0")
        self.assertEqual(self.client()["authorised"], [])

    def test_memory_is_moved_while_the_service_runs(self):
        self.running.ctl("set-memory", "96M")
        self.assertEqual(self.running.json("info")["totals"]["memory_bytes_target"], 96 << 20)
        self.refused(2, "set-memory", "99999G")

    def test_wrong_input_has_its_exit_status_and_one_line(self):
        for command in (["freeze", "ghost"], ["list", "4711"], ["destroy-pool", "web1", "77"], ["stats", "ghost"], ["forget", "ghost"]):
            with self.subTest(command=command):
                self.refused(3, *command)
        for command in (["set", "web1", "weight=-1"], ["set", "web1", "colour=red"], ["flush"], ["lsit"], ["destroy-pool", "web1", "x"]):
            with self.subTest(command=command):
                self.refused(2, *command)
        self.refused(5, "forget", "web1")

    def test_events_tell_who_comes_and_goes(self):
        command = [program("xen-tmemctl"), "--socket", self.running.control_socket, "events", "--json"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as follower:
            try:
                def change_until_seen():
                    # The first changes may come before the subscription does.
                    self.running.ctl("set", "web1", "weight=7")
                    return select.select([follower.stdout], [], [], 0.05)[0]

                wait_for("an event", change_until_seen)
                self.guest(self.running, name="late").close()
                kinds = []
                while "client-detached" not in kinds:
                    event = json.loads(follower.stdout.readline())
                    self.assertEqual(event["schema"], "xen-tmem/event/1")
                    kinds.append(event["kind"])
                self.assertEqual([k for k in kinds if k != "policy-changed"], ["client-attached", "client-detached"])
            finally:
                follower.kill()

    def test_top_and_doctor_and_stats_speak_of_the_same_client(self):
        rows = self.running.json("top", "-b", "-i", "1")["rows"]
        self.assertEqual([(r["name"], r["pool"]) for r in rows], [("web1", None), ("web1", 0), ("web1", 3)])
        self.assertIn("web1/3", self.running.ctl("top", "-b", "-i", "2", "-d", "0.1", "-N").stdout)
        self.assertEqual(self.running.json("doctor")["problems"], 0, self.running.ctl("doctor", check=False).stdout)
        self.running.ctl("freeze", "web1")
        self.assertIn("thaw", self.running.ctl("doctor").stdout)
        stats = self.running.json("stats")
        self.assertEqual(stats["totals"]["ops"]["put_stored"], 64)
        self.assertEqual(self.running.json("stats", "web1")["clients"][0]["ops"]["put_stored"], 64)

    def test_an_arena_of_the_running_service_is_whole_and_holds_the_pages(self):
        self.running.ctl("freeze", "web1")
        pid = self.running.pid()
        arenas = [fd for fd in glob.glob(f"/proc/{pid}/fd/*") if "arena" in os.readlink(fd)]
        self.assertTrue(arenas)
        os.kill(pid, signal.SIGSTOP)  # an arena at rest: one that moves may show a record half written
        try:
            run = subprocess.run([program("tmem-inspect"), "--json", *arenas], capture_output=True, text=True, timeout=WAIT_S, check=False)
        finally:
            os.kill(pid, signal.SIGCONT)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        pools = [p for arena in json.loads(run.stdout)["arenas"] for p in arena["pools"]]
        self.assertEqual(sum(p["pages"] for p in pools if p["persistent"]), 40)
        self.assertEqual(sum(p["pages"] for p in pools if not p["persistent"]), 24)


if __name__ == "__main__":
    unittest.main()
