#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kill -9 of the service: persistent pages are all there afterwards, flushed ones stay gone, and only their owner gets them.

Two ways back: the supervisor keeps a client's rings and doorbells, so that it notices nothing (the default); or, with
keep-connections = off, the client connects again and claims its pools with nonce and epoch."""
import os
import signal
import unittest

from pages import page
from raw_front import PERSISTENT, STATUS, Refused
from service import ServiceTest, wait_for

PAGES = 600


class Crash(ServiceTest):
    def reconnect(self, service, front):
        """As a guest does: the same uuid and nonce, and the epoch of the last welcome."""
        wait_for("the old connection to be seen as ended", front.closed_by_service)
        front.close()
        return self.guest(service, name="again", queues=2, identity=front.identity)

    def test_two_guests_lose_nothing_over_three_kills_and_notice_nothing(self):
        self.lose_nothing("on")

    def test_two_guests_that_connect_again_lose_nothing_over_three_kills(self):
        self.lose_nothing("off")

    def test_requests_that_were_published_before_the_kill_are_answered_after_it(self):
        service = self.started("--supervise")
        front = self.guest(service, queues=2)
        front.new_pool(0, PERSISTENT)
        q = front.queues[0]
        stopped = service.pid()
        os.kill(stopped, signal.SIGSTOP)
        for index in range(8):
            q.slot(index)[:] = page("late", index)
            q.fill("put", slot=index, obj=(1, 0, 0), index=index)
        q.publish()
        service.kill9(stopped)
        self.assertEqual([STATUS[q.take()[1]] for _ in range(8)], ["ok"] * 8)
        self.assertEqual([front.get(0, 1, index) for index in range(8)], [("ok", page("late", index)) for index in range(8)])

    def test_memory_that_was_set_outlives_a_crash_and_not_a_clean_restart(self):
        running = self.started("--supervise")
        self.assertEqual(running.json("info")["totals"]["memory_bytes_target"], 64 << 20)
        running.ctl("set-memory", "96M")
        running.kill9()
        self.assertEqual(running.json("info")["totals"]["memory_bytes_target"], 96 << 20)
        running.ctl("set-memory", "80M")
        running.kill9()
        running.kill9()
        self.assertEqual(running.json("info")["totals"]["memory_bytes_target"], 80 << 20)
        self.assertEqual(running.stop(), 0)
        running.start("--supervise")
        self.assertEqual(running.json("info")["totals"]["memory_bytes_target"], 64 << 20)

    def test_a_wrong_configuration_at_a_restart_costs_no_page(self):
        service = self.started("--supervise")
        front = self.guest(service, queues=2)
        front.new_pool(0, PERSISTENT)
        self.assertEqual(front.put(0, 1, 5, page("kept", 5)), "ok")
        service.write_config("no-such-key = 1\n")
        service.process.send_signal(signal.SIGHUP)
        wait_for("two starts to fail", lambda: service.log().count("service died, restarting") >= 2)
        self.assertNotIn("given up", service.log())
        service.write_config()
        wait_for("the service to be back", lambda: service.ctl("info", check=False).returncode == 0)
        self.assertEqual(front.get(0, 1, 5), ("ok", page("kept", 5)))

    def lose_nothing(self, keep):
        service = self.started("--supervise", keep_connections=keep)
        fronts = {name: self.guest(service, name=name, queues=2) for name in ("left", "right")}
        kept = {name: {} for name in fronts}
        for front in fronts.values():
            front.new_pool(0, PERSISTENT)
        for kill in range(3):
            for name, front in fronts.items():
                for index in range(kill * PAGES, (kill + 1) * PAGES):
                    self.assertEqual(front.put(0, 7, index, page(name, index), queue=index % 2), "ok")
                    kept[name][index] = page(name, index)
                for index in range(kill * PAGES, kill * PAGES + PAGES // 3):
                    front.queues[index % 2].call("flush_page", pool=0, obj=(7, 0, 0), index=index)
                    kept[name][index] = None
            service.kill9()
            for name in fronts if keep == "off" else ():
                fronts[name] = self.reconnect(service, fronts[name])
                self.assertEqual(fronts[name].resumed, 1)
            self.check(fronts, kept)
        self.assertEqual(service.json("info")["restarts"], 3)

    def check(self, fronts, kept):
        for name, front in fronts.items():
            self.assertEqual(front.new_pool(0, PERSISTENT), ["ok", "ok"], "a replayed new_pool keeps the pages")
            for index, bytes_kept in kept[name].items():
                status, got = front.get(0, 7, index, queue=index % 2)
                self.assertEqual((status, got == bytes_kept), ("ok" if bytes_kept else "miss", True), f"{name} page {index}")

    def test_an_old_epoch_claims_nothing(self):
        service = self.started("--supervise", keep_connections="off")
        first = self.guest(service, queues=2)
        first.new_pool(0, PERSISTENT)
        first.put(0, 1, 0, page("x", 0))
        image = first.identity  # what a saved image of the guest remembers
        service.kill9()
        second = self.reconnect(service, first)
        self.assertEqual(second.resumed, 1)
        self.assertEqual(second.get(0, 1, 0)[0], "ok")
        service.kill9()
        third = self.reconnect(service, second)
        self.assertEqual(third.get(0, 1, 0)[0], "ok")
        third.close()
        old = wait_for("the uuid to be free", lambda: self.connect(service, image))
        self.assertEqual(old.resumed, 0)
        self.assertEqual(old.new_pool(0, PERSISTENT), ["ok", "ok"])
        self.assertEqual(old.get(0, 1, 0), ("miss", None))

    def connect(self, service, identity):
        try:
            return self.guest(service, queues=2, identity=identity)
        except Refused:
            return None

    def test_a_stranger_claims_nothing(self):
        service = self.started("--supervise", keep_connections="off")
        front = self.guest(service, queues=2)
        front.new_pool(0, PERSISTENT)
        front.put(0, 1, 0, page("x", 0))
        service.kill9()
        uuid, _, epoch = front.identity
        front.close()
        stranger = self.guest(service, queues=2, identity=(uuid, (1, 2), epoch))
        self.assertEqual(stranger.resumed, 0)
        self.assertEqual(stranger.get(0, 1, 0), ("no_pool", None))

    def test_without_a_supervisor_a_killed_service_stays_down_and_another_can_start(self):
        service = self.started("--no-supervisor")
        os.kill(service.pid(), signal.SIGKILL)
        service.process.wait()
        service.start("--no-supervisor")
        self.assertEqual(service.json("list")["clients"], [])


if __name__ == "__main__":
    unittest.main()
