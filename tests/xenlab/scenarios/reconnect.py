# SPDX-License-Identifier: MIT
"""Swap and files in tmem: service killed, guest saved and restored, tmem domain replaced, guest rebooted; a 5.10 kernel with both hooks."""

from lib import hooks, kernels, tmem
from lib.files import Files

KILLS = 3


def scenario(lab):
    kernel = kernels.hooks_kernel()
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("files", 64), lab.Disk("swap", 64)])
    service = tmem.Domain(lab, dom0)
    disks = f'disk=["phy:{dom0.disk("files")},xvda,w", "phy:{dom0.disk("swap")},xvdb,w"]'
    guest = hooks.guest(lab, kernel=kernel, module=kernels.module(kernel, lab.out), memory=56, cmdline=hooks.ROOT_STAYS,
                        config=["tmem=1", disks]).create()
    files = Files(lab, guest, count=8, mebibytes=3)
    # Open files keep their inodes: short of memory the kernel drops others, and with an inode what cleancache has of it.
    guest.start("exec sleep 1000000 " + " ".join(f"{number + 3}</files/f{number:02}" for number in range(7)))
    hooks.swap_on_disk(guest, "/dev/xvdb")
    hooks.load(guest, "reconnect_s=60")
    job = guest.start("exec pressure 32 1000000 7")
    goes_on(lab, dom0, guest, job, files, "at first")

    for number in range(KILLS):
        service.kill()
        goes_on(lab, dom0, guest, job, files, f"after kill {number + 1}")
    lab.equal(guest.console.count("connected to dom"), 1, "connections that the guest made")

    image = guest.save()
    guest.restore(image)
    tmem.connected(guest)
    goes_on(lab, dom0, guest, job, files, "after save and restore")
    lab.equal(hooks.count(guest, "frontswap_lost"), 0, "pages lost so far")

    connections = guest.console.count("connected to dom")
    service.domain.destroy()
    service.create()
    dom0.poll(lambda: guest.console.count("connected to dom") > connections, 300, "the guest to connect to the new domain")
    dom0.poll(lambda: job.code is not None, 900, "the job to miss a page")
    lab.equal((job.code, "is not" in job.out), (128 + 7, False), f"the job's end: SIGBUS and no wrong word ({job.out[-200:]})")
    job = guest.start("exec pressure 32 1000000 8")
    goes_on(lab, dom0, guest, job, files, "with the new domain")
    job.kill()
    rebooted(lab, dom0, service, guest, files)
    guest.must_live()


def rebooted(lab, dom0, service, guest, files):
    """Another boot is another life: nothing of before is there, and the disk's own bytes are read."""
    files.change()
    guest.run("sync", timeout=300)
    before = guest.domid
    dom0.xl(f"reboot {before}")
    dom0.poll(lambda: dom0.domains().get("g1", before) != before, 900, "the guest to come back from its reboot")
    guest.attach()
    guest.wait_ready()
    guest.run("mkdir -p /files")
    files.mount()
    hooks.load(guest)
    pools = service.clients()["g1"]["pools"]
    lab.equal(sum(pool["space"]["pages_persistent"] + pool["space"]["pages_ephemeral"] for pool in pools), 0, "pages of the boot before")
    files.read("after the reboot")


def goes_on(lab, dom0, guest, job, files, when):
    """Pages come from tmem, swapped ones and those of files, and the job still finds every word right."""
    for name in ("frontswap_loaded", "cleancache_get_hit"):
        more = hooks.count(guest, name) + 300
        for _ in range(20):
            files.read(when)
            if hooks.count(guest, name) > more:
                break
        lab.expect(hooks.count(guest, name) > more, f"{name} does not grow {when}\n{hooks.counters(guest)}")
    lab.equal(job.code, None, f"the job's end {when} ({job.out[-200:]})")
