# SPDX-License-Identifier: MIT
"""Module before attach, attach after swapon, detach and attach under load, module loaded anew: the guest never minds."""

import re

from lib import diskio, tmem

DISK = "/dev/tmemswap0"
UTIL_LINUX = ("mkswap", "swapon", "swapoff")     # as Debian has them: busybox's know fewer options
UNIT = tmem.TOP / "guest-shim/linux/boot/tmemswap@.service"


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("backing", 192)])
    service = tmem.Service(lab, dom0)
    guest = tmem.guest(lab, memory=128, vcpus=2, load=False, also=[f"/usr/sbin/{name}" for name in UTIL_LINUX]).create()
    for name in UTIL_LINUX:
        guest.run(f"ln -s /bin/{name} /sbin/{name}")
    module_first(lab, dom0, guest)
    attached_after_swapon(lab, dom0, service, guest)
    guest.must_live()


def wish(dom0, guest, word):
    """What an operator does by hand: the agent attaches and detaches as this says."""
    dom0.xs_write(f"/tool/xen-tmem/guest/{guest.domid}", word)


def attach(dom0, guest):
    wish(dom0, guest, "attach")
    dom0.xs_wait(guest.path("device/tmem/0/state"), 4)


def detach(dom0, guest):
    wish(dom0, guest, "detach")
    dom0.xs_wait_gone(guest.path("device/tmem/0"))


def module_first(lab, dom0, guest):
    """A disk without a service refuses writes and reads as zeros; attached, it works; the module may go and come again."""
    guest.run("insmod /root/tmem.ko disks=40 disksize_mb=1")
    lab.equal(guest.run("ls -d /sys/block/tmemswap* | wc -l").out.strip(), "32", "swap disks, when more than the most are asked for")
    guest.wait_console("at most 32 swap disks")
    guest.run("rmmod tmem")
    guest.run("insmod /root/tmem.ko disksize_mb=32")
    refused = guest.run(f"dd if=/dev/zero of={DISK} bs=4k count=1 oflag=direct", check=False)
    lab.expect(refused.code != 0, "a write without a service did not fail")
    lab.equal(diskio.readable(guest, DISK, [0, 1, 2]), [1, 2], "pages that were never written, beside one whose write failed")
    lab.expect(unit(guest, "ExecStart").code != 0, "the unit for swap at boot, without a service, did not fail: it would not be tried again")
    attach(dom0, guest)
    swap_at_boot(lab, guest)
    written = diskio.write_random(guest, DISK, 4)
    lab.equal(diskio.read_sum(guest, DISK, 4), written, "bytes after the attach")
    guest.run("rmmod tmem && insmod /root/tmem.ko disksize_mb=32")
    dom0.xs_wait(guest.path("device/tmem/0/state"), 4)
    written = diskio.write_random(guest, DISK, 4)
    lab.equal(diskio.read_sum(guest, DISK, 4), written, "bytes after the module was loaded anew")
    detach(dom0, guest)
    lab.equal(diskio.readable(guest, DISK, [0, 1023]), [], "pages that went with the service")
    guest.run("rmmod tmem")


def unit(guest, key):
    """The unit's lines of this key, as systemd runs them: until one fails."""
    lines = re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return guest.run(" && ".join(lines).replace("%i", DISK.rpartition("/")[2]), check=False)


def swap_at_boot(lab, guest):
    """What the example of a unit does: swap at its priority, and none at the end."""
    for key, wanted in (("ExecStart", [[DISK, "100"]]), ("ExecStop", [])):
        done = unit(guest, key)
        lab.equal(done.code, 0, f"{key} of {UNIT.name} ({done.err})")
        swaps = [[line.split()[0], line.split()[-1]] for line in guest.run("cat /proc/swaps").lines[1:]]
        lab.equal(swaps, wanted, f"swap areas and their priorities after {key}")


def attached_after_swapon(lab, dom0, service, guest):
    """Swapping to the backing device first, then to the service as well, then twice detached and attached; every word right."""
    backing = guest.plug_disk(dom0.disk("backing"))
    guest.run(f"insmod /root/tmem.ko disksize_mb=160 verify=1 writethrough=1 backing={backing}")
    tmem.swap_on(guest)
    work = guest.start("pressure 110 2")
    dom0.poll(lambda: tmem.disk_stat(guest, "bdev_num_writes") > 1000, 900, "the guest to swap to the backing device")
    lab.equal(tmem.disk_stat(guest, "pages_stored"), 0, "pages in a service that is not attached")
    for _ in range(2):
        attach(dom0, guest)
        dom0.poll(lambda: tmem.disk_stat(guest, "pages_stored") > 1000, 900, "the guest to swap to the service")
        detach(dom0, guest)
        dom0.poll(lambda: not service.json("list")["clients"], 900, "the pools of a detached guest to be freed")
    attach(dom0, guest)
    work.wait(timeout=1800)
    for name in ("failed_reads", "failed_writes", "lost_reads", "verify_failed"):
        lab.equal(tmem.disk_stat(guest, name), 0, name)
    lab.expect("still holds" not in guest.console, "the service kept pages of the guest mapped after it had closed")
