# SPDX-License-Identifier: MIT
"""/dev/tmemswap0 under fio --verify: writes, reads, trims, parts of pages; backing device, several disks, hot add and remove, limits."""

from lib import diskio, packages, tmem

MIB = 1 << 20


def scenario(lab):
    packages.ensure_tools("fio")
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("backing", 64), lab.Disk("second", 16)])
    service = tmem.Service(lab, dom0)
    guest = tmem.guest(lab, memory=384, vcpus=2, load=False, config=["tmem=1"], also=[diskio.FIO]).create(timeout=900)
    one_disk(lab, service, guest)
    backing = guest.plug_disk(dom0.disk("backing"))
    backed(lab, guest, backing)
    each_backed(lab, guest, backing, guest.plug_disk(dom0.disk("second"), "xvdc"))
    wrongly_backed(lab, guest, backing)
    several(lab, guest)
    partitioned(lab, guest)
    service_lost(lab, dom0, service, guest, backing)
    guest.must_live()


def load(guest, options):
    guest.run(f"insmod /root/tmem.ko verify=1 {options}")
    tmem.connected(guest)


def no_errors(lab, guest, disk="tmemswap0"):
    for name in ("failed_reads", "failed_writes", "lost_reads", "verify_failed"):
        lab.equal(tmem.disk_stat(guest, name, disk), 0, f"{name} of {disk}")


def one_disk(lab, service, guest):
    """No backing device: everything is in the service. Then a discard of the whole disk leaves nothing there."""
    load(guest, "disksize_mb=64")
    same_filled(lab, guest)
    diskio.fio(guest, "/dev/tmemswap0", "--rw=randrw", "--bs=4k", "--size=8M", "--ioengine=libaio", "--iodepth=32")
    diskio.fio(guest, "/dev/tmemswap0", "--rw=randtrimwrite", "--bs=4k", "--size=8M", "--ioengine=libaio", "--iodepth=32")
    diskio.fio(guest, "/dev/tmemswap0", "--rw=randwrite", "--bsrange=8k-64k", "--size=6M", "--ioengine=libaio", "--iodepth=8")
    diskio.fio(guest, "/dev/tmemswap0", "--rw=randwrite", "--bs=1536", "--size=3M", "--ioengine=psync")
    lab.expect(tmem.disk_stat(guest, "partial_io") > 1000, "no part of a page was written")
    lab.expect(tmem.disk_stat(guest, "discards") > 0, "nothing was trimmed")
    no_errors(lab, guest)
    stored = tmem.disk_stat(guest, "pages_stored")
    lab.equal(sum(pool["space"]["pages_persistent"] for pool in pools(service)), stored, "pages that dom0 sees, and the guest")
    guest.run("blkdiscard /dev/tmemswap0")
    lab.equal(tmem.disk_stat(guest, "pages_stored"), 0, "pages after blkdiscard")
    service.dom0.poll(lambda: sum(pool["space"]["pages_persistent"] for pool in pools(service)) == 0, 900, "the service to have dropped them")
    swapped_on_stays(lab, guest)
    guest.run("rmmod tmem")


def same_filled(lab, guest):
    """Pages that are one repeated word count for as long as they are there and are that."""
    for command, count in (("dd if=/dev/zero bs=4k count=6 oflag=direct of=/dev/tmemswap0", 6),
                           ("dd if=/dev/zero bs=4k count=1 oflag=direct of=/dev/tmemswap0", 6),
                           ("dd if=/dev/urandom bs=4k count=2 oflag=direct of=/dev/tmemswap0", 4),
                           ("blkdiscard /dev/tmemswap0", 0)):
        guest.run(f"{command} 2>/dev/null")
        lab.equal(tmem.disk_stat(guest, "same_pages"), count, f"same_pages after {command}")


def pools(service):
    return [pool for client in service.json("list")["clients"] for pool in client["pools"]]


def swapped_on_stays(lab, guest):
    tmem.swap_on(guest)
    lab.expect(guest.run("rmmod tmem", check=False).code != 0, "the module could be unloaded under a swap disk that is in use")
    lab.expect(guest.run("echo 0 > /sys/class/tmem-control/hot_remove", check=False).code != 0, "a disk in use could be removed")
    guest.run("swapoff /dev/tmemswap0")


def backed(lab, guest, backing):
    """What is above the limit goes to the backing device, and comes back from there; then write-through."""
    load(guest, f"disksize_mb=48 backing={backing}")
    guest.run("echo 4M > /sys/block/tmemswap0/tmem/mem_limit")
    diskio.fio(guest, "/dev/tmemswap0", "--rw=randtrimwrite", "--bs=4k", "--size=12M", "--ioengine=libaio", "--iodepth=16")
    no_errors(lab, guest)
    lab.expect(tmem.disk_stat(guest, "bdev_num_writes") > 1000, "the backing device was not used")
    # Each write looks at the limit by itself: those under way together may pass it together.
    lab.expect(tmem.disk_stat(guest, "orig_data_size") <= 4 * MIB + 256 * 4096, "the limit does not hold")
    guest.run("rmmod tmem")

    load(guest, f"disksize_mb=48 writethrough=1 backing={backing}")
    written = diskio.write_random(guest, "/dev/tmemswap0", 8)
    lab.equal(tmem.disk_stat(guest, "bdev_num_writes"), 2048, "pages written through")
    lab.equal(diskio.read_sum(guest, "/dev/tmemswap0", 8), written, "bytes of the disk")
    lab.equal(diskio.read_sum(guest, backing, 8), written, "bytes of the backing device")
    lab.equal(tmem.disk_stat(guest, "bdev_num_reads"), 0, "pages read from the backing device though the service has them")
    guest.run("rmmod tmem")


