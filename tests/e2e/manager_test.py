#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Under a service manager that is not our supervisor: the words and descriptors that systemd would see, and what a kill -9 costs.

The manager here keeps to xenstore-config/systemd/xen-tmemd.service, and as systemd does, it keeps two descriptors of one name."""
import fcntl
import os
import re
import socket
import struct
import sys
import threading
import unittest

from pages import page
from raw_front import PERSISTENT
from service import WAIT_S, Service, ServiceTest, wait_for

UNIT = os.path.join(os.path.dirname(__file__), "..", "..", "xenstore-config", "systemd", "xen-tmemd.service")
FIRST_FD = 3
KEPT_FD_MIN = 200  # out of the way of those that a service starts with
CREDENTIALS = struct.Struct("iII")
# Only who is started knows its own process id.
HAND_OVER = f"""
import os, sys
for place, fd in enumerate(map(int, filter(None, sys.argv[1].split(","))), {FIRST_FD}):
    os.dup2(fd, place)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), WATCHDOG_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def unit(key):
    with open(UNIT, encoding="utf-8") as file:
        return re.search(rf"^{key}=(.*)$", file.read(), re.MULTILINE).group(1)


class Managed(Service):
    """A service and its manager: what it says is in messages, what it stores in kept, as (name, descriptor)."""

    def __init__(self, watchdog_usec, **config):
        super().__init__(**config)
        self.watchdog_usec, self.messages, self.kept = watchdog_usec, [], []
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.notify.bind(self.path("notify"))
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def command(self, *options):
        fds = ",".join(str(fd) for _, fd in self.kept)
        return [sys.executable, "-c", HAND_OVER, fds, *super().command(*options)]

    def surroundings(self):
        return {"env": {**os.environ, "NOTIFY_SOCKET": self.path("notify"), "WATCHDOG_USEC": str(self.watchdog_usec),
                        "LISTEN_FDS": str(len(self.kept)), "LISTEN_FDNAMES": ":".join(name for name, _ in self.kept)},
                "pass_fds": [fd for _, fd in self.kept]}

    def start(self, *options):
        self.messages.clear()
        super().start(*(options or unit("ExecStart").split()[1:]))
        wait_for("READY=1", lambda: self.said("READY=1"))
        return self

    def said(self, word):
        return sum(word in lines for _, lines in self.messages)

    def names(self):
        return sorted(name for name, _ in self.kept)

    def listen(self):
        while True:
            text, ancillary, _, _ = self.notify.recvmsg(4096, socket.CMSG_SPACE(8 * 4) + socket.CMSG_SPACE(CREDENTIALS.size))
            if text == b"end":
                return
            fds, sender = [], None
            for _, kind, data in ancillary:
                if kind == socket.SCM_CREDENTIALS:
                    sender = CREDENTIALS.unpack(data)[0]
                elif kind == socket.SCM_RIGHTS:
                    fds += struct.unpack(f"{len(data) // 4}i", data)
            lines = text.decode().split("\n")
            self.file(dict(line.split("=", 1) for line in lines), fds)
            self.messages.append((sender, lines))

    def file(self, words, fds):
        name = words.get("FDNAME")
        if "FDSTORE" in words:
            self.kept += [(name, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, KEPT_FD_MIN)) for fd in fds]
        if "FDSTOREREMOVE" in words:
            for entry in [entry for entry in self.kept if entry[0] == name]:
                self.kept.remove(entry)
                os.close(entry[1])
        for fd in fds:
            os.close(fd)

    def ended(self):
        """Waits for the service's end; everything it said before is heard then. Gives the exit status."""
        status, before = self.process.wait(WAIT_S), len(self.messages)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
            ours.sendto(b"BARRIER=1", self.path("notify"))
        wait_for("the last of its messages", lambda: any("BARRIER=1" in lines for _, lines in self.messages[before:]))
        return status

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
            ours.sendto(b"end", self.path("notify"))
        self.listener.join()
        self.notify.close()
        for _, fd in self.kept:
            os.close(fd)
        super().remove()


class Manager(ServiceTest):
    def managed(self, watchdog_usec=0, **config):
        service = Managed(watchdog_usec, **config)
        self.addCleanup(service.remove)
        return service.start()

    def keeper(self, service):
        """A guest with pages on both queues."""
        front = self.guest(service, name="kept", queues=2)
        self.assertEqual(front.new_pool(0, PERSISTENT), ["ok", "ok"])
        for index in range(100):
            self.assertEqual(front.put(0, 1, index, page("kept", index), queue=index % 2), "ok")
        return front

    def check_pages(self, front):
        for index in range(100):
            self.assertEqual(front.get(0, 1, index, queue=index % 2), ("ok", page("kept", index)))

    def test_the_unit_is_one_that_this_protocol_needs(self):
        self.assertEqual(unit("Type"), "notify")
        self.assertIn("--no-supervisor", unit("ExecStart"))
        self.assertEqual(unit("Restart"), "always")

    def test_ready_and_what_to_keep_are_said_by_the_service_itself(self):
        service = self.managed()
        self.assertEqual(service.said("READY=1"), 1)
        self.assertEqual({sender for sender, _ in service.messages}, {service.process.pid}, f"NotifyAccess={unit('NotifyAccess')}")
        self.assertEqual([re.sub(r"\d+$", "N", name) for name in service.names()], ["arena-0-N", "arena-1-N", "control", "memfd"])
        self.assertEqual(service.said("WATCHDOG=1"), 0, "nobody asked")

    def test_a_guest_is_kept_while_it_is_connected(self):
        service = self.managed()
        before = service.names()
        front = self.guest(service, queues=2)
        wait_for("its socket, the last", lambda: any(name.endswith("-socket") for name in service.names()))
        self.assertEqual([re.sub(r"^client-\d+", "client", name) for name in service.names() if name not in before],
                         ["client-region-2-4", "client-requests-0", "client-requests-1", "client-responses-0", "client-responses-1", "client-socket"])
        front.close()
        wait_for("them to be forgotten", lambda: service.names() == before)

    def test_signs_of_life_come_as_often_as_they_are_wanted(self):
        service = self.managed(watchdog_usec=200_000)
        wait_for("signs of life", lambda: service.said("WATCHDOG=1") >= 3)

    def test_after_a_kill_another_service_has_every_page_and_the_guest_notices_nothing(self):
        service = self.managed()
        front = self.keeper(service)
        for _ in range(2):
            service.process.kill()
            service.ended()
            kept = service.names()
            self.assertEqual(len(kept), len(set(kept)), "of two descriptors of one name a service sees one")
            self.assertLessEqual(len(kept), int(unit("FileDescriptorStoreMax")))
            service.start()
            self.check_pages(front)
            self.assertEqual(service.names(), kept)

    def test_a_stop_is_told_and_a_start_after_it_has_every_page(self):
        service = self.managed()
        front = self.keeper(service)
        service.process.terminate()
        self.assertEqual(service.ended(), 0)
        self.assertEqual(service.said("STOPPING=1"), 1)
        service.start()
        self.check_pages(front)


if __name__ == "__main__":
    unittest.main()
