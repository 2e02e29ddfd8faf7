# SPDX-License-Identifier: MIT
"""verify=1: a page that somebody changed on the backing device is an error when it is read, never other bytes; written anew it is right again."""

from lib import diskio, tmem

DISK = "/dev/tmemswap0"
CHANGED = [7, 8]


def scenario(lab):
    dom0 = lab.boot(disks=[lab.Disk("backing", 16)])
    guest = tmem.guest(lab, load=False).create()        # no service: every page is on the backing device, and only there
    backing = guest.plug_disk(dom0.disk("backing"))
    guest.run(f"insmod /root/tmem.ko disksize_mb=16 verify=1 backing={backing}")
    written = diskio.write_random(guest, DISK, 1)
    lab.equal(diskio.read_sum(guest, DISK, 1), written, "bytes of the disk")
    lab.equal(tmem.disk_stat(guest, "verify_failed"), 0, "pages whose sum is wrong, before any is")

    dom0.run(f"dd if=/dev/urandom of={dom0.disk('backing')} bs=4k seek={CHANGED[0]} count={len(CHANGED)} oflag=direct 2>/dev/null")
    lab.equal(diskio.readable(guest, DISK, range(6, 10)), [6, 9], "pages that can be read, of four of which two were changed")
    part = guest.run(f"dd if=/dev/zero of={DISK} bs=512 seek={CHANGED[0] * 8} count=1 oflag=direct 2>&1", check=False)
    lab.expect(part.code != 0, "a part of a page was written whose other part is not to be had")
    for name in ("verify_failed", "failed_reads"):
        lab.equal(tmem.disk_stat(guest, name), 3, name)

    guest.run(f"dd if=/dev/urandom of={DISK} bs=4k seek={CHANGED[0]} count=1 oflag=direct 2>/dev/null")
    lab.equal(diskio.readable(guest, DISK, CHANGED), CHANGED[:1], "pages that can be read, of two of which one was written anew")
    guest.run(f"blkdiscard {DISK}")
    lab.equal(diskio.readable(guest, DISK, CHANGED), CHANGED, "pages that can be read after a discard, as zeros")
    guest.run("rmmod tmem")
    guest.must_live()