def each_backed(lab, guest, *backing):
    """Every disk has a backing device of its own; one that is removed and made again has it again."""
    load(guest, f"disks=2 disksize_mb=16 writethrough=1 backing={','.join(backing)}")
    for again in (False, True):
        if again:
            guest.run("echo 1 > /sys/class/tmem-control/hot_remove")
            lab.equal(guest.run("cat /sys/class/tmem-control/hot_add").out.strip(), "1", "the number of the disk that is made again")
        for number, device in enumerate(backing):
            written = diskio.write_random(guest, f"/dev/tmemswap{number}", 2)
            lab.equal(diskio.read_sum(guest, device, 2), written, f"bytes of disk {number}'s backing device")
    guest.run("rmmod tmem")
    load(guest, f"disks=2 disksize_mb=16 writethrough=1 backing=,{backing[1]}")
    diskio.write_random(guest, "/dev/tmemswap0", 1)
    diskio.write_random(guest, "/dev/tmemswap1", 1)
    lab.equal([tmem.disk_stat(guest, "bdev_num_writes", f"tmemswap{number}") for number in (0, 1)], [0, 256], "pages written through")
    guest.run("rmmod tmem")


def wrongly_backed(lab, guest, backing):
    """A module that finds one of its backing devices missing does not load, and holds on to none of the others."""
    for devices in ("/dev/none", f"{backing},/dev/none", f"/dev/none,{backing}"):
        refused = guest.run(f"insmod /root/tmem.ko disks=2 disksize_mb=16 backing={devices}", check=False)
        lab.expect(refused.code != 0, f"the module was loaded with backing={devices}")
        lab.equal(guest.run("ls /dev | grep -c tmemswap", check=False).out.strip(), "0", "disks of a module that did not load")
    guest.run(f"mkswap {backing} && swapon {backing} && swapoff {backing}")


def partitioned(lab, guest):
    """The disk has no partitions, whatever is written to it: a slot that is freed is named by its place in the swap area."""
    load(guest, "disksize_mb=16")
    entry = r"\200\0\1\0\203\0\1\0\10\0\0\0\0\20\0\0"     # 4096 sectors from the eighth on
    guest.run(f"{{ head -c 446 /dev/zero; printf '{entry}'; head -c 48 /dev/zero; printf '\\125\\252'; }} | dd of=/dev/tmemswap0 oflag=direct bs=512 iflag=fullblock")
    guest.run("blockdev --rereadpt /dev/tmemswap0", check=False)
    lab.equal(guest.run("ls -d /sys/block/tmemswap0/tmemswap0* 2>/dev/null | wc -l").out.strip(), "0", "partitions of the swap disk")
    guest.run("rmmod tmem")


def service_lost(lab, dom0, service, guest, backing):
    """The service goes with its memory while pages that it had are written again. But for those that it was lent memory for ahead, as many as
    a queue has credits, they go to the backing device, and are read from there."""
    load(guest, f"disksize_mb=16 backing={backing}")
    diskio.write_random(guest, "/dev/tmemswap0", 2)
    lab.equal(tmem.disk_stat(guest, "pages_stored"), 512, "pages that the service has")
    service.daemon.kill()
    again = guest.start("""dd if=/dev/urandom of=/tmp/again bs=4k count=512 2>/dev/null && dd if=/tmp/again of=/dev/tmemswap0 bs=4k oflag=direct 2>/dev/null &&
        dd if=/tmp/again bs=4k skip=32 2>/dev/null | md5sum""")
    guest.run("sleep 2")        # it waits; and if not, that is right as well
    tmem.Service(lab, dom0, agent=False)
    written = again.wait().out
    read = guest.run("set -o pipefail; dd if=/dev/tmemswap0 bs=4k skip=32 count=480 iflag=direct 2>/dev/null | md5sum").out
    lab.equal(read, written, "bytes of the pages that were written when there was no credit left")
    guest.run("rmmod tmem")


def several(lab, guest):
    """Two disks at once and a third by hot add; a limit without backing device makes errors of further writes, and of those only."""
    load(guest, "disks=2 disksize_mb=16")
    number = guest.run("echo 32 > /sys/module/tmem/parameters/disksize_mb && cat /sys/class/tmem-control/hot_add").out.strip()
    lab.equal(number, "2", "the number of the hot-added disk")
    lab.equal(tmem.disk_stat(guest, "disksize", "tmemswap2"), 32 * MIB, "its size")
    diskio.fio(guest, "/dev/tmemswap0:/dev/tmemswap1:/dev/tmemswap2", "--rw=randtrimwrite", "--bs=4k", "--size=9M",
               "--ioengine=libaio", "--iodepth=16")
    for disk in ("tmemswap0", "tmemswap1", "tmemswap2"):
        no_errors(lab, guest, disk)
    lab.expect(guest.run("sh -c 'exec 3</dev/tmemswap2; echo 2 > /sys/class/tmem-control/hot_remove'", check=False).code != 0,
               "an open disk could be removed")
    guest.run("echo 2 > /sys/class/tmem-control/hot_remove && ! test -e /sys/block/tmemswap2")

    guest.run("blkdiscard /dev/tmemswap1 && echo 4M > /sys/block/tmemswap1/tmem/mem_limit")
    written = diskio.write_random(guest, "/dev/tmemswap1", 4)
    beyond = guest.run("dd if=/dev/urandom of=/dev/tmemswap1 bs=4k seek=2000 count=1 oflag=direct 2>&1", check=False)
    lab.expect(beyond.code != 0, "a write above the limit did not fail")
    lab.equal(diskio.readable(guest, "/dev/tmemswap1", [2000]), [], "a page whose write failed")
    lab.equal(diskio.read_sum(guest, "/dev/tmemswap1", 4), written, "the bytes below the limit")
    guest.run("rmmod tmem")
