# SPDX-License-Identifier: MIT
"""Files were read before the module came: read again, they come from tmem; never stale; a 5.10 kernel with cleancache."""

from lib import hooks, kernels, tmem
from lib.files import Files

OUTSIDE = "debugfs -R 'blocks f07' {disk} 2>/dev/null | tr ' ' '\\n' | head -1"


def customize(image):
    tmem.add_programs(image)
    image.program("/sbin/debugfs")


def change_outside(guest, dom0, files):
    """A block of a file is written in dom0 while the guest has the disk unmounted."""
    disk = dom0.disk("files")
    files.unmount()
    block = int(dom0.run(OUTSIDE.format(disk=disk)).out)
    size = 4096 if "4096" in dom0.run(f"debugfs -R stats {disk} 2>/dev/null | grep '^Block size'").out else 1024
    dom0.run(f"dd if=/dev/zero of={disk} bs={size} seek={block} count=1 conv=notrunc,fsync")
    files.mount()
    files.has("f07", dom0.run(f"debugfs -R 'cat f07' {disk} 2>/dev/null | md5sum", timeout=300).out.split()[0])


def remount_again_and_again(lab, guest, service, files):
    """Each time that it is remounted to be written, ext4 asks for a pool: the one of before must go. There are 64 places."""
    guest.run("""for i in $(seq 70); do
        mount -o remount,ro /files && mount -o remount,rw /files && echo 1 >/proc/sys/vm/drop_caches && head -c 4096 /files/f00 >/dev/null || exit
        done""", timeout=900)
    lab.equal(len(service.clients()["g1"]["pools"]), 1, "pools of a guest with one file system")
    files.read("after many remounts")
    before = hooks.count(guest, "cleancache_get_hit")
    files.read("after many remounts, again")
    lab.expect(hooks.count(guest, "cleancache_get_hit") > before + 1000, f"no pages from tmem after many remounts\n{hooks.counters(guest)}")


def on_the_swap_disk(lab, guest):
    """Who puts a page into cleancache, with the page cache's lock, may find that writes of the same file to this disk have ended."""
    hooks.load(guest, "disks=1 disksize_mb=40")
    files = Files(lab, guest, device="/dev/tmemswap0", count=10, mebibytes=3)
    files.change()
    for _ in range(2):
        files.write("f08")
        files.read("of the swap disk")
    lab.expect(hooks.count(guest, "cleancache_get_hit") > 0, f"no page of the swap disk's files came from tmem\n{hooks.counters(guest)}")
    files.unmount()
    guest.run("rmmod tmem", timeout=300)


def scenario(lab):
    kernel = kernels.hooks_kernel()
    dom0 = lab.boot(customize=customize, disks=[lab.Disk("files", 64)])
    service = tmem.Service(lab, dom0)
    guest = hooks.guest(lab, kernel=kernel, module=kernels.module(kernel, lab.out), memory=48,
                        config=["tmem=1", f'disk=["phy:{dom0.disk("files")},xvda,w"]']).create()
    files = Files(lab, guest, count=10, mebibytes=3)     # more than the guest can keep
    files.read("before the module came")
    cold = files.read("read twice before the module came")

    hooks.load(guest)
    files.read("with the module")
    warm = files.read("read from tmem")
    lab.expect(hooks.count(guest, "cleancache_get_hit") > 1000, f"not even 1000 pages came from tmem\n{hooks.counters(guest)}")
    (lab.out / "figures").write_text(f"{cold} sectors read without tmem, {warm} with it: a factor of {cold / max(warm, 1):.1f}\n{hooks.counters(guest)}")
    lab.expect(warm * 3 < cold * 2, f"{warm} sectors are read with tmem, {cold} without\n{hooks.counters(guest)}")

    files.change()
    files.read("after changes")
    files.read("after changes, evicted once more")
    files.unmount()
    files.mount()
    files.read("after a remount")
    remount_again_and_again(lab, guest, service, files)
    change_outside(guest, dom0, files)
    files.read("after a change outside")
    guest.run("rmmod tmem", timeout=300)
    files.read("without the module")
    files.unmount()
    on_the_swap_disk(lab, guest)
    guest.must_live()
