# SPDX-License-Identifier: MIT
"""xen-tmem itself in the lab: the service in dom0 or in a tmem domain, the guest module in a guest, a guest that swaps into tmem.

The programs come from a build directory: TMEM_BUILD_DIR, or else the first of build/gcc, build/product and build that is there.
"""

import json
import os
import shlex
import subprocess
from pathlib import Path

from .base import CACHE, LAB, PATIENCE, LabError, Skip, call, digest
from .machine import QUICK

TOP = LAB.parent.parent
BUILD = os.environ.get("TMEM_BUILD_DIR") or next(
    (path for path in (TOP / "build/gcc", TOP / "build/product") if path.is_dir()), TOP / "build")
# Both sides look for work some twenty times as long as by default: so much longer does the emulated machine take to wake anybody.
POLL_SERVICE, POLL_GUEST = "poll-window-us = 1000\n", "poll_us=500"
PROGRAMS = {"xen-tmemd": "hypervisor-tmem/daemon", "xen-tmem-agent": "xenstore-config/agent", "xen-tmemctl": "tools/tmemctl"}


def test_program(path):
    """A program of the build that only domains can run."""
    if not os.path.exists(f"{BUILD}/{path}"):
        raise Skip(f"{BUILD}/{path} is not built; build it, or say where with TMEM_BUILD_DIR")
    return f"{BUILD}/{path}"


def add_programs(image):
    """The service and dom0's tools into an image."""
    for name, folder in PROGRAMS.items():
        path = f"{BUILD}/{folder}/{name}"
        if not os.path.exists(path):
            raise Skip(f"{path} is not built; build it, or say where with TMEM_BUILD_DIR")
        image.program(path, f"/usr/sbin/{name}")


def module(series, out):
    """tmem.ko for a kernel series; without headers for it the scenario is skipped."""
    built = subprocess.run([TOP / "tests/kernel/build-module", series, out / f"module-{series}"], capture_output=True, text=True, check=False)
    if built.returncode == 3:
        raise Skip(built.stderr.strip())
    if built.returncode != 0:
        raise LabError(f"the module does not build for {series}:\n{built.stderr[-2000:]}")
    return built.stdout.strip().splitlines()[-1]


def guest(lab, name="g1", kernel="6.1", load=True, also=(), parameters="", **options):
    """A guest with tmem.ko, loaded by its init (with parameters) or lying at /root/tmem.ko, and with programs besides."""
    path = module(kernel, lab.out)
    stays = Path(path).with_name("tmem_hooks.ko")   # where the kernel has hooks

    def customize(image):
        if load and stays.exists():
            image.module(stays)
        if load:
            image.module(path, f"{POLL_GUEST} {parameters}")
        else:
            with open(path, "rb") as file:
                image.add("/root/tmem.ko", file.read())

    return lab.guest(name, kernel=kernel, programs=["pressure", *also], customize=customize, **options)


class _Host:
    """What every place of the service has in common: the tools in dom0, and the agent there."""

    def __init__(self, lab, dom0, config):
        self._lab, self.dom0, self.agent, self.domain = lab, dom0, None, None
        dom0.write_file("/etc/xen/tmem.conf", config)

    @property
    def backend(self):
        """Where the nodes of the guests' backends are."""
        return f"/local/domain/{self.domain.domid if self.domain else 0}/backend/tmem"

    def start_agent(self):
        self.agent = self.dom0.start("exec xen-tmem-agent 2>&1")
        self.agent.wait_line("service's domain")
        return self.agent

    def ctl(self, arguments, check=True, timeout=PATIENCE):
        return self.dom0.run(f"xen-tmemctl {arguments}", timeout, check)

    def json(self, arguments):
        return json.loads(self.ctl(f"{arguments} --json").out)

    def clients(self):
        """Name -> client, as `xen-tmemctl list` in dom0 tells."""
        return {client["name"]: client for client in self.json("list")["clients"]}


