# SPDX-License-Identifier: MIT
"""The show of tools/quickstart: a service, three guests under memory pressure, kill -9 in the middle, the same work on a file.

Everything it starts, it ends; everything it writes is in one temporary directory below build/, removed at the end.
"""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
BUDGET_MIB = 16
# Each guest works on another kind of files. A tree with too little in it is replaced by all of /usr.
TREES = [("alice", "/usr/include"), ("bob", "/usr/share"), ("carol", "/usr/lib")]
CONFIG = "memory = 192M\nmemory-max = 512M\nshards = 2\nlog-level = warning\nmemfd-socket = {0}/memfd.sock\ncontrol-socket = {0}/control.sock\n"
PATIENCE_S = 300  # for any one step; far above what is needed
FAULTS_BEFORE_KILL_PER_MIB = 128  # of each guest: enough that all of them have pages in the service


class Failed(Exception):
    """What went wrong, in one line for people."""


class Show:
    def __init__(self, build, top, budget_mib):
        self.build, self.top, self.budget = build, top, budget_mib * MIB
        self.faults_before_kill = budget_mib * FAULTS_BEFORE_KILL_PER_MIB
        os.makedirs(os.path.join(top, "build"), exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix="quickstart-", dir=os.path.join(top, "build"))
        # a Unix socket's path is short, and the tree's may be long
        self.sockets = tempfile.mkdtemp(prefix="tmem-")
        self.service_log = os.path.join(self.folder, "xen-tmemd.log")
        self.service = None
        self.guests = {}

    def program(self, name):
        for folder in ("bin", "hypervisor-tmem/daemon", "tools/tmemctl", "guest-shim/sim"):
            path = os.path.join(self.build, folder, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
        raise Failed(f"{name} is not built in {self.build}")

    def start_service(self):
        config = os.path.join(self.sockets, "tmem.conf")
        with open(config, "w", encoding="utf-8") as f:
            f.write(CONFIG.format(self.sockets))
        with open(self.service_log, "wb") as log:
            self.service = subprocess.Popen([self.program("xen-tmemd"), "--config", config, "--supervise"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        self.wait("the service to answer", lambda: self.info() is not None)

    def wait(self, what, condition):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if self.service and self.service.poll() is not None:
                with open(self.service_log, encoding="utf-8", errors="replace") as log:
                    raise Failed(f"xen-tmemd ended with status {self.service.returncode}: {log.read().strip()[-400:]}")
            if time.monotonic() > deadline:
                raise Failed(f"waited {PATIENCE_S} s for {what}")
            time.sleep(0.01)

    def ctl(self, *arguments):
        run = subprocess.run([self.program("xen-tmemctl"), "--socket", f"{self.sockets}/control.sock", *arguments], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S, check=False)
        return run.stdout if run.returncode == 0 else None

    def info(self):
        answer = self.ctl("info", "--json")
        return json.loads(answer) if answer else None

    # ---- guests ----

    def start_guest(self, name, tree, *options):
        base = os.path.join(self.folder, name)
        with open(base + ".json", "wb") as out, open(base + ".progress", "wb") as err:
            self.guests[name] = subprocess.Popen(
                [self.program("tmem-guest"), "--name", name, "--tree", tree, "--budget", str(self.budget), "--progress", "--json", *options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)

    def last_line(self, name):
        with open(os.path.join(self.folder, name + ".progress"), encoding="utf-8", errors="replace") as f:
            lines = [line for line in f.read().splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def faults(self, name):
        match = re.search(r"faults served\s+(\d+)", self.last_line(name))
        return int(match.group(1)) if match else 0

    def running(self):
        return [name for name, process in self.guests.items() if process.poll() is None]

    def results(self):
        """Every guest's own account; fails when one did not come to the right result."""
        accounts = {}
        for name, process in self.guests.items():
            if process.returncode != 0:
                raise Failed(f"guest {name} ended with status {process.returncode}: {self.last_line(name)}")
            with open(os.path.join(self.folder, name + ".json"), encoding="utf-8") as f:
                accounts[name] = json.load(f)
        self.guests = {}
        return accounts

    def clean_up(self, keep_service=False, keep_logs=False):
        for process in list(self.guests.values()) + ([] if keep_service else [self.service]):
            if process and process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if not keep_service and not keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)
        if not keep_service:
            shutil.rmtree(self.sockets, ignore_errors=True)


class Screen:
    """The guests' lines: rewritten in place on a terminal, every five seconds elsewhere."""

    def __init__(self, show):
        self.show, self.tty, self.drawn, self.told = show, sys.stdout.isatty(), 0, 0.0

    def tick(self):
        if time.monotonic() - self.told < (0.5 if self.tty else 5):
            return
        self.told = time.monotonic()
        self.erase()
        lines = [self.show.last_line(name) for name in self.show.guests]
        for line in lines:
            print("   " + (line or "starting"), flush=True)
        self.drawn = len(lines) if self.tty else 0

    def erase(self):
        if self.drawn:
            sys.stdout.write(f"\x1b[{self.drawn}A\x1b[J")
        self.drawn = 0


def read_once(tree, bytes_max):
    """Reads what a guest will work on, so that both runs find the files in the same state. Gives the bytes read."""
    total = 0
    for folder, folders, names in os.walk(tree):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if total > bytes_max or not os.path.isfile(path) or os.path.islink(path):
                continue
            try:
                with open(path, "rb") as f:
                    total += len(f.read())
            except OSError:
                pass
    return total


def choose_trees(budget):
    chosen = []
    for name, tree in TREES:
        chosen.append((name, tree if os.path.isdir(tree) and read_once(tree, 4 * budget) > 2 * budget else "/usr"))
    return chosen


def run_with_tmem(show, trees):
    """The guests on the service, with the kill in the middle. Gives (accounts, seconds, what the service looked like at its fullest)."""
    start = time.monotonic()
    for name, tree in trees:
        show.start_guest(name, tree, "--socket", f"{show.sockets}/memfd.sock", "--verify")
    screen, fullest, killed, last_look = Screen(show), None, None, 0.0
    while show.running():
        screen.tick()
        if time.monotonic() - last_look > 0.5:
            last_look = time.monotonic()
            fullest = fuller(show, fullest)
        if killed is None and all(show.faults(name) > show.faults_before_kill for name in show.guests) and len(show.running()) == len(trees):
            screen.erase()
            killed = kill_service(show)
        time.sleep(0.05)
        if time.monotonic() - start > PATIENCE_S:
            raise Failed(f"the guests did not end within {PATIENCE_S} s")
    screen.erase()
    if killed is None:
        raise Failed("the guests ended before the service could be killed: nothing was shown")
    return show.results(), fullest


def fuller(show, fullest):
    """The state of the service, if it holds more pages than the fullest one seen."""
    info, clients = show.info(), show.ctl("list", "--json")
    if info is None or clients is None:
        return fullest
    pages = sum(int(c["space"]["pages_persistent"]) + int(c["space"]["pages_ephemeral"]) for c in json.loads(clients)["clients"])
    now = {"pages": pages, "memory": int(info["totals"]["memory_bytes"])}
    return now if fullest is None or pages > fullest["pages"] else fullest


def kill_service(show):
    before = show.info()
    print("\n== the pools, as xen-tmemctl list shows them\n" + indent(show.ctl("list") or ""))
    print(f"== kill -9 {before['pid']} while all three guests work")
    start = time.monotonic()
    os.kill(before["pid"], signal.SIGKILL)
    show.wait("the service to come back", lambda: (show.info() or before)["pid"] != before["pid"])
    after = show.info()
    totals = after["totals"]
    print(f"   back as process {after['pid']} after {(time.monotonic() - start) * 1000:.0f} ms: {totals['records_recovered']} records found again, "
          f"{totals['records_skipped_torn']} torn; the guests go on", flush=True)
    return after


def run_with_file(show, trees):
    for name, tree in trees:
        show.start_guest(name, tree, "--swap-file", os.path.join(show.folder, name + ".swap"))
    screen, start = Screen(show), time.monotonic()
    while show.running():
        screen.tick()
        time.sleep(0.05)
        if time.monotonic() - start > PATIENCE_S:
            raise Failed(f"the guests did not end within {PATIENCE_S} s")
    screen.erase()
    return show.results()


def indent(text):
    return "".join("   " + line + "\n" for line in text.splitlines())


def table(with_tmem, with_file, fullest):
    print("\n== what it came to\n")
    print("   guest    memory  may use  faults served  hit rate   a fault: tmem   file   all: tmem     file  times as fast")
    for name, t in with_tmem.items():
        f, gets = with_file[name], t["front"]["get_hit"] + t["front"]["get_miss"]
        print(f"   {name:6}  {t['memory_bytes'] / MIB:5.0f} M  {t['budget_bytes'] / MIB:5.0f} M  {t['pager']['faults_stored']:13}  "
              f"{100 * t['front']['get_hit'] / max(1, gets):6.0f} %  {t['pager']['fault_stored_ns_mean'] / 1000:11.0f} us "
              f"{f['pager']['fault_stored_ns_mean'] / 1000:4.0f} us  {t['seconds']:7.1f} s  {f['seconds']:5.1f} s  {f['seconds'] / t['seconds']:13.1f}")
    print("\n   hit rate: of all gets, for faults (always a hit, or the guest is told) and for files (may have been evicted)")
    if fullest and fullest["memory"]:
        kept = fullest["pages"] * 4096
        print(f"   density: {kept / MIB:.0f} MiB of pages were kept in {fullest['memory'] / MIB:.0f} MiB, {kept / fullest['memory']:.2f} to 1")
    if not all(f["swap_file_direct"] for f in with_file.values()):
        print("   the swap file went through the page cache (this file system has no O_DIRECT): a disk would be slower than shown")


def check(with_tmem, with_file):
    for name, t in with_tmem.items():
        if not t.get("verified") or t["work"]["pages_different"]:
            raise Failed(f"{name}: the result is not that of the same work in plenty of memory")
        if t["work"]["digest"] != with_file[name]["work"]["digest"]:
            raise Failed(f"{name}: the result with tmem and with a swap file differ")
        if t["front"]["put_lost"]:
            raise Failed(f"{name}: {t['front']['put_lost']} pages were lost")


def run(show, keep):
    trees = choose_trees(show.budget)
    print("== start xen-tmemd, and three guests whose memory is four times what they may use", flush=True)
    show.start_service()
    with_tmem, fullest = run_with_tmem(show, trees)
    print("== the same work, swapping to a file", flush=True)
    with_file = run_with_file(show, trees)
    check(with_tmem, with_file)
    table(with_tmem, with_file, fullest)
    print("\n   nothing was lost: every guest's result is that of the same work in plenty of memory")
    if keep:
        print(f"\n   the service goes on:  {show.program('xen-tmemctl')} --socket {show.sockets}/control.sock list\n"
              f"   another guest:        {show.program('tmem-guest')} --socket {show.sockets}/memfd.sock --progress\n"
              f"   stop it:              kill {show.service.pid}; rm -r {show.sockets} {show.folder}\n"
              f"   its log:              {show.service_log}")


def main():
    parser = argparse.ArgumentParser(prog="tools/quickstart")
    parser.add_argument("--build", required=True)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--budget", type=int, default=BUDGET_MIB, help="MiB that a guest may use: a test of this show has less time")
    parser.add_argument("--before", type=int, default=0, help="seconds that installing and building took")
    options = parser.parse_args()
    top = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
    show, status = Show(os.path.join(top, options.build), top, options.budget), 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    start = time.monotonic()
    try:
        run(show, options.keep)
        status = 0
        shown = round(time.monotonic() - start)
        print(f"\n   quickstart: all right after {options.before + shown} s ({options.before} to install and build, {shown} to show). Next: tools/test")
    except Failed as failed:
        print(f"\n   quickstart: FAILED: {failed}\n   what each program said is in {os.path.relpath(show.folder, top)}/", file=sys.stderr)
    except KeyboardInterrupt:
        status = 130
    finally:
        show.clean_up(keep_service=options.keep and status == 0, keep_logs=status == 1)
    return status


if __name__ == "__main__":
    sys.exit(main())
