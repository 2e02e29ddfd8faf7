# SPDX-License-Identifier: MIT
"""A kernel that checks its locks, lists, objects and memory comes and goes with swap and files in tmem, and has nothing to report; 5.10."""

import re

from lib import hooks, kernels, tmem
from lib.files import Files

REPORTS = r"possible (circular|recursive|irq lock)|inconsistent lock|suspicious RCU|sleeping function|scheduling while atomic|ODEBUG|list_(add|del)" \
    r"|BUG |held lock freed|locks? (still )?held|Invalid wait context|Poison overwritten|Redzone|kobject: .*(bad|tried)"


def scenario(lab):
    kernel = kernels.hooks_kernel(debug=True)
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("files", 64), lab.Disk("swap", 96)])
    service = tmem.Service(lab, dom0)
    disks = f'disk=["phy:{dom0.disk("files")},xvda,w", "phy:{dom0.disk("swap")},xvdb,w"]'
    guest = hooks.guest(lab, kernel=kernel, module=kernels.module(kernel, lab.out), type="pvh", memory=128,
                        config=["tmem=1", disks]).create()
    files = Files(lab, guest, count=8)
    hooks.swap_on_disk(guest, "/dev/xvdb")
    job = guest.start("exec pressure 64 1000000 7")
    job.wait_line("pages written", timeout=900)

    for _ in range(2):
        hooks.load(guest)
        files.read("with the module")
        files.write("f01")
        files.read("read from tmem")
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
    files.change()
    files.read("after changes")
    lab.equal(job.code, None, f"the job's end ({job.out[-200:]})")
    job.kill()
    guest.run("swapoff /dev/xvdb", timeout=600)
    found = re.search(REPORTS, guest.console)
    lab.expect(found is None, f"the kernel says {found and found[0]}\n{guest.tail()}")
    lab.expect(re.search(r"debug_locks:\s+1", guest.run("cat /proc/lockdep_stats").out), "the kernel has stopped checking its locks")
    guest.must_live()
