# SPDX-License-Identifier: MIT
"""Disks of dom0 that stand to the emulated processor as an SSD stands to this machine's own.

The emulator translates loops almost one to one; what it is slow at is what the kernel does: faults, switches, interrupts. Swapping
is made of that, so processors are compared by a page fault that needs no device.
"""

import subprocess

READ_US = 90        # a read of 4 KiB from a good SATA or a cheap NVMe disk, one at a time
PARALLEL = 8        # writes are many at a time: it takes so many more of them


def slowdown(lab):
    """How much longer a page fault takes on the emulated processor than on this machine's own. The least of several runs each."""
    def least(run):
        return min(float(run().split("=")[1]) for _ in range(5))

    native = least(lambda: subprocess.run([lab.program("swapbench"), "fault"], capture_output=True, text=True, check=True).stdout)
    lab.boot(label="calibrate", programs=["swapbench"])
    return least(lambda: lab.dom0.run("swapbench fault").out) / native


def reads_per_second(slower):
    return int(1e6 / (READ_US * slower))


def disk(lab, name, megabytes, slower):
    reads = reads_per_second(slower)
    return lab.Disk(name, megabytes, iops_read=reads, iops_write=reads * PARALLEL)
