#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A configuration that is wrong is refused before anything is touched, with file, line and remedy; so is a second service."""
import os
import socket
import subprocess
import unittest

from service import WAIT_S, ServiceTest, program

CONFIG_WRONG, IN_USE = 3, 4  # exit statuses of xen-tmemd


class Config(ServiceTest):
    def assert_refused(self, extra, line, *words, **config):
        service = self.service(**config)
        path = service.write_config(extra)
        status, said = service.run_once()
        self.assertEqual(status, CONFIG_WRONG, said)
        self.assertIn(f"{path}:{line}: " if line else path, said)
        for word in words:
            self.assertIn(word, said)
        self.assertFalse(os.path.exists(service.control_socket))
        return service

    def test_an_unknown_key_is_named_with_its_line_and_what_was_meant(self):
        self.assert_refused("\nmemry = 64M\n", 7, "memry")
        self.assert_refused("shard = 1\n", 6, "'shards'")

    def test_a_value_that_cannot_be_is_named_with_what_is_allowed(self):
        self.assert_refused("log-level = loud\n", 6, "loud", "debug")
        self.assert_refused("poll-window-us = -1\n", 6, "-1")
        self.assert_refused("no equals sign\n", 6, "key = value")

    def test_values_that_contradict_each_other_are_refused(self):
        self.assert_refused("", None, "shards", memory="8M", shards="32")

    def test_a_configuration_file_that_is_not_there_is_refused(self):
        service = self.service()
        status, said = service.run_once()
        self.assertEqual(status, CONFIG_WRONG, said)
        self.assertIn(service.path("tmem.conf"), said)

    def test_a_drop_in_wins_over_the_file(self):
        service = self.service()
        os.mkdir(service.path("tmem.conf.d"))
        with open(service.path("tmem.conf.d", "50-shards.conf"), "w", encoding="utf-8") as f:
            f.write("shards = 1\n")
        service.start()
        self.assertEqual(len(service.json("stats")["shards"]), 1)

    def test_config_check_judges_as_the_service_does(self):
        service = self.service()
        path = service.write_config()
        check = [program("xen-tmemctl"), "config", "check", path]
        run = subprocess.run(check, capture_output=True, text=True, timeout=WAIT_S, check=False)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        service.write_config("memry = 64M\n")
        run = subprocess.run(check, capture_output=True, text=True, timeout=WAIT_S, check=False)
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        self.assertIn(f"{path}:6: ", run.stdout + run.stderr)

    def test_check_config_says_good_or_what_is_wrong_and_starts_nothing(self):
        service = self.service()
        path = service.write_config()
        self.assertEqual(service.run_once("--check-config", path)[0], 0)
        service.write_config("memry = 64M\n")
        status, said = service.run_once("--check-config", path)
        self.assertEqual(status, CONFIG_WRONG, said)
        self.assertIn(f"{path}:6: ", said)

    def test_an_unknown_option_is_a_usage_error(self):
        service = self.service()
        service.write_config()
        status, said = service.run_once("--no-such-option")
        self.assertEqual(status, 2, said)
        self.assertIn("--no-such-option", said)

    def test_a_second_service_on_the_same_sockets_is_refused_and_the_first_goes_on(self):
        first = self.started()
        front = self.guest(first)
        status, said = first.run_once()
        self.assertEqual(status, IN_USE, said)
        self.assertIn(".sock", said)
        self.assertEqual(front.queues[0].call("query", slot=0)[0], "ok")
        self.assertEqual(first.json("info")["pid"], first.process.pid)
        status, said = first.run_once("--supervise")
        self.assertEqual(status, IN_USE, said)

    def test_a_socket_file_that_a_dead_service_left_is_taken_over(self):
        service = self.service()
        left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        left.bind(service.control_socket)
        left.close()
        service.start()
        self.assertEqual(service.json("list")["clients"], [])

    def test_control_messages_that_mean_nothing_close_that_connection_only(self):
        service = self.started()
        for message in (b"\xff" * 64, b"\0\0\0\0", b"\x04\0\0\0\xff\xff\xff\xff", b"\x05\0\0\0ab"):
            with self.subTest(message=message):
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                    s.settimeout(WAIT_S)
                    s.connect(service.control_socket)
                    s.sendall(message)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(4096):
                        pass
                self.assertEqual(service.ctl("info").returncode, 0)
        self.assertEqual(service.json("info")["control_frames_malformed"], 3)  # the last was none yet, only cut short


if __name__ == "__main__":
    unittest.main()
