# SPDX-License-Identifier: MIT
"""Guests with xen-selfballoond, and what dom0 sees of their memory."""

import os

from . import tmem
from .base import Skip

DAEMON = "tools/selfballoon/xen-selfballoond"
KEYS = "memory/tmem/selfballoon"
REPORT = "data/tmem/selfballoon"


def add_daemon(image):
    path = f"{tmem.BUILD}/{DAEMON}"
    if not os.path.exists(path):
        raise Skip(f"{path} is not built; build it, or say where with TMEM_BUILD_DIR")
    image.program(path, "/usr/sbin/xen-selfballoond")


def guest(lab, name="g1", kernel="6.1", module=False, load=True, also=(), **options):
    """A guest with the daemon, and with the guest module where it is to swap into tmem: loaded by its init, or lying at /root/tmem.ko."""
    driver = tmem.module(kernel, lab.out) if module else None

    def customize(image):
        add_daemon(image)
        if driver and load:
            image.module(driver, tmem.POLL_GUEST)
        elif driver:
            with open(driver, "rb") as file:
                image.add("/root/tmem.ko", file.read())

    return lab.guest(name, kernel=kernel, programs=["pressure", *also], customize=customize, **options)


def start(guest_, arguments="--debug"):
    """The daemon in the guest; returns when it has reported its state to dom0."""
    daemon = guest_.start(f"exec xen-selfballoond {arguments} 2>&1")
    guest_._dom0.xs_wait(guest_.path(f"{REPORT}/state"))
    return daemon


def tune(guest_, key, value):
    guest_._dom0.xs_write(guest_.path(f"{KEYS}/{key}"), value)


def words(text):
    """A report node as a dictionary; reason= goes to the end."""
    head, found, reason = (text or "").partition("reason=")
    pairs = dict(word.split("=", 1) for word in head.split())
    return {**pairs, "reason": reason} if found else pairs


def log(guest_):
    """The latest moves of the balloon: (time, from, to, why), in KiB."""
    lines = [line.split(" ", 3) for line in (guest_.xs_read(f"{REPORT}/log") or "").splitlines()]
    return [(int(time), int(from_), int(to), why) for time, from_, to, why in lines]


def state(guest_):
    return words(guest_.xs_read(f"{REPORT}/state"))


def decision(guest_):
    return words(guest_.xs_read(f"{REPORT}/decision"))


def settled(guest_):
    """The daemon sees nothing to do."""
    return decision(guest_)["reason"].split(":")[0] in ("settled", "at the floor", "holds")


def current_kib(guest_):
    """What the guest has of the host's memory, as its balloon tells."""
    return int(guest_.run("cat /sys/devices/system/xen_memory/xen_memory0/info/current_kb").out)


def uptime(guest_):
    return float(guest_.run("cat /proc/uptime").out.split()[0])


def host_free_mib(dom0):
    """What Xen has free: what guests say of their balloons does not count here."""
    return int(dom0.run("xl info free_memory").out)


def must_have_memory(lab, guest_):
    """Nothing was killed for want of memory."""
    lab.expect("Out of memory" not in guest_.console and "oom-kill" not in guest_.console, f"{guest_.name} met its OOM killer\n{guest_.tail()}")
    guest_.must_live()
