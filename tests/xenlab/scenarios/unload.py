# SPDX-License-Identifier: MIT
"""rmmod under pressure with thousands of pages in tmem, and again: each time all come back, every word right; stock 5.10."""

from lib import hooks, tmem

ROUNDS = 3


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("swap", 512)])
    tmem.Service(lab, dom0)
    guest = hooks.guest(lab, memory=128, config=["tmem=1", f'disk=["phy:{dom0.disk("swap")},xvda,w"]']).create()
    hooks.swap_on_disk(guest)
    job = guest.start("pressure 100 1000000 7")
    for number in range(ROUNDS):
        hooks.load(guest)
        dom0.poll(lambda: hooks.count(guest, "frontswap_pages") > 1000, 900, "1000 pages in tmem")
        busy = guest.run("rmmod tmem", check=False)
        lab.expect(busy.code != 0, "the module went away over pages that are only in tmem")
        hooks.unload(guest, timeout=600)
        seen = len(job.out)
        dom0.poll(lambda: "pass" in job.out[seen:] or job.code is not None, 900, f"a whole pass after unload {number + 1}")
        lab.equal(job.code, None, f"the job's end ({job.out[-200:]})")
    job.kill()
    guest.run("swapoff /dev/xvda", timeout=600)
    guest.must_live()
