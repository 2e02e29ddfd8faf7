# SPDX-License-Identifier: MIT
"""A domain beside dom0: its image, its xl configuration, its console, and commands run in it.

Its console is relayed by agent/relay in dom0; the relay carries the guest's agent. A domain with an image of its own making (a
tmem domain, say) has no agent: wait_console() works on it, run() does not.
"""

from .agent import Agent
from .base import CACHE, PATIENCE, LabError
from .dom0 import CLIENTS
from .images import Image
from .machine import QUICK

MODULES = ["xen-gntalloc", "xen-evtchn", "xen-gntdev", "xen-privcmd", "xenfs", "xen-blkfront", "zram"]
STEPS = "mount -t xenfs xenfs /proc/xen"


def image(kernel, modules=()):
    """A guest's initramfs: busybox, the xenstore clients, the usual modules and those named besides; add to it, then pack."""
    built = Image()
    for client in CLIENTS:
        built.program(client)
    for module in kernel.modules([*MODULES, *modules]):
        built.module(module)
    return built.init("/dev/hvc0", STEPS)


def _inside(path):
    """Where dom0 sees a file of the cache."""
    return f"/lab/{path.relative_to(CACHE)}"


class Guest(Agent):
    """One domain. It is described when made, and exists from create() on."""

    def __init__(self, machine, name, kernel, initrd, *, type="pv", memory=128, vcpus=1, cmdline="", config=()):
        # pylint: disable=redefined-builtin
        super().__init__(name, machine.changed, machine.out / f"{name}.log")
        self._dom0, self._relay = machine.dom0, None
        self.domid = None
        self.config_path = f"/etc/xen/{name}.cfg"
        lines = [f'name="{name}"', f'type="{type}"', f'kernel="{_inside(kernel)}"', f'ramdisk="{_inside(initrd)}"',
                 f"memory={memory}", f"vcpus={vcpus}", f'extra="console=hvc0 quiet panic=-1 {QUICK} sysrq_always_enabled {cmdline}"', 'on_crash="destroy"']
        if type == "pvh":
            lines.append('tsc_mode="native"')   # without it the emulated CPU would have to intercept rdtsc
        self.config = "".join(f"{line}\n" for line in [*lines, *config])

    def create(self, wait=True, arguments="", timeout=PATIENCE):
        """xl create. Started paused and let go once its console is being read, so that nothing of it is lost."""
        self._dom0.write_file(self.config_path, self.config)
        self._dom0.xl(f"create -p {self.config_path} {arguments}", timeout)
        self.attach()
        self._dom0.xl(f"unpause {self.domid}")
        if wait:
            self.wait_ready(timeout)
        return self

    def attach(self):
        """Takes up the console of the domain that now has this name (after a create, a restore, a reboot)."""
        self.domid = int(self._dom0.xl(f"domid {self.name}").out)
        self._relay = None
        relay = self._dom0.start(f"exec relay {self.domid}", on_output=self.feed, on_exit=self._closed)
        self._relay = relay
        self.connect(relay.write)

    def _closed(self, relay):
        if relay is self._relay:
            self.disconnect(f"its console closed (domain {self.domid} is gone)")

    def path(self, node=""):
        """A node of this domain in xenstore, as dom0 names it."""
        return f"/local/domain/{self.domid}/{node}".rstrip("/")

    def xs_read(self, node):
        return self._dom0.xs_read(self.path(node))

    def exists(self):
        return self.name in self._dom0.domains()

    def wait_gone(self, timeout=PATIENCE):
        """Waits until xl no longer lists the domain."""
        self._dom0.run(f"while xl domid {self.name} >/dev/null 2>&1; do sleep 0.2; done", timeout)

    def destroy(self):
        self._dom0.xl(f"destroy {self.domid}")

    def shutdown(self, timeout=PATIENCE):
        """Asks the guest's kernel to power off, and waits until it has."""
        self._dom0.xl(f"shutdown {self.domid}")
        self.wait_gone(timeout)

    def save(self, arguments="", path=None, timeout=PATIENCE):
        """xl save; returns the image's path in dom0. With "-c" the guest goes on running."""
        path = path or f"/var/lib/xen/{self.name}.save"
        self._dom0.xl(f"save {arguments} {self.domid} {path}", timeout)
        return path

    def restore(self, path, timeout=PATIENCE):
        """xl restore; the guest's agent answers again when this returns."""
        self._dom0.xl(f"restore -p {path}", timeout)
        self.attach()
        self._dom0.xl(f"unpause {self.domid}")
        self.wait_ready(timeout)

    def set_memory(self, megabytes):
        self._dom0.xl(f"mem-set {self.domid} {megabytes}")

    def memory(self):
        """/proc/meminfo as a dictionary, in KiB."""
        return {line.split(":")[0]: int(line.split()[1]) for line in self.run("cat /proc/meminfo").lines}

    def wait_memory(self, field, accept, timeout=PATIENCE):
        """Waits until a field of /proc/meminfo, in KiB, is accepted by the function; returns it."""
        value = []

        def poll():
            value[:] = [self.memory()[field]]
            return accept(value[0])

        self._dom0.poll(poll, timeout, f"{self.name}: {field} of /proc/meminfo")
        return value[0]

    def plug_disk(self, device, vdev="xvdb"):
        """Gives the guest a block device of dom0 through blkback, and waits for it to appear."""
        self._dom0.xl(f'block-attach {self.domid} "phy:{device},{vdev},w"')
        self.run(f"until [ -b /dev/{vdev} ]; do sleep 0.1; done")
        return f"/dev/{vdev}"

    def must_live(self):
        """Fails when the guest no longer answers or has said that its kernel is in trouble."""
        self.run("true")
        for trouble in ("BUG:", "Oops", "Kernel panic", "INFO: task", "WARNING:"):
            if trouble in self.console:
                raise LabError(f"{self.name}: the kernel says {trouble}\n{self.tail()}")
