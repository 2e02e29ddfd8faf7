# SPDX-License-Identifier: MIT
"""Emulated disks of dom0 reach a guest through blkback, hot-plugged and from its configuration; a throttled one is slow."""

import time

MEGABYTES = 64
IOPS = 100
READS = 300


def scenario(lab):
    dom0 = lab.boot(disks=[lab.Disk("slow", MEGABYTES, iops=IOPS), lab.Disk("fast", MEGABYTES)])
    guest = lab.guest("g1", memory=160, config=[f'disk=["phy:{dom0.disk("fast")},xvda,w"]']).create()
    slow = guest.plug_disk(dom0.disk("slow"), "xvdb")
    for name, device in (("fast", "/dev/xvda"), ("slow", slow)):
        lab.equal(guest.run(f"cat /sys/block/{device[5:]}/size").out.strip(), str(MEGABYTES * 2048), f"sectors of {device}")
        check_bytes(lab, dom0, guest, dom0.disk(name), device)
    start = time.monotonic()
    guest.run(f"dd if={slow} of=/dev/null bs=4k count={READS} iflag=direct 2>/dev/null")
    # A bound from below only: a busy machine makes it longer, nothing makes it shorter. A tenth of a second may come as a burst.
    least, elapsed = (READS - IOPS / 10 - 1) / IOPS, time.monotonic() - start
    lab.expect(elapsed >= least, f"{READS} reads from a disk of {IOPS} per second took {elapsed:.2f} s")
    guest.run("mkswap /dev/xvda && swapon /dev/xvda && swapoff /dev/xvda")
    dom0.xl(f"block-detach {guest.domid} xvdb")
    guest.run("while [ -e /sys/block/xvdb ]; do sleep 0.1; done")
    guest.must_live()


def check_bytes(lab, dom0, guest, device, vdev):
    """What the guest writes past every cache, dom0 reads from the device."""
    sums = guest.run(f"""dd if=/dev/urandom of=/tmp/data bs=64k count=16 2>/dev/null
        dd if=/tmp/data of={vdev} bs=64k seek=3 oflag=direct 2>/dev/null && md5sum </tmp/data""").out
    lab.equal(dom0.run(f"dd if={device} bs=64k skip=3 count=16 iflag=direct 2>/dev/null | md5sum").out, sums, f"bytes on {vdev}")
