# SPDX-License-Identifier: MIT
"""Files on a guest's disk, and the sums that they must have."""

from . import hooks


class Files:
    """Random files f00, f01 ... on an ext4 of the guest's disk, mounted at /files. Its blocks are pages: else there is no cleancache."""

    def __init__(self, lab, guest, device="/dev/xvda", count=10, mebibytes=4):
        self._lab, self._guest, self._sums = lab, guest, {}
        self.device, self.mebibytes = device, mebibytes
        guest.run(f"mkdir -p /files && mke2fs -b 4096 -F {device} && mount -t ext4 {device} /files", timeout=300)
        for number in range(count):
            self.write(f"f{number:02}")
        guest.run("sync", timeout=300)

    def write(self, name):
        """New contents; the sum is taken of what never was on the disk."""
        made = self._guest.run(f"""dd if=/dev/urandom of=/run/new bs=1M count={self.mebibytes} 2>/dev/null && md5sum </run/new &&
            cp /run/new /files/{name} && rm /run/new""", timeout=300)
        self.has(name, made.out.split()[0])

    def has(self, name, sum_):
        self._sums[name] = sum_

    def moved(self, name, to):
        self._sums[to] = self._sums.pop(name)

    def read(self, when):
        """Reads every file, each must be right; returns how many sectors of the disk that took."""
        before = hooks.sectors(self._guest, self.device.removeprefix("/dev/"))[0]
        lines = self._guest.run("cd /files && md5sum f*", timeout=900).lines
        self._lab.equal({line.split()[1]: line.split()[0] for line in lines}, self._sums, f"sums {when}")
        return hooks.sectors(self._guest, self.device.removeprefix("/dev/"))[0] - before

    def change(self):
        """Every way of changing a file while pages of before are in tmem."""
        self.write("f03")
        whole, kept = self.mebibytes << 20, 1 << 20
        shorter = self._guest.run(f"(head -c {kept} /files/f04; head -c {whole - kept} /dev/zero) | md5sum").out.split()[0]
        self._guest.run(f"truncate -s {kept} /files/f04 && truncate -s {whole} /files/f04")
        self.has("f04", shorter)
        self._guest.run("rm /files/f05 && mv /files/f06 /files/f05")
        self.moved("f06", "f05")

    def unmount(self):
        self._guest.run("umount /files", timeout=300)

    def mount(self):
        self._guest.run(f"mount -t ext4 {self.device} /files", timeout=300)
