# SPDX-License-Identifier: MIT
"""One emulated machine: QEMU (TCG, no hardware virtualisation), Xen, dom0.

Owns the QEMU process, its serial port (Xen's and dom0's console, kept in xen.log) and the virtio port that dom0's agent answers
on. One thread reads the port; everything else happens in the scenario's thread.
"""

import atexit
import gzip
import os
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass

from . import dom0, packages
from .base import CACHE, PATIENCE, LabError, call, digest, publish

# SMAP: a PV dom0 dies at its first page fault. rdtscp: emulated SVM cannot decode its intercept (a PVH guest dies). xsave:
# vector registers lose their words at context switches (scenario `registers`), so that sums come out wrong and processes die.
CPU = "max,-smap,-rdtscp,-xsave"
# For kernels on an emulated processor: a retpoline costs it three look-ups of translated code, and a cleared page a thousand stores.
QUICK = "mitigations=off init_on_alloc=0 audit=0"
XEN_OPTIONS = "console=com1 com1=115200,8n1 loglvl=info guest_loglvl=info bootscrub=0 dom0_max_vcpus=2 spec-ctrl=no"
DOM0_OPTIONS = f"console=hvc0 quiet panic=-1 {QUICK}"


@dataclass
class Disk:
    """A disk of dom0, throttled by QEMU so that it is as slow as a real one; 0 means no limit."""

    name: str
    megabytes: int
    iops: int = 0
    iops_read: int = 0      # instead of iops: of reads alone
    iops_write: int = 0
    bytes_per_second: int = 0


def _plain(xen):
    """QEMU loads multiboot images uncompressed only."""
    data = xen.read_bytes()
    target = CACHE / "programs" / f"xen-{digest(data)}"
    return target if target.exists() else publish(target, lambda path: path.write_bytes(gzip.decompress(data)))


class Machine:
    """A booted machine. `dom0` is how a scenario talks to it; stop() ends it."""

    def __init__(self, out, image, kernel, memory=3072, dom0_memory=768, disks=(), xen_options=""):
        self.out, self.stopped = out, False
        self.console, console_end = socket.socketpair()
        self._port, port_end = socket.socketpair()
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self.dom0 = dom0.Dom0(self._changed, out)
        self.dom0.connect(self._send)
        command = self._command(image, kernel, memory, dom0_memory, xen_options, console_end.fileno(), port_end.fileno())
        command += [word for disk in disks for word in self._disk(disk)]
        with open(out / "qemu.log", "w", encoding="utf-8") as log:
            self._qemu = subprocess.Popen(  # pylint: disable=consider-using-with
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=(console_end.fileno(), port_end.fileno()), start_new_session=True)
        atexit.register(self.stop)      # also when the run is interrupted or told to end
        console_end.close()
        port_end.close()
        threading.Thread(target=self._read, daemon=True).start()

    def _command(self, image, kernel, memory, dom0_memory, xen_options, console_fd, port_fd):
        xen = f"dom0_mem={dom0_memory}M,max:{dom0_memory}M {XEN_OPTIONS} {xen_options}"
        return ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", CPU, "-smp", "2", "-m", memory, "-display", "none",
                "-nodefaults", "-no-reboot", "-no-user-config",
                "-kernel", _plain(packages.hypervisor()), "-append", xen, "-initrd", f"{kernel.image} {DOM0_OPTIONS},{image}",
                "-chardev", f"socket,id=console,fd={console_fd},logfile={self.out / 'xen.log'}", "-serial", "chardev:console",
                "-chardev", f"socket,id=agent,fd={port_fd}", "-device", "virtio-serial-pci,max_ports=2",
                "-device", "virtserialport,chardev=agent,name=agent,nr=1",
                "-virtfs", f"local,path={CACHE},mount_tag=lab,security_model=none,readonly=on,multidevs=remap",
                "-virtfs", f"local,path={self.out},mount_tag=out,security_model=none,multidevs=remap"]

    def _disk(self, disk):
        path = self.out / f"{disk.name}.disk"
        call("truncate", "-s", f"{disk.megabytes}M", path)
        limits = "".join(f",throttling.{key}={value}" for key, value in (
            ("iops-total", disk.iops), ("iops-read", disk.iops_read), ("iops-write", disk.iops_write),
            ("bps-total", disk.bytes_per_second)) if value)
        return ["-drive", f"if=none,id={disk.name},file={path},format=raw,cache=unsafe,discard=unmap{limits}",
                "-device", f"virtio-blk-pci,drive={disk.name},serial={disk.name}"]

    def _send(self, data):
        with self._sending:
            self._port.sendall(data)

    def _read(self):
        while True:
            try:
                data = self._port.recv(65536)
            except OSError:
                data = b""
            with self._changed:
                if not data:
                    self.dom0.disconnect("the machine has stopped (see xen.log and qemu.log)")
                    return
                self.dom0.feed(data)

    @property
    def changed(self):
        """The condition variable that all agents of this machine share."""
        return self._changed

    def drain_console(self):
        """Keeps the first serial port from filling up while nobody is attached to it; QEMU writes xen.log by itself."""
        self.console.setblocking(False)

        def drain():
            while not self.stopped:
                try:
                    if not self.console.recv(65536):
                        return
                except BlockingIOError:
                    time.sleep(0.1)
                except OSError:
                    return

        threading.Thread(target=drain, daemon=True).start()

    def wait_ready(self, timeout=PATIENCE):
        try:
            self.dom0.wait_ready(timeout)
        except LabError as error:
            text = (self.out / "xen.log").read_text(errors="replace") if (self.out / "xen.log").exists() else ""
            log = (self.out / "qemu.log").read_text(errors="replace")
            raise LabError("\n".join([f"dom0 does not come up: {error}", log, *text.splitlines()[-25:]])) from error

    def stop(self):
        """Ends QEMU. Safe to call twice."""
        self.stopped = True
        if self._qemu.poll() is None:
            os.killpg(self._qemu.pid, signal.SIGKILL)
        self._qemu.wait()
        for end in (self.console, self._port):
            end.close()
