#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An arena that was damaged while nobody served it: right bytes, an error or a miss, never wrong bytes; and the service comes up.

The supervisor's descriptors are opened through /proc, the service is stopped, the bytes are changed, the service is killed.
"""
import os
import random
import signal
import unittest

from pages import page
from raw_front import PERSISTENT
from service import ServiceTest

PAGES = 800
VERSION_AT = 8  # in the arena's header, see hypervisor-tmem/store/arena_format.h
SEGMENT = 256 << 10


class Arena(ServiceTest):
    def setUp(self):
        self.running = self.started("--supervise", shards="1")
        self.front = self.guest(self.running, name="owner")
        self.front.new_pool(0, PERSISTENT)
        for index in range(PAGES):
            self.assertEqual(self.front.put(0, 1, index, page("owner", index)), "ok")

    def arena(self):
        """The path of the arena as the supervisor holds it."""
        folder = f"/proc/{self.running.process.pid}/fd"
        for fd in os.listdir(folder):
            if "memfd:tmem-arena" in os.readlink(os.path.join(folder, fd)):
                return os.path.join(folder, fd)
        self.fail("the supervisor holds no arena")

    def damage_and_restart(self, change):
        """change(file) alters the bytes between the last moment of one service and the first of the next."""
        stopped = self.running.pid()
        os.kill(stopped, signal.SIGSTOP)
        with open(self.arena(), "r+b", buffering=0) as arena:
            change(arena)
        self.running.kill9(stopped)

    def used(self, arena):
        """Offsets of segments that have a slot directory."""
        size = os.fstat(arena.fileno()).st_size
        return [at for at in range(SEGMENT, min(size, 64 * SEGMENT), SEGMENT) if os.pread(arena.fileno(), 4, at) == b"tseg"]

    def gets(self):
        """Reads every page back: (right, errors and misses); a wrong byte fails the test."""
        right = gone = 0
        for index in range(PAGES):
            status, got = self.front.get(0, 1, index)
            if status == "ok":
                self.assertEqual(got, page("owner", index), f"page {index} has wrong bytes")
                right += 1
            else:
                self.assertIn(status, ("corrupt", "miss", "no_pool"))
                gone += 1
        return right, gone

    def test_flipped_bits_in_pages_are_errors_and_counted(self):
        def flip(arena):
            for segment in self.used(arena):
                for at in range(segment + SEGMENT // 2, segment + SEGMENT - 8, SEGMENT // 16):
                    byte = os.pread(arena.fileno(), 1, at)
                    os.pwrite(arena.fileno(), bytes([byte[0] ^ 0x40]), at)
        self.damage_and_restart(flip)
        right, gone = self.gets()
        self.assertGreater(right, PAGES / 2)
        self.assertGreater(gone, 0)
        self.assertEqual(self.running.json("list")["clients"][0]["ops"]["get_corrupt"], gone)

    def test_noise_anywhere_never_gives_wrong_bytes(self):
        noise = random.Random(int(os.environ.get("TMEM_SEED", "1")))

        def scribble(arena):
            for segment in self.used(arena):
                for _ in range(8):
                    os.pwrite(arena.fileno(), noise.randbytes(noise.randrange(1, 64)), segment + noise.randrange(64, SEGMENT - 64))
        self.damage_and_restart(scribble)
        if not self.front_alive():
            self.front = self.guest(self.running, name="owner", identity=self.front.identity)
        self.gets()

    def front_alive(self):
        return any(c["state"] == "connected" for c in self.running.json("list")["clients"])

    def test_an_arena_of_another_version_is_refused_aloud_and_the_service_starts_empty(self):
        self.damage_and_restart(lambda arena: os.pwrite(arena.fileno(), b"\x63\0\0\0", VERSION_AT))
        self.assertIn("arena cannot be read", self.running.log())
        self.assertEqual(self.running.json("info")["arenas_refused"], 1)
        self.assertIn("1 kept arenas could not be read", self.running.ctl("doctor", check=False).stdout)
        fresh = self.guest(self.running, name="fresh")
        fresh.new_pool(0, PERSISTENT)
        self.assertEqual(fresh.put(0, 1, 1, page("fresh", 1)), "ok")
        self.assertEqual(fresh.get(0, 1, 1), ("ok", page("fresh", 1)))

    def test_a_kept_arena_cannot_be_truncated(self):
        with open(self.arena(), "r+b", buffering=0) as arena:
            self.assertRaises(PermissionError, arena.truncate, SEGMENT)


if __name__ == "__main__":
    unittest.main()
