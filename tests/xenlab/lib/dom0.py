# SPDX-License-Identifier: MIT
"""dom0: its initramfs and what a scenario does in it: xl, xenstore, files, the xenstore daemon of its choice."""

import shlex
import time

from .agent import Agent
from .base import LAB, PATIENCE, LabError
from .images import XEN_TOOLS, Image

MODULES = ["xen-privcmd", "xenfs", "xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-blkback",
           "virtio_pci", "virtio_blk", "9pnet_virtio", "9p", "virtio_console"]
TOOLS = ["xl", "xenstored", "oxenstored", "xenstore-control", "xenconsoled", "xenconsole", "xen-init-dom0", "libxl-save-helper", "lsevtchn"]
CLIENTS = [f"/usr/bin/xenstore-{verb}" for verb in ("read", "write", "list", "ls", "exists", "rm", "chmod", "watch")]
STORES = {"c": "xenstored --pid-file /run/xenstored.pid", "ocaml": "oxenstored --pid-file /run/xenstored.pid"}
DAEMONS = "xen-init-dom0 && xenconsoled --pid-file=/run/xenconsoled.pid"

# /lab is the cache (kernels and images of guests), /out the scenario's output directory, both of the machine that runs the lab.
STEPS = """mount -t xenfs xenfs /proc/xen
mkdir -p /lab /out /run/xen /run/xenstored /run/lock /var/lib/xen /var/lib/xenstored /var/lock /var/log/xen
mount -t 9p -o trans=virtio,version=9p2000.L,msize=131072,cache=loose,ro lab /lab
mount -t 9p -o trans=virtio,version=9p2000.L,msize=131072,cache=mmap out /out
"""


def image(kernel):
    """dom0's initramfs; a scenario may add to it before it is packed."""
    built = Image()
    for name in TOOLS:
        built.program(f"{XEN_TOOLS}/bin/{name}")
    for client in CLIENTS:
        built.program(client)
    for module in kernel.modules(MODULES):
        built.module(module)
    built.add("/etc/xen/xl.conf").add("/etc/xen/scripts/block", LAB / "agent" / "block")
    built.add("/bin/relay", LAB / "agent" / "relay")
    built.add("/etc/xen/oxenstored.conf", _host_oxenstored_conf())
    return built.init("/dev/vport0p1", STEPS)


def _host_oxenstored_conf():
    with open("/etc/xen/oxenstored.conf", encoding="utf-8") as conf:
        return conf.read()


class Dom0(Agent):
    """dom0 as an agent to run commands with, and the shorthands for what scenarios do most."""

    def __init__(self, changed, out):
        super().__init__("dom0", changed, out / "dom0.log")
        self.store = None

    def start_xen(self, store):
        """Starts the xenstore daemon ("c" or "ocaml"), then what xl needs beside it."""
        if store not in STORES:
            raise LabError(f"xenstore daemon {store!r} is none of {', '.join(STORES)}")
        self.run(f"{STORES[store]} && {DAEMONS}")
        self.store = store

    def xl(self, arguments, timeout=PATIENCE, check=True):
        return self.run(f"xl {arguments}", timeout, check)

    def domains(self):
        """Name -> id of the domains that xl lists."""
        return {line.split()[0]: int(line.split()[1]) for line in self.xl("list").lines[1:]}

    def xs_read(self, path):
        """The value of a xenstore node, as it is, or None where there is none."""
        result = self.run(f"xenstore-read -R {shlex.quote(path)}", check=False)
        return result.out.rstrip("\n") if result.code == 0 else None

    def xs_write(self, path, value):
        self.run(f"xenstore-write {shlex.quote(path)} {shlex.quote(str(value))}")

    def xs_rm(self, path):
        self.run(f"xenstore-rm {shlex.quote(path)}")

    def xs_chmod(self, path, *permissions):
        """Sets permissions: owner first, as in xs_chmod("@releaseDomain", "n0", "r3")."""
        self.run(f"xenstore-chmod {shlex.quote(path)} {' '.join(permissions)}")

    def xs_list(self, path):
        """Names below a node; empty where there is none."""
        return self.run(f"xenstore-list {shlex.quote(path)}", check=False).lines

    def xs_ls(self, path="/"):
        """The tree below a node with permissions, as text."""
        return self.run(f"xenstore-ls -fp {shlex.quote(path)}", check=False).out

    def xs_wait(self, path, value=None, timeout=PATIENCE):
        """Waits until a node exists and, where a value is given, has it; returns the value."""
        want = "" if value is None else f' && [ "$v" = {shlex.quote(str(value))} ]'
        loop = f"until v=$(xenstore-read {shlex.quote(path)} 2>/dev/null){want}; do sleep 0.5; done; echo \"$v\""
        process = self.start(loop)
        try:
            return process.wait(timeout).out.rstrip("\n")
        except LabError as error:
            raise LabError(f"xenstore: {path} is {self.xs_read(path)!r}, not {value!r} in {timeout} s") from error
        finally:
            if process.code is None and not self.broken:
                process.kill()

    def xs_wait_gone(self, path, timeout=PATIENCE):
        """Waits until a node does not exist."""
        self.run(f"while xenstore-exists {shlex.quote(path)}; do sleep 0.5; done", timeout)

    @staticmethod
    def poll(condition, timeout, what):
        """Asks again and again until the condition holds; fails naming what was waited for. Asking takes a third of the time at most."""
        end = time.monotonic() + timeout
        while True:
            asked = time.monotonic()
            if condition():
                return
            now = time.monotonic()
            if now > end:
                raise LabError(f"waited {timeout} s for {what}")
            time.sleep(max(0.2, 2 * (now - asked)))

    def disk(self, name):
        """The block device of one of the machine's disks (QEMU gives its name as serial number)."""
        found = self.run(f"grep -lx {shlex.quote(name)} /sys/block/vd*/serial", check=False).lines
        if not found:
            raise LabError(f"dom0 sees no disk {name}")
        return f"/dev/{found[0].split('/')[3]}"
