# SPDX-License-Identifier: MIT
"""Files were read before the module came: read again, they come from tmem; never stale; a 5.10 kernel with cleancache."""

from lib import hooks, kernels, tmem

FILES = 20                                    # of 4 MiB, in a guest that cannot keep them all
OUTSIDE = "debugfs -R 'blocks f07' {disk} 2>/dev/null | tr ' ' '\\n' | head -1"


class Files:
    """Files on the guest's disk, and the sums that they must have."""

    def __init__(self, guest):
        self._guest, self._sums = guest, {}
        guest.run("mkdir -p /files && mke2fs -F /dev/xvda && mount -t ext4 /dev/xvda /files", timeout=300)
        for number in range(FILES):
            self.write(f"f{number:02}")
        guest.run("sync", timeout=300)

    def write(self, name):
        """New contents; the sum is taken of what never was on the disk."""
        made = self._guest.run(f"dd if=/dev/urandom of=/run/new bs=1M count=4 && md5sum </run/new && cp /run/new /files/{name} && rm /run/new",
                               timeout=300)
        self.has(name, made.out.split()[0])

    def has(self, name, sum_):
        self._sums[name] = sum_

    def moved(self, name, to):
        self._sums[to] = self._sums.pop(name)

    def read(self, lab, when):
        """Reads every file; returns how many sectors of the disk that took."""
        before = hooks.sectors(self._guest)[0]
        lines = self._guest.run("cd /files && md5sum f*", timeout=900).lines
        lab.equal({line.split()[1]: line.split()[0] for line in lines}, self._sums, f"sums {when}")
        return hooks.sectors(self._guest)[0] - before


def customize(image):
    tmem.add_programs(image)
    image.program("/sbin/debugfs")


def change(guest, files):
    """Every way of changing a file while pages of before are in tmem."""
    files.write("f03")
    shorter = guest.run("(head -c 1048576 /files/f04; head -c 3145728 /dev/zero) | md5sum").out.split()[0]
    guest.run("truncate -s 1M /files/f04 && truncate -s 4M /files/f04")
    files.has("f04", shorter)
    guest.run("rm /files/f05 && mv /files/f06 /files/f05")
    files.moved("f06", "f05")


def change_outside(guest, dom0, files):
    """A block of a file is written in dom0 while the guest has the disk unmounted."""
    disk = dom0.disk("files")
    guest.run("umount /files", timeout=300)
    block = int(dom0.run(OUTSIDE.format(disk=disk)).out)
    size = 4096 if "4096" in dom0.run(f"debugfs -R stats {disk} 2>/dev/null | grep '^Block size'").out else 1024
    dom0.run(f"dd if=/dev/zero of={disk} bs={size} seek={block} count=1 conv=notrunc,fsync")
    guest.run("mount -t ext4 /dev/xvda /files")
    files.has("f07", dom0.run(f"debugfs -R 'cat f07' {disk} 2>/dev/null | md5sum", timeout=300).out.split()[0])


def scenario(lab):
    kernel = kernels.hooks_kernel()
    dom0 = lab.boot(customize=customize, disks=[lab.Disk("files", 128)])
    tmem.Service(lab, dom0)
    guest = hooks.guest(lab, kernel=kernel, module=kernels.module(kernel, lab.out), memory=96,
                        config=["tmem=1", f'disk=["phy:{dom0.disk("files")},xvda,w"]']).create()
    files = Files(guest)
    files.read(lab, "before the module came")
    cold = files.read(lab, "read twice before the module came")

    hooks.load(guest)
    files.read(lab, "with the module")
    warm = files.read(lab, "read from tmem")
    lab.expect(hooks.count(guest, "cleancache_get_hit") > 1000, "not even 1000 pages came from tmem")
    lab.expect(warm * 2 < cold, f"{warm} sectors are read with tmem, {cold} without")
    (lab.out / "figures").write_text(f"{cold} sectors read without tmem, {warm} with it: a factor of {cold / max(warm, 1):.1f}\n")

    change(guest, files)
    files.read(lab, "after changes")
    files.read(lab, "after changes, evicted once more")
    guest.run("umount /files && mount -t ext4 /dev/xvda /files", timeout=300)
    files.read(lab, "after a remount")
    change_outside(guest, dom0, files)
    files.read(lab, "after a change outside")
    guest.run("rmmod tmem", timeout=300)
    files.read(lab, "without the module")
    guest.must_live()
