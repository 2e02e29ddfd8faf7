#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A service's ordinary life: guests come, are listed as what they are, and go; the service stops cleanly."""
import os
import unittest

from pages import page
from raw_front import PERSISTENT
from service import ServiceTest, wait_for


class Life(ServiceTest):
    def clients(self, service):
        return {c["name"]: c for c in service.json("list")["clients"]}

    def test_two_guests_are_listed_with_what_they_keep_and_gone_when_they_leave(self):
        service = self.started()
        fronts = {name: self.guest(service, name=name, queues=2) for name in ("alpha", "beta")}
        for count, (name, front) in enumerate(sorted(fronts.items()), 1):
            self.assertEqual(front.new_pool(0, PERSISTENT), ["ok", "ok"])
            for index in range(10 * count):
                self.assertEqual(front.put(0, 1, index, page(name, index)), "ok")
        listed = self.clients(service)
        self.assertEqual(sorted(listed), ["alpha", "beta"])
        for count, name in enumerate(("alpha", "beta"), 1):
            self.assertEqual(listed[name]["space"]["pages_persistent"], 10 * count)
            self.assertEqual(listed[name]["state"], "connected")
            self.assertEqual([p["persistent"] for p in listed[name]["pools"]], [True])
        fronts["alpha"].close()
        wait_for("alpha to be gone", lambda: sorted(self.clients(service)) == ["beta"])
        self.assertEqual(fronts["beta"].get(0, 1, 3), ("ok", page("beta", 3)))

    def test_one_guest_cannot_reach_the_pages_of_another(self):
        service = self.started()
        mine, other = self.guest(service), self.guest(service)
        mine.new_pool(0, PERSISTENT)
        mine.put(0, 1, 1, page("mine", 1))
        self.assertEqual(other.get(0, 1, 1), ("no_pool", None))
        other.new_pool(0, PERSISTENT)
        self.assertEqual(other.get(0, 1, 1), ("miss", None))

    def test_a_clean_stop_is_status_zero_and_leaves_no_socket(self):
        for options in (("--no-supervisor",), ("--supervise",)):
            with self.subTest(options=options):
                service = self.started(*options)
                front = self.guest(service)
                self.assertEqual(service.stop(), 0, service.log())
                self.assertTrue(front.closed_by_service())
                self.assertFalse(os.path.exists(service.control_socket))
                self.assertFalse(os.path.exists(service.memfd_socket))

    def test_every_reading_command_gives_json_with_a_schema(self):
        service = self.started()
        for command in ("list", "info", "stats", "freeable"):
            with self.subTest(command=command):
                self.assertRegex(service.json(command)["schema"], rf"^xen-tmem/{command}/\d+$")

    def test_a_frozen_guest_gets_but_does_not_put(self):
        service = self.started()
        front = self.guest(service, name="cold")
        front.new_pool(0, PERSISTENT)
        self.assertEqual(front.put(0, 1, 1, page("cold", 1)), "ok")
        service.ctl("freeze", "cold")
        self.assertEqual(front.put(0, 1, 2, page("cold", 2)), "frozen")
        self.assertEqual(front.get(0, 1, 1), ("ok", page("cold", 1)))
        service.ctl("thaw", "cold")
        self.assertEqual(front.put(0, 1, 2, page("cold", 2)), "ok")

    def test_a_missing_client_is_said_with_exit_status_three(self):
        run = self.started().ctl("freeze", "nobody", check=False)
        self.assertEqual(run.returncode, 3)
        self.assertIn("nobody", run.stderr)
        self.assertEqual(len(run.stderr.strip().splitlines()), 1)

    def test_a_control_tool_without_a_service_says_so_with_exit_status_four(self):
        service = self.service()
        run = service.ctl("list", check=False)
        self.assertEqual(run.returncode, 4)
        self.assertIn(service.control_socket, run.stderr)


if __name__ == "__main__":
    unittest.main()