class Service(_Host):
    """xen-tmemd as a plain program, by itself in dom0 or in an ordinary guest, and xen-tmem-agent in dom0."""

    def __init__(self, lab, dom0, config="", agent=True, memory=192, inside=None):
        self._own = f"memory = {memory}M\nxen = on\nshards = 1\n{POLL_SERVICE}{'' if inside else 'xen-domain = 0' + chr(10)}"
        super().__init__(lab, dom0, f"xen-domain = {inside.name}\n" if inside else "")
        self.domain, self._place = inside, inside or dom0
        self._place.write_file("/etc/xen/tmem.conf", self._own + config)
        self._place.run("mkdir -p /run/xen-tmem")
        self.daemon = self._place.start("exec xen-tmemd --supervise 2>&1")
        self.daemon.wait_line("serving")
        if agent:
            self.start_agent()

    def configure(self, config):
        """The service anew, with pages and clients of before, and this besides its own configuration."""
        served = self.daemon.out.count("serving")
        self._place.write_file("/etc/xen/tmem.conf", self._own + config)
        self._place.run(f"kill -HUP {self._process('--supervis[e]')}")
        self.dom0.poll(lambda: self.daemon.out.count("serving") > served, PATIENCE, "the service to serve with its new configuration")

    def kill(self):
        """kill -9 of the service process; its supervisor starts the next."""
        self._place.run(f"kill -9 {self._process('--no-superviso[r]')}")

    def _process(self, option):
        """The process that has this option, as a pattern that does not match itself."""
        return self._place.run(f"grep -ls -- '{option}' /proc/[0-9]*/cmdline", check=False).lines[0].split("/")[2]


class Domain(_Host):
    """The tmem domain as tools/stubdom/build makes it, and xen-tmem-agent in dom0, by the keys of `config`. `options` are the service's;
    one shard unless they say otherwise: each polls, and there are two processors."""

    def __init__(self, lab, dom0, memory=320, kernel="6.1", type="pv", options="", agent=True, maxmem=None, config=""):
        # pylint: disable=redefined-builtin
        super().__init__(lab, dom0, config)
        folder = self._build(lab.kernel(kernel).image, memory, type, maxmem=maxmem)
        self.domain = lab.tmem_domain(folder / "vmlinuz", folder / "tmem.img")
        # What a user has, but for words added to the kernel's line: sysrq, to kill the service with, and the options.
        options = {"shards": "1", "poll-window-us": "1000", **dict(word.split("=", 1) for word in options.split())}
        words = " ".join(["panic=-1", QUICK, "sysrq_always_enabled", *[f"tmem.{key}={value}" for key, value in options.items()]])
        self.domain.config = (folder / "tmem.cfg").read_text().replace("panic=-1", words)
        self.create()
        if agent:
            self.start_agent()

    @classmethod
    def install(cls, lab, dom0, folder, memory=320):
        """The files as `tools/stubdom/build --out FOLDER` leaves them in dom0, and nothing started."""
        built = cls._build(lab.kernel("6.1").image, memory, "pvh", folder)
        dom0.run(f"mkdir -p {folder} /etc/xen && ln -s /lab/stubdom/{built.name}/* {folder}/ && touch /etc/xen/tmem.conf")

    @staticmethod
    def _build(kernel, memory, type_, at=None, maxmem=None):
        program = f"{BUILD}/{PROGRAMS['xen-tmemd']}/xen-tmemd"
        if not os.path.exists(program):
            raise Skip(f"{program} is not built; build it, or say where with TMEM_BUILD_DIR")
        with open(program, "rb") as file:
            name = digest(file.read(), (TOP / "tools/stubdom/build").read_bytes(), kernel, memory, type_, at, maxmem)
        call(TOP / "tools/stubdom/build", "--kernel", kernel, "--program", program, "--out", CACHE / "stubdom" / name, "--at", at or f"/lab/stubdom/{name}",
             "--memory", memory, "--type", type_, *(["--maxmem", maxmem] if maxmem else []))
        return CACHE / "stubdom" / name

    def create(self):
        """The domain starts; returns when its service serves."""
        start = len(self.domain.console)
        self.domain.create(wait=False)
        self.domain.wait_console("serving", start=start)

    def kill(self):
        """kill -9 of the service process, by the kernel that it runs on; returns when the next one serves."""
        start = len(self.domain.console)
        self.dom0.xl(f"sysrq {self.domain.domid} f")
        self.domain.wait_console("service died, restarting", start=start)
        self.domain.wait_console("serving .*recovered=1", start=start)


