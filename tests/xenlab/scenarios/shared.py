# SPDX-License-Identifier: MIT
"""Two guests read one ocfs2: what one of them evicts the other finds in their shared pool, if dom0 allows; a 5.10 kernel with cleancache."""

from lib import hooks, kernels, packages, tmem

UUID = "5eed0000-1234-4678-9abc-def000000001"
# Formatted for one machine at a time, it needs no cluster; and none is needed by who only reads.
FORMAT = f"ln -sf /proc/mounts /etc/mtab && mkfs.ocfs2 -M local -b 4096 -C 4096 -N 1 -J size=4M -U {UUID} -F -x"
FILES, MEBIBYTES = 10, 3    # more than a guest can keep
PAGES = FILES * MEBIBYTES * 256
SUMS = "cd /files && md5sum f*"


def customize(image):
    tmem.add_programs(image)
    image.program("/sbin/mkfs.ocfs2")


def fill(lab, dom0, kernel):
    """A guest without tmem writes the files; their sums."""
    disk = dom0.disk("files")
    dom0.run(f"{FORMAT} {disk}", timeout=300)
    writer = lab.guest("writer", kernel=kernel, memory=96, config=[f'disk=["phy:{disk},xvda,w"]']).create()
    writer.run("mkdir /files && mount -t ocfs2 /dev/xvda /files")
    writer.run(f"for i in $(seq 10 {9 + FILES}); do dd if=/dev/urandom of=/files/f$i bs=1M count={MEBIBYTES} 2>/dev/null || exit; done", timeout=600)
    sums = writer.run(SUMS, timeout=300).lines
    writer.run("umount /files", timeout=300)
    writer.destroy()
    return sums


class Reader:
    """A guest with the file system mounted to be read only."""

    def __init__(self, lab, dom0, kernel, module, name, sums, allowed=""):
        self._lab, self._sums = lab, sums
        self.guest = hooks.guest(lab, name, kernel=kernel, module=module, memory=48,
                                 config=["tmem=1", allowed, f'disk=["phy:{dom0.disk("files")},xvda,r"]']).create()
        self.guest.run("mkdir /files")
        self.mount()
        hooks.load(self.guest)

    def mount(self):
        self.guest.run("mount -t ocfs2 -o ro /dev/xvda /files")

    def unmount(self):
        self.guest.run("umount /files", timeout=300)

    def forget_files(self):
        """The kernel drops the inodes, and flushes them."""
        self.guest.run("echo 3 >/proc/sys/vm/drop_caches", timeout=300)

    def read(self, when):
        """Every byte is right; returns how many pages came from tmem."""
        before = hooks.count(self.guest, "cleancache_get_hit")
        self._lab.equal(self.guest.run(SUMS, timeout=900).lines, self._sums, f"{self.guest.name}'s sums {when}")
        return hooks.count(self.guest, "cleancache_get_hit") - before


def shared_pool(service, name):
    """What the service has of the pool by the name of one of its members; None: that client has none."""
    pools = [pool for pool in service.clients()[name]["pools"] if pool["shared"]]
    return pools[0] if pools else None


def scenario(lab):
    packages.ensure_tools("ocfs2-tools")
    kernel = kernels.hooks_kernel()
    module = kernels.module(kernel, lab.out)
    dom0 = lab.boot(customize=customize, disks=[lab.Disk("files", 80)])
    service = tmem.Service(lab, dom0)
    sums = fill(lab, dom0, kernel)

    first = Reader(lab, dom0, kernel, module, "g1", sums, f'tmem_shared=["{UUID}"]')
    lab.equal(shared_pool(service, "g1")["uuid"], UUID, "the pool's uuid")
    first.read("at first")
    lab.expect(first.read("again") > PAGES // 8, f"g1 finds next to nothing of its own\n{hooks.counters(first.guest)}")

    second = Reader(lab, dom0, kernel, module, "g2", sums)
    lab.equal(second.read("without a pool"), 0, "pages that g2 got of a pool that it was not allowed")
    lab.equal(shared_pool(service, "g2"), None, "the pool of a guest that was not allowed one")
    second.unmount()
    service.ctl(f"shared-auth g2 {UUID} allow")
    second.mount()
    lab.equal(shared_pool(service, "g2")["sharers"], 2, "members of the pool")
    got = second.read("with g1's pool")
    lab.expect(got > PAGES // 8, f"g2 got {got} pages, of {PAGES}, that g1 had put\n{hooks.counters(second.guest)}")

    second.forget_files()
    left = shared_pool(service, "g1")["space"]["pages_ephemeral"]
    lab.expect(left < PAGES // 8, f"{left} pages are left in the pool after g2 flushed its files")
    first.read("after g2 flushed them")
    first.guest.destroy()
    dom0.poll(lambda: "g1" not in service.clients(), 120, "g1 to be gone from the service")
    lab.equal(shared_pool(service, "g2")["sharers"], 1, "members of the pool after g1's end")
    second.read("after g1's end")
    second.unmount()
    lab.equal(shared_pool(service, "g2"), None, "the pool after the last umount")
    (lab.out / "figures").write_text(f"{got} of {PAGES} pages came from the other guest\n{hooks.counters(second.guest)}")
    second.guest.must_live()
