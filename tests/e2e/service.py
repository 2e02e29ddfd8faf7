# SPDX-License-Identifier: MIT
"""The real programs in a temporary directory: start the service, ask it through xen-tmemctl, kill it, stop it."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from raw_front import Front

BUILD = os.environ.get("TMEM_BUILD_DIR", os.path.realpath(os.path.join(os.path.dirname(__file__), "../../build/gcc")))
WAIT_S = int(os.environ.get("TMEM_WAIT_S", "60"))  # far above what is needed: reached only when something hangs


def program(name):
    """The built program of that name."""
    for folder in ("bin", "hypervisor-tmem/daemon", "tools/tmemctl", "tools/tmem-inspect", "xenstore-config/agent"):
        path = os.path.join(BUILD, folder, name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise FileNotFoundError(f"{name} is not built in {BUILD}")


def wait_for(what, condition):
    """Waits until condition() is true; fails with what was waited for."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"waited {WAIT_S} s for {what}")


class Service:
    def __init__(self, **config):
        self.folder = tempfile.mkdtemp(prefix="tmem-e2e-")
        self.memfd_socket, self.control_socket = self.path("memfd.sock"), self.path("control.sock")
        self.config = {"memory": "64M", "memory-max": "256M", "shards": "2", "memfd-socket": self.memfd_socket,
                       "control-socket": self.control_socket, **{k.replace("_", "-"): v for k, v in config.items()}}
        self.process = None

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write_config(self, extra=""):
        with open(self.path("tmem.conf"), "w", encoding="utf-8") as f:
            f.write("".join(f"{k} = {v}\n" for k, v in self.config.items()) + extra)
        return self.path("tmem.conf")

    def command(self, *options):
        return [program("xen-tmemd"), "--config", self.path("tmem.conf"), *options]

    def surroundings(self):
        """What else it is started with."""
        return {}

    def start(self, *options):
        """With --supervise the supervisor is the parent, so that the service may die; else the service itself."""
        options = options or ("--no-supervisor",)
        self.write_config()
        with open(self.path("log"), "ab") as log:
            self.process = subprocess.Popen(self.command(*options), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.surroundings())
        self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"xen-tmemd ended with {self.process.returncode}:\n{self.log()}")
            return self.ctl("info", check=False).returncode == 0
        wait_for("the control socket to answer", ready)

    def run_once(self, *options):
        """A start that is expected to fail: gives (exit status, everything it said)."""
        options = options or ("--no-supervisor",)
        run = subprocess.run(self.command(*options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, timeout=WAIT_S, check=False)
        return run.returncode, run.stdout

    def ctl(self, *arguments, check=True):
        run = subprocess.run([program("xen-tmemctl"), "--socket", self.control_socket, *arguments], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=WAIT_S, check=False)
        if check and run.returncode != 0:
            raise AssertionError(f"xen-tmemctl {' '.join(arguments)}: exit {run.returncode}: {run.stderr}\n{self.log()}")
        return run

    def json(self, *arguments):
        return json.loads(self.ctl(*arguments, "--json").stdout)

    def pid(self):
        return self.json("info")["pid"]

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill9(self, pid=None):
        """kill -9 of the service itself, and waits until the supervisor has another one running."""
        before = pid or self.pid()
        os.kill(before, signal.SIGKILL)

        def back():
            run = self.ctl("info", "--json", check=False)
            return run.returncode == 0 and json.loads(run.stdout)["pid"] != before
        wait_for("the service to come back", back)

    def stop(self):
        """A clean stop; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_S)

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class ServiceTest(unittest.TestCase):
    """A test with services of its own; they are stopped and removed whatever happens."""

    def service(self, **config):
        service = Service(**config)
        self.addCleanup(service.remove)
        return service

    def guest(self, service, **options):
        """A front connected to the service; closed at the end, if the test has not done so."""
        front = Front(service.memfd_socket, **options)
        self.addCleanup(front.close)
        return front

    def started(self, *options, **config):
        return self.service(**config).start(*options)