def state_of(service, name):
    """The state of the client of this name, or None where there is none."""
    return next((client["state"] for client in service.json("list")["clients"] if client["name"] == name), None)


def connected(guest_):
    """Waits until both ends of the guest's device say Connected."""
    guest_._dom0.xs_wait(guest_.path("device/tmem/0/state"), 4)


def swap_on(guest_, device="/dev/tmemswap0"):
    """A page is read alone, as is advised where reading costs no seek: the pressure program's order makes reading ahead a burden."""
    guest_.run(f"echo 0 >/proc/sys/vm/page-cluster; mkswap {shlex.quote(device)} && swapon {shlex.quote(device)}")


def disk_stat(guest_, name, disk="tmemswap0"):
    return int(guest_.run(f"cat /sys/block/{disk}/tmem/{name}").out)


def hello(lab, memory=112, kernel="6.1", type="pv"):
    """The tmem domain is up; a guest of an xl.cfg with tmem=1 and tmem_weight=150 swaps twice its memory, every word right; dom0 lists it,
    until it is gone."""
    # pylint: disable=redefined-builtin
    lab.kernel(kernel)
    lab.boot(customize=add_programs)
    service = Domain(lab, lab.dom0, memory=3 * memory)  # the job's pages shrink to three quarters
    guest_ = guest(lab, kernel=kernel, type=type, memory=memory, parameters=f"disksize_mb={2 * memory + 32}", config=["tmem=1", "tmem_weight=150"])
    guest_.create()
    connected(guest_)
    swap_on(guest_)
    work = guest_.start(f"pressure {2 * memory} 1")
    service.dom0.poll(lambda: disk_stat(guest_, "same_pages") > 100 or work.code is not None, 900, "pages that are one repeated word")
    lab.equal(work.code, None, "the job's end, before a page that is one repeated word was swapped; every eighth is")
    work.wait(timeout=1800)

    written = disk_stat(guest_, "num_writes")
    lab.expect(written > 10000, f"only {written} pages were swapped")
    lab.equal(disk_stat(guest_, "failed_reads"), 0, "failed reads")
    lab.equal(disk_stat(guest_, "failed_writes"), 0, "failed writes")
    lab.expect(disk_stat(guest_, "notify_free") > written // 2, "the swap system freed few of the slots that a job had which has ended")
    lab.expect(disk_stat(guest_, "same_pages") <= disk_stat(guest_, "pages_stored"), "same_pages did not fall with the pages")
    listed = service.clients()
    lab.expect(guest_.name in listed, f"dom0 does not list the guest but {sorted(listed)}")
    lab.equal(listed[guest_.name]["policy"]["weight"], 150, "the weight of its xl.cfg")

    def counts():
        return sum(pool["space"]["pages_persistent"] for pool in service.clients()[guest_.name]["pools"]), disk_stat(guest_, "pages_stored")

    service.dom0.poll(lambda: len(set(counts())) == 1, 60, "dom0 to list as many pages as the guest counts")
    guest_.must_live()

    guest_.destroy()
    for path in (f"{service.backend}/{guest_.domid}", f"/local/domain/{guest_.domid}", f"/libxl/{guest_.domid}"):
        service.dom0.xs_wait_gone(path)
    service.dom0.poll(lambda: not service.clients(), 60, "the client of a destroyed guest to be freed")
