#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Guests in user space with real page faults, over a service that is killed under them, taken away, or never there."""
import json
import os
import random
import signal
import subprocess
import unittest

from service import WAIT_S, ServiceTest, program, wait_for

FILES, FILE_BYTES = 40, 200_000
RIGHT, CANNOT_START, PAGE_LOST = 0, 2, 3  # exit statuses of tmem-guest


class Guests(ServiceTest):
    def tree(self, service):
        """A folder of text that is the same at every run."""
        folder = service.path("tree")
        os.mkdir(folder)
        words = random.Random(7)
        for number in range(FILES):
            with open(os.path.join(folder, f"{number:02}.txt"), "w", encoding="ascii") as f:
                while f.tell() < FILE_BYTES:
                    f.write(" ".join(f"{words.randrange(5000):x}" for _ in range(12)) + "\n")
        return folder

    def start(self, service, tree, name, *options):
        with open(service.path(name + ".json"), "wb") as out, open(service.path(name + ".err"), "wb") as err:
            process = subprocess.Popen([program("tmem-guest"), "--name", name, "--tree", tree, "--budget", "2097152", "--bytes",
                                        str(FILES * FILE_BYTES), "--json", "--progress", *options],
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()

    def account(self, service, name, process, status=RIGHT):
        """What the guest says of itself at its end."""
        self.assertEqual(process.wait(WAIT_S * 5), status, self.text(service, name))
        with open(service.path(name + ".json"), encoding="utf-8") as f:
            return json.load(f)

    def text(self, service, name):
        with open(service.path(name + ".err"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def pages(self, service):
        return {c["name"]: c["space"]["pages_persistent"] for c in service.json("list")["clients"]}

    def test_two_guests_come_to_the_right_result_over_a_service_that_is_killed_under_them(self):
        for keep in ("on", "off"):
            with self.subTest(keep_connections=keep):
                service = self.started("--supervise", keep_connections=keep)
                tree = self.tree(service)
                guests = {name: self.start(service, tree, name, "--socket", service.memfd_socket, "--verify") for name in ("one", "two")}
                for name in guests:
                    wait_for(f"{name} to have pages in the service", lambda n=name: self.pages(service).get(n, 0) > 500)
                service.kill9()
                accounts = [self.account(service, name, process) for name, process in guests.items()]
                for account in accounts:
                    self.assertTrue(account["verified"])
                    self.assertEqual(account["work"]["pages_different"], 0)
                    self.assertGreater(account["pager"]["faults_stored"], 0)
                self.assertEqual(accounts[0]["work"]["digest"], accounts[1]["work"]["digest"])
                self.assertEqual(service.json("info")["restarts"], 1)

    def test_a_guest_that_is_killed_leaves_nothing_behind(self):
        service = self.started()
        guest = self.start(service, self.tree(service), "dies", "--socket", service.memfd_socket)
        wait_for("it to have pages", lambda: self.pages(service).get("dies", 0) > 500)
        guest.send_signal(signal.SIGKILL)
        wait_for("it to be gone", lambda: not self.pages(service))

    def test_a_file_takes_what_the_service_refuses(self):
        service = self.started(memory="8M", shards="1")
        guest = self.start(service, self.tree(service), "spills", "--socket", service.memfd_socket, "--swap-file", service.path("swap"),
                           "--verify")
        account = self.account(service, "spills", guest)
        self.assertTrue(account["verified"])
        self.assertGreater(account["pager"]["overflowed"], 0)

    def test_without_a_service_a_guest_says_so_or_uses_its_file(self):
        service = self.service()
        tree = self.tree(service)
        guest = self.start(service, tree, "alone", "--socket", service.path("nobody.sock"))
        self.assertEqual(guest.wait(WAIT_S), CANNOT_START)
        self.assertIn("nobody.sock", self.text(service, "alone"))
        guest = self.start(service, tree, "file", "--swap-file", service.path("swap"), "--verify")
        self.assertTrue(self.account(service, "file", guest)["verified"])

    def test_a_service_that_lost_its_memory_costs_the_guest_its_work_but_gives_no_wrong_bytes(self):
        service = self.started()
        guest = self.start(service, self.tree(service), "robbed", "--socket", service.memfd_socket, "--verify")
        wait_for("it to have pages", lambda: self.pages(service).get("robbed", 0) > 500)
        os.kill(service.pid(), signal.SIGKILL)
        service.process.wait()
        service.start()
        self.assertEqual(guest.wait(WAIT_S * 5), PAGE_LOST, self.text(service, "robbed"))


if __name__ == "__main__":
    unittest.main()
