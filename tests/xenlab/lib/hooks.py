# SPDX-License-Identifier: MIT
"""Guests whose kernel has frontswap or cleancache, with the module at hand and not loaded."""

from pathlib import Path

from . import tmem

COUNTERS = "/sys/kernel/tmem"
# For a guest that will lose pages: the programs in its root are not among them.
ROOT_STAYS = "rootfstype=ramfs"


def guest(lab, name="g1", kernel="5.10", module=None, programs=("pressure",), also=None, **options):
    """A guest with tmem_hooks.ko and tmem.ko in /root. `kernel` may be a Kernel; then `module` says where its tmem.ko is. `also` is
    called with the image."""
    path = Path(module or tmem.module(kernel, lab.out))

    def customize(image):
        for file in ("tmem_hooks.ko", "tmem.ko"):
            image.add(f"/root/{file}", path.with_name(file).read_bytes())
        if also:
            also(image)

    return lab.guest(name, kernel=kernel, programs=list(programs), customize=customize, **options)


def swap_on_disk(guest_, device="/dev/xvda"):
    """A swap area on an emulated disk. A page is read alone: the order of the pressure program makes reading ahead a burden."""
    guest_.run(f"echo 0 >/proc/sys/vm/page-cluster; mkswap {device} && swapon {device}")


def load(guest_, parameters=""):
    """What modprobe does."""
    guest_.run(f"[ -d /sys/module/tmem_hooks ] || insmod /root/tmem_hooks.ko; insmod /root/tmem.ko disks=0 {tmem.POLL_GUEST} {parameters}")
    tmem.connected(guest_)


def unload(guest_, timeout):
    """What `modprobe -r` does with the line that the package brings for it: first all pages come back."""
    guest_.run("echo 0 >/sys/module/tmem/parameters/frontswap", timeout=timeout)
    guest_.run(f"rmmod tmem || {{ grep tmem /proc/modules; grep . {COUNTERS}/*; exit 1; }}")


def works_on(lab, dom0, job):
    """The pressure program gets through a whole pass from here, every word right."""
    seen = len(job.out)
    dom0.poll(lambda: job.out[seen:].count("pass") > 1 or job.code is not None, 900, "a whole pass")
    lab.equal(job.code, None, f"the job's end ({job.out[-200:]})")


def counters(guest_):
    """All of them, for who wants to know why."""
    return guest_.run(f"cd {COUNTERS} && grep . *_*", check=False).out


def count(guest_, name):
    return int(guest_.run(f"cat {COUNTERS}/{name}").out)


def sectors(guest_, device="xvda"):
    """Sectors read and written so far."""
    words = guest_.run(f"cat /sys/block/{device}/stat").out.split()
    return int(words[2]), int(words[6])
