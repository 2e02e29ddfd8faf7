#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/json.md names exactly the keys that the programs print: none is missing in it, none is only there."""
import glob
import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

from pages import page
from raw_front import PERSISTENT
from service import WAIT_S, ServiceTest, program

SEGMENT = 256 << 10
TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))


def source(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as file:
        return file.read()


def split(keys):
    """ "a, b?: [X]" -> [("a", "", ""), ("b", "?", "[X]")] """
    found = []
    for part in keys.split(", "):
        match = re.fullmatch(r"(\w+)(\??)(?:: (\S+))?", part)
        if not match:
            raise AssertionError(f"docs/json.md: cannot read {part!r}")
        found.append((match.group(1), match.group(2), match.group(3) or ""))
    return found


class Page:
    """The two tables of docs/json.md."""

    def __init__(self):
        self.documents, self.objects, self.schemas = {}, {}, {}
        with open(os.path.join(TOP, "docs", "json.md"), encoding="utf-8") as text:
            for line in text:
                match = re.fullmatch(r"\| (`?)([^|`]+)`? \| `([^`]*)` \|(.*)\|", line.strip().replace("\\|", "¦"))
                if match and match.group(1):
                    self.documents[match.group(2)] = match.group(3)
                    self.schemas[match.group(2)] = re.findall(r"`([a-z-]+(?:/[a-z-]+)*/\d+)`", match.group(4))
                elif match:
                    self.objects[match.group(2)] = match.group(3)
        self.seen = set()

    def differences(self, value, kind, where):
        """What value has and its kind has not, and the other way round."""
        if kind == "":
            return [f"{where} is no plain value: {value!r}"] if isinstance(value, (dict, list)) else []
        if kind.endswith("¦null"):
            return [] if value is None else self.differences(value, kind.removesuffix("¦null"), where)
        if kind.startswith("["):
            if not isinstance(value, list):
                return [f"{where} is no list"]
            return [d for at, one in enumerate(value) for d in self.differences(one, kind[1:-1], f"{where}[{at}]")]
        if kind.startswith("{"):
            return [d for name, one in value.items() for d in self.differences(one, kind[1:-1], f"{where}.{name}")]
        self.seen.add(kind)
        return self.members(value, self.objects[kind], where)

    def objects_of(self, keys):
        """The objects that keys name, and those that these name."""
        found = set()
        for kind in re.findall(r"[A-Z]\w+", keys):
            found |= {kind} | self.objects_of(self.objects[kind])
        return found

    def members(self, value, keys, where):
        if not isinstance(value, dict):
            return [f"{where} is no object"]
        known = split(keys)
        found = [f"{where}.{name} is not documented" for name in value if name not in [k for k, _, _ in known]]
        for name, optional, kind in known:
            if name in value:
                found += self.differences(value[name], kind, f"{where}.{name}")
            elif not optional:
                found.append(f"{where}.{name} is documented, but not printed")
        return found


def compares(*documents):
    """Names the documents of the page that a test method holds against what is printed."""
    def mark(test):
        test.documents = set(documents)
        return test
    return mark


class Json(ServiceTest):
    def setUp(self):
        self.page, self.checked = Page(), set()
        self.running = self.started()
        self.front = self.guest(self.running, name="web1", queues=2)
        self.assertEqual(self.front.new_pool(0, PERSISTENT), ["ok", "ok"])
        self.assertEqual(self.front.new_pool(3, 0), ["ok", "ok"])
        for index in range(40):
            self.assertEqual(self.front.put(0, 1, index, page("swap", index)), "ok")
        self.running.ctl("shared-auth", "web1", "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "allow")

    def all_was_seen(self):
        """An object that is only in lists that are empty would be compared with nothing."""
        self.assertEqual(self.checked, getattr(self, self._testMethodName).documents)
        self.assertEqual(self.page.seen, set().union(*(self.page.objects_of(self.page.documents[d]) for d in self.checked)))

    def check(self, command, document):
        self.checked.add(command)
        keys = self.page.documents[command]
        difference = self.page.differences(document, keys, command) if keys.startswith("[") else self.page.members(document, keys, command)
        self.assertEqual(difference, [])
        if isinstance(document, dict):
            self.assertEqual([document["schema"]], self.page.schemas[command])

    def output(self, *command, statuses=(0,)):
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT_S, check=False)
        self.assertIn(run.returncode, statuses, run.stderr)
        return json.loads(run.stdout)

    @compares("xen-tmemctl list", "xen-tmemctl info", "xen-tmemctl stats", "xen-tmemctl freeable", "xen-tmemctl doctor", "xen-tmemctl top -b",
              "xen-tmemctl config check", "xen-tmemctl config show")
    def test_xen_tmemctl(self):
        for command in (["list"], ["info"], ["stats"], ["freeable"], ["doctor"], ["top", "-b", "-i", "1"]):
            with self.subTest(command=command):
                self.check(" ".join(["xen-tmemctl", *command[:2]]), self.running.json(*command))
        self.check("xen-tmemctl stats", self.running.json("stats", "web1"))
        for command in ("config check", "config show"):
            for text in ("", "no-such-key = 1\n"):
                with self.subTest(command=command, text=text):
                    path = self.running.write_config(text)
                    run = self.running.ctl(*command.split(), path, "--json", check=False)
                    self.check("xen-tmemctl " + command, json.loads(run.stdout))
        self.all_was_seen()

    @compares("xen-tmemctl events")
    def test_events(self):
        command = [program("xen-tmemctl"), "--socket", self.running.control_socket, "events", "--json", "-i", "1"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as follower:
            try:
                while follower.poll() is None:  # the first changes may come before it follows
                    self.running.ctl("set", "web1", "weight=7")
                self.check("xen-tmemctl events", json.loads(follower.stdout.readline()))
            finally:
                follower.kill()
        self.all_was_seen()

    @compares("tmem-inspect", "tmem-inspect --record")
    def test_tmem_inspect(self):
        pid = self.running.pid()
        arenas = sorted(fd for fd in glob.glob(f"/proc/{pid}/fd/*") if "arena" in os.readlink(fd))
        os.kill(pid, signal.SIGSTOP)
        try:
            document = self.output(program("tmem-inspect"), "--json", *arenas)
            record = self.output(program("tmem-inspect"), "--json", "--record", "0:0", arenas[0])
            with open(arenas[0], "rb") as arena:
                beginning = arena.read(SEGMENT * 3 // 2)
        finally:
            os.kill(pid, signal.SIGCONT)
        self.check("tmem-inspect", document)
        self.check("tmem-inspect --record", record)
        self.assertEqual(sorted((a["header"]["shard"], a["header"]["shards"]) for a in document["arenas"]), [(0, 2), (1, 2)])
        for what, content in (("cut inside a segment", beginning), ("no arena", b"x" * (1 << 20))):
            with self.subTest(what=what):
                path = self.running.path("damaged")
                with open(path, "wb") as file:
                    file.write(content)
                self.check("tmem-inspect", self.output(program("tmem-inspect"), "--json", path, statuses=(1,)))
        self.all_was_seen()

    @compares("tmem-guest")
    def test_tmem_guest(self):
        with tempfile.TemporaryDirectory() as tree:
            for name in range(8):
                with open(os.path.join(tree, str(name)), "w", encoding="utf-8") as file:
                    file.writelines(f"line {name} {line}\n" for line in range(8000))
            options = ["--json", "--tree", tree, "--budget", "1M", "--bytes", "1M"]
            self.check("tmem-guest", self.output(program("tmem-guest"), *options, "--socket", self.running.memfd_socket, "--verify"))
            self.check("tmem-guest", self.output(program("tmem-guest"), *options, "--swap-file", os.path.join(tree, "swap")))
        self.all_was_seen()

    @compares("tmem-load")
    def test_tmem_load(self):
        document = self.output(program("tmem-load"), "--json", "--socket", self.running.memfd_socket, "--capture", "64", "--operations", "2000")
        self.check("tmem-load", document)
        self.assertIsNone(document["density"])
        self.all_was_seen()

    @compares("tools/bench", "tests/xenlab/run")
    def test_scripts(self):
        """Too slow to run here: what they print is read from their source."""
        keys = re.findall(r'\\"(\w+)\\":', source("tests", "bench", "bench_report.h"))
        self.check("tools/bench", [dict.fromkeys("repeats" if key == "repeated" else key for key in keys)])  # tools/bench renames it
        keys = re.findall(r'"(\w+)":', re.search(r'return (\{"name": .*\})', source("tests", "xenlab", "lib", "runner.py")).group(1))
        self.check("tests/xenlab/run", [dict.fromkeys(keys)])
        self.all_was_seen()

    @compares("xen-tmemctl selfballoon", "xen-tmemctl make-room")
    def test_what_is_printed_in_dom0_only(self):
        """It needs a xenstore, so this is read from the source too."""
        text = source("tools", "tmemctl", "commands", "room.cc")
        room = dict.fromkeys(re.findall(r'document\["(\w+)"\] =', text))
        self.check("xen-tmemctl make-room", {"schema": self.schema_in(text), **room})
        view, text = source("tools", "tmemctl", "selfballoon_view.cc"), source("tools", "tmemctl", "commands", "selfballoon.cc")
        move = dict.fromkeys(re.findall(r'\{"(\w+)", \w+', view))
        domain = {key: {} if kind.startswith("{") else [move] if kind == "[BalloonMove]" else [] if kind else None
                  for key, _, kind in split(self.page.objects["BalloonDomain"])}
        self.assertEqual(set(re.findall(r'result\["(\w+)"\] =', view)), set(domain))
        domains = re.findall(r'document\["(\w+)"\] =', text)
        self.check("xen-tmemctl selfballoon", {"schema": self.schema_in(text), **{key: [domain] for key in domains}})
        self.all_was_seen()

    def schema_in(self, text):
        """What schema("NAME") puts into a document of that source; its version, if none is given."""
        return f"xen-tmem/{re.search(r'schema..([a-z-]+)', text).group(1)}/1"

    def test_every_document_of_the_page_is_compared(self):
        tests = [getattr(self, name) for name in dir(self) if name.startswith("test_")]
        self.assertEqual(set().union(*(getattr(test, "documents", ()) for test in tests)), set(self.page.documents))

    def test_every_object_of_the_page_is_named_by_another(self):
        named = set(re.findall(r"[A-Z]\w+", " ".join([*self.page.documents.values(), *self.page.objects.values()])))
        self.assertEqual(named, set(self.page.objects))


if __name__ == "__main__":
    unittest.main()
