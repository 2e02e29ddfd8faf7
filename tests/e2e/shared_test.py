#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A shared pool, by dom0's word and nobody else's: joined, used by two guests, taken away, and all of it over kill -9."""
import struct
import unittest
import uuid

from pages import page
from raw_front import SHARED, pool_flags
from service import ServiceTest

UUID = uuid.UUID("1b4e28ba-2fa1-11d2-883f-0016d3cca427")
VALUE = struct.unpack("<2Q", UUID.bytes)
POOL = 6


class Shared(ServiceTest):
    def setUp(self):
        self.running = self.started("--supervise")
        self.left, self.right = (self.guest(self.running, name=name, queues=2) for name in ("left", "right"))

    def join(self, front):
        return [q.call("join_pool", pool=POOL, pool_flags=pool_flags(SHARED), value=VALUE)[0] for q in front.queues]

    def put(self, front, index, version):
        """The members of a pool meet on one shard: which, follows from the page's number."""
        return front.put(POOL, 1, index, page("shared", index, version), queue=index % 2)

    def got(self, front, index, version):
        status, found = front.get(POOL, 1, index, queue=index % 2)
        if status == "ok":
            self.assertEqual(found, page("shared", index, version))
        return status

    def flush(self, front, index):
        return front.queues[index % 2].call("flush_page", pool=POOL, obj=(1, 0, 0), index=index)[0]

    def members(self):
        pools = {c["name"]: c["pools"] for c in self.running.json("list")["clients"]}
        return {name: [(p["id"], p["uuid"], p["sharers"]) for p in listed] for name, listed in pools.items()}

    def test_two_guests_share_what_dom0_allows_until_it_is_denied(self):
        for front in (self.left, self.right):
            self.assertEqual(self.join(front), ["not_authorised"] * 2)
            self.assertEqual(self.put(front, 0, 0), "no_pool")
        self.running.ctl("shared-auth", "left", str(UUID), "allow")
        self.assertEqual(self.join(self.right), ["not_authorised"] * 2, "it is the other who may")
        self.running.ctl("shared-auth", "right", str(UUID), "allow")
        for front in (self.left, self.right):
            self.assertEqual(self.join(front), ["ok"] * 2)
        self.assertEqual(self.members(), {name: [(POOL, str(UUID), 2)] for name in ("left", "right")})

        for index in range(40):
            self.assertEqual(self.put(self.left if index % 3 else self.right, index, 0), "ok")
        for front in (self.left, self.right, self.left):  # a hit does not take the page away
            self.assertEqual([self.got(front, index, 0) for index in range(40)], ["ok"] * 40)
        self.assertEqual(self.put(self.right, 5, 1), "ok")
        self.assertEqual(self.got(self.left, 5, 1), "ok")
        for index in range(10, 20):
            self.assertEqual(self.flush(self.left, index), "ok")
            self.assertEqual(self.got(self.right, index, 0), "miss")

        self.running.kill9()
        self.assertEqual(self.members(), {name: [(POOL, str(UUID), 2)] for name in ("left", "right")})
        for front in (self.left, self.right):
            self.assertEqual([self.got(front, index, int(index == 5)) for index in range(40)],
                             ["miss" if 10 <= index < 20 else "ok" for index in range(40)])
        self.assertEqual(self.put(self.left, 12, 2), "ok")
        self.assertEqual(self.got(self.right, 12, 2), "ok")

        self.running.ctl("shared-auth", "right", str(UUID), "deny")
        self.assert_only_left()
        self.running.kill9()
        self.assert_only_left()

    def assert_only_left(self):
        self.assertEqual(self.got(self.right, 1, 0), "no_pool")
        self.assertEqual(self.flush(self.right, 1), "no_pool")
        self.assertEqual(self.join(self.right), ["not_authorised"] * 2)
        self.assertEqual(self.got(self.left, 1, 0), "ok")
        self.assertEqual(self.members(), {"left": [(POOL, str(UUID), 1)], "right": []})


if __name__ == "__main__":
    unittest.main()
