# SPDX-License-Identifier: MIT
"""A kernel that checks its sleeps, lists, objects and memory: module and swap disk come and go, guest, service and tmem domain too, nothing is reported; 5.10."""

import re

from lib import hooks, kernels, tmem
from lib.files import Files

REPORTS = r"BUG[: ]|WARNING: |scheduling while atomic|ODEBUG|list_(add|del) corruption|Poison overwritten|Redzone|kobject: .*(bad|tried)|cut here"


def scenario(lab):
    kernel = kernels.hooks_kernel(debug=True)
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("files", 64), lab.Disk("swap", 96)])
    service = tmem.Domain(lab, dom0)
    disks = f'disk=["phy:{dom0.disk("files")},xvda,w", "phy:{dom0.disk("swap")},xvdb,w"]'
    guest = hooks.guest(lab, kernel=kernel, module=kernels.module(kernel, lab.out), memory=128,
                        cmdline=hooks.ROOT_STAYS, config=["tmem=1", disks]).create()
    files = Files(lab, guest, count=8)
    hooks.swap_on_disk(guest, "/dev/xvdb")
    job = guest.start("exec pressure 88 1000000 7")
    job.wait_line("pages written", timeout=900)

    for number in range(2):
        hooks.load(guest)
        files.read("with the module")
        files.write("f01")
        files.read("read from tmem")
        if number == 0:
            files.change()
            files.read("after changes")
        dom0.poll(lambda: hooks.count(guest, "frontswap_loaded") > 300, 900, "pages that come from tmem")
        service.kill()
        files.read("after the service was killed")
        files.unmount()
        files.mount()
        files.read("after a remount")
        image = guest.save()
        guest.restore(image)
        tmem.connected(guest)
        more = hooks.count(guest, "frontswap_loaded") + 100
        dom0.poll(lambda more=more: hooks.count(guest, "frontswap_loaded") > more, 900, "pages that come from tmem after save and restore")
        hooks.unload(guest, timeout=900)
    swap_disk(lab, dom0, service, guest)
    lab.equal(job.code, None, f"the job's end ({job.out[-200:]})")

    hooks.load(guest, "reconnect_s=5")
    dom0.poll(lambda: hooks.count(guest, "frontswap_pages") > 1000, 900, "pages in tmem again")
    service.domain.destroy()
    dom0.poll(lambda: job.code is not None, 900, "the job to miss a page")
    lab.equal((job.code, "is not" in job.out), (128 + 7, False), f"the job's end: SIGBUS and no wrong word ({job.out[-200:]})")
    files.read("after the tmem domain has gone")
    hooks.unload(guest, timeout=900)
    guest.run("swapoff /dev/xvdb", timeout=600)
    found = re.search(REPORTS, guest.console)
    lab.expect(found is None, f"the kernel says {found and found[0]}\n{guest.tail()}")
    guest.must_live()


def swap_disk(lab, dom0, service, guest):
    """A swap disk under the same pressure, while the service is killed and the guest saved; what is freed is flushed, and the module leaves."""
    guest.run(f"insmod /root/tmem.ko disksize_mb=96 verify=1 frontswap=0 cleancache=0 {tmem.POLL_GUEST}")
    tmem.connected(guest)
    guest.run("mkswap /dev/tmemswap0 && swapon /dev/tmemswap0 && swapoff /dev/xvdb", timeout=900)
    for disturb in (service.kill, lambda: guest.restore(guest.save()), lambda: None):
        enough = tmem.disk_stat(guest, "num_reads") + 300
        dom0.poll(lambda enough=enough: tmem.disk_stat(guest, "num_reads") > enough, 900, "pages read from the swap disk")
        disturb()
    hooks.swap_on_disk(guest, "/dev/xvdb")
    guest.run("swapoff /dev/tmemswap0", timeout=900)
    lab.expect(tmem.disk_stat(guest, "notify_free") > 300, "the swap system freed few slots")
    for name in ("failed_reads", "failed_writes", "verify_failed"):
        lab.equal(tmem.disk_stat(guest, name), 0, name)
    guest.run("blkdiscard /dev/tmemswap0")
    lab.equal(tmem.disk_stat(guest, "pages_stored"), 0, "pages after a discard of the whole disk")
    guest.run("rmmod tmem")
