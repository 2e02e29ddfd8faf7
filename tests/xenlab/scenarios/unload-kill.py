# SPDX-License-Identifier: MIT
"""While pages are brought back the service is killed, then its domain destroyed: what can come comes, and no word is wrong; stock 5.10."""

from lib import hooks, tmem

KILLS = 3
SWITCH = "/sys/module/tmem/parameters/frontswap"


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("swap", 96)])
    service = tmem.Domain(lab, dom0)
    guest = hooks.guest(lab, memory=96, cmdline=hooks.ROOT_STAYS, config=["tmem=1", f'disk=["phy:{dom0.disk("swap")},xvda,w"]']).create()
    hooks.swap_on_disk(guest)
    guest.run("mkdir /shared && mount -t tmpfs shared /shared && dd if=/dev/urandom of=/shared/file bs=64k count=48 2>/dev/null")
    job = guest.start("exec pressure 64 1000000 7")
    hooks.load(guest, "reconnect_s=5")
    for number in range(KILLS):
        walk = half_way(lab, dom0, guest)
        service.kill()
        walk.wait(timeout=600)
        lab.equal(hooks.count(guest, "frontswap_pages"), 0, "pages that did not come back")
        lab.equal(job.code, None, f"the job's end after kill {number + 1} ({job.out[-200:]})")
        guest.run(f"echo 1 >{SWITCH}")

    walk = half_way(lab, dom0, guest, begun=lambda: job.kill(19))   # a job that runs misses a page, and its end frees all of them
    service.domain.destroy()
    lab.expect(walk.wait(timeout=600, check=False).code != 0, "pages of a domain that is gone were brought back")
    lab.expect(hooks.count(guest, "frontswap_pages") > 0, "the pages of a domain that is gone are forgotten")
    job.kill(18)
    lab.expect(job.code is None or "is not" not in job.out, f"the job was given other bytes: {job.out[-200:]}")
    dom0.poll(lambda: job.code is not None, 900, "the job to miss a page")
    lab.equal((job.code, "is not" in job.out), (128 + 7, False), f"the job's end: SIGBUS and no wrong word ({job.out[-200:]})")
    guest.run("umount /shared")         # its pages are lost too
    hooks.unload(guest, timeout=600)
    guest.run("swapoff /dev/xvda", timeout=600)
    guest.must_live()


def half_way(lab, dom0, guest, begun=lambda: None):
    """Bringing pages back has begun, and most of three thousand are still in tmem."""
    dom0.poll(lambda: hooks.count(guest, "frontswap_pages") > 3000, 900, "3000 pages in tmem")
    begun()
    start = len(guest.console)
    walk = guest.start(f"echo 0 >{SWITCH}")
    guest.wait_console("bringing pages back", start=start)
    lab.expect(hooks.count(guest, "frontswap_pages") > 1000, "the pages came back before anything was killed")
    return walk
