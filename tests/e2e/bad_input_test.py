#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest that lies: each lie gets a status or costs the liar its connection, is counted, and touches nobody else."""
import collections
import os
import random
import socket
import unittest

from pages import page
from raw_front import HELLO, PERSISTENT, REQUEST_PROD, RESPONSE_PROD, SHARED, Gone, Refused, pool_flags
from service import WAIT_S, ServiceTest, wait_for

ALL_ONES = (2**64 - 1,) * 3


class BadInput(ServiceTest):
    def setUp(self):
        self.running = self.started()
        self.good = self.guest(self.running, name="good")
        self.good.new_pool(0, PERSISTENT)
        self.good.put(0, 1, 1, page("good", 1))
        self.addCleanup(self.assert_unharmed)

    def assert_unharmed(self):
        self.assertEqual(self.good.get(0, 1, 1), ("ok", page("good", 1)))
        self.assertEqual(self.good.put(0, 1, 2, page("good", 2)), "ok")
        self.assertIsNone(self.running.process.poll())

    def front(self, **options):
        return self.guest(self.running, name="liar", **options)

    def assert_refused(self, reason, **options):
        with self.assertRaisesRegex(Refused, reason):
            self.front(**options)

    def test_hellos_that_cannot_be_are_refused_with_the_reason(self):
        self.assert_refused("bad version", version=99)
        self.assert_refused("bad hello", magic=1)
        self.assert_refused("bad hello", order=99)
        self.assert_refused("bad hello", queues=1000)
        self.assert_refused("bad hello", flags=1)
        self.assert_refused("bad hello", raw_hello=b"x" * HELLO.size)
        self.assert_refused("in use", identity=self.good.identity)
        self.assertEqual(self.running.json("info")["clients_refused"], 7)

    def test_a_hello_of_another_length_is_refused_or_cut(self):
        for message in (b"x", b"x" * (HELLO.size + 1), b"x" * 4000):
            with self.subTest(length=len(message)):
                self.assertRaises((Refused, Gone), self.front, raw_hello=message)
        self.assertEqual(self.running.json("info")["clients_refused"], 3)

    def test_connections_that_say_nothing_are_ended_and_counted_while_a_guest_is_served(self):
        silent = []
        for _ in range(200):
            silent.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            self.addCleanup(silent[-1].close)
            silent[-1].connect(self.running.memfd_socket)
            silent[-1].settimeout(WAIT_S)
        for index in range(100):
            self.assertEqual(self.good.put(0, 2, index, page("good", index)), "ok")
        for one in silent:
            self.assertEqual(one.recv(1), b"")
        self.assertEqual(self.running.json("info")["clients_refused"], 200)
        self.assertEqual(self.front().queues[0].call("query", slot=0)[0], "ok")

    def test_requests_that_mean_nothing_get_a_status_of_their_own(self):
        front = self.front()
        q = front.queues[0]
        front.new_pool(0, PERSISTENT)
        answered = collections.Counter()
        for want, op, fields in [
            ("bad_request", 0, {}),
            ("bad_request", 250, {}),
            ("bad_request", "put", {"slot": 999}),
            ("bad_request", "put", {}),
            ("bad_request", "get", {"slot": 16}),
            ("bad_request", "put", {"slot": 0, "flags": 0x80}),
            ("bad_request", "get", {"slot": 0, "reserved": 1}),
            ("no_pool", "put", {"slot": 0, "pool": 5}),
            ("no_pool", "get", {"slot": 0, "pool": 2**32 - 1}),
            ("bad_object", "put", {"slot": 0, "obj": ALL_ONES}),
            ("bad_version", "new_pool", {"pool": 1, "pool_flags": pool_flags(PERSISTENT, version=9)}),
            ("bad_page_size", "new_pool", {"pool": 1, "pool_flags": pool_flags(PERSISTENT | 0x10)}),
            ("bad_flags", "new_pool", {"pool": 1, "pool_flags": pool_flags(0x100)}),
            ("bad_flags", "new_pool", {"pool": 1, "pool_flags": pool_flags(SHARED)}),
            ("pool_exists", "new_pool", {"pool": 0, "pool_flags": pool_flags(0)}),
            ("no_pool_slots", "new_pool", {"pool": 2**31, "pool_flags": pool_flags(PERSISTENT)}),
            ("no_pool", "destroy_pool", {"pool": 9}),
            ("not_all_queues", "join_pool", {"pool": 3, "pool_flags": pool_flags(SHARED), "value": (1, 2)}),
        ]:
            with self.subTest(op=op, **fields):
                self.assertEqual(q.call(op, **fields)[0], want)
                answered[want] += 1
        liar = next(c for c in self.running.json("list")["clients"] if c["name"] == "liar")
        self.assertEqual(liar["requests_malformed"], answered.pop("bad_request"))
        self.assertEqual({status: count for status, count in liar["refused"].items() if count}, answered)

    def test_an_unauthorised_join_is_refused_and_never_private(self):
        front = self.front(queues=2)
        for q in front.queues:
            self.assertEqual(q.call("join_pool", pool=3, pool_flags=pool_flags(SHARED), value=(1, 2))[0], "not_authorised")
        self.assertEqual(front.put(3, 1, 1, page("x", 1)), "no_pool")
        liar = next(c for c in self.running.json("list")["clients"] if c["name"] == "liar")
        self.assertEqual((liar["refused"]["not_authorised"], liar["refused"]["no_pool"]), (2, 1))

    def test_ring_indexes_that_cannot_be_cost_the_connection(self):
        for lie in (2**31, 2**32 - 1, 1000):
            with self.subTest(lie=lie):
                front = self.front()
                front.queues[0].store(REQUEST_PROD, lie)
                front.queues[0].ring()
                self.assertTrue(front.closed_by_service())
        self.assertIn("liar", self.running.log())
        self.assertEqual(self.running.json("info")["totals"]["channels_broken"], 3)

    def test_a_ring_full_of_noise_harms_nobody(self):
        seed = int(os.environ.get("TMEM_SEED", "1"))
        noise = random.Random(seed)
        for _ in range(20):
            front = self.front()
            q = front.queues[0]
            for at in range(len(front.memory) // 8):
                front.memory[at * 8:at * 8 + 8] = noise.randbytes(8)
            q.store(RESPONSE_PROD, 0)
            q.store(REQUEST_PROD, noise.randrange(1, q.entries + 1))
            q.ring()
            self.assert_unharmed()
            front.close()

    def test_a_guest_that_dies_in_the_middle_is_cleaned_up(self):
        for _ in range(10):
            front = self.front()
            front.new_pool(0, PERSISTENT)
            for index in range(10):
                front.queues[0].fill("put", slot=index, obj=(1, 0, 0), index=index)
            front.queues[0].publish()
            front.close()
        wait_for("the dead to be gone", lambda: len(self.running.json("list")["clients"]) == 1)

    def test_a_guest_that_never_takes_its_answers_stops_only_itself(self):
        front = self.front()
        q = front.queues[0]
        front.new_pool(0, PERSISTENT)
        for index in range(q.entries):
            q.fill("flush_page", obj=(1, 0, 0), index=index)
        q.publish()
        self.assert_unharmed()

    def test_a_full_service_refuses_puts_by_status_and_keeps_what_it_has(self):
        service = self.started(memory="16M", shards="1")
        front = self.guest(service, name="full")
        front.new_pool(0, PERSISTENT)
        stored = 0
        while (status := front.put(0, 1, stored, page("full", stored))) == "ok":
            stored += 1
            self.assertLess(stored, 16 * 256 * 2, "16 MiB cannot hold this much")
        self.assertEqual(status, "no_space")
        self.assertGreater(stored, 16 * 256 / 2)
        for index in range(0, stored, 7):
            self.assertEqual(front.get(0, 1, index), ("ok", page("full", index)))
        self.assertGreater(service.json("list")["clients"][0]["ops"]["put_no_space"], 0)

    def test_who_comes_and_goes_all_the_time_does_not_fill_the_log(self):
        for _ in range(60):
            self.front().close()
        wait_for("the last to be gone", lambda: len(self.running.json("list")["clients"]) == 1)
        self.assertLess(self.running.log().count("client detached"), 60, "a line for each connection is no limit")

    def test_malformed_requests_are_counted_for_their_client(self):
        front = self.front()
        for _ in range(3):
            front.queues[0].call(200)
        clients = {c["name"]: c for c in self.running.json("list")["clients"]}
        self.assertEqual(clients["liar"]["requests_malformed"], 3)
        self.assertEqual(clients["good"]["requests_malformed"], 0)


if __name__ == "__main__":
    unittest.main()
