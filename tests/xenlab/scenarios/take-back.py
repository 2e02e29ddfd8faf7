# SPDX-License-Identifier: MIT
"""dom0 asks a guest to take pages back, and detaches it: all come back, every word right, another guest waits for nothing; stock 5.10."""

from lib import hooks, tmem


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("swap1", 64), lab.Disk("swap2", 64)])
    service = tmem.Service(lab, dom0)
    guest, other = (start(lab, dom0, name, disk) for name, disk in (("g1", "swap1"), ("g2", "swap2")))
    job, neighbour = (one.start("exec pressure 40 1000000 7") for one in (guest, other))
    for one in (guest, other):
        dom0.poll(lambda one=one: hooks.count(one, "frontswap_pages") > 1000, 900, "1000 pages in tmem")

    # 2 MiB may stay; after it the guest stores again.
    service.ctl("take-back g1 2M --timeout 600")
    dom0.poll(lambda: hooks.count(guest, "frontswap_pages") > 1000, 900, "1000 pages in tmem again")
    lab.equal(dom0.xs_read(guest.path("memory/tmem/pages-target")), None, "the request after its end")

    # A request that is withdrawn ends, and what has not come stays.
    dom0.xs_write(guest.path("memory/tmem/pages-target"), 0)
    dom0.poll(lambda: "busy=1" in (guest.xs_read("device/tmem/0/pages-back") or ""), 300, "the guest to begin")
    dom0.xs_rm(guest.path("memory/tmem/pages-target"))
    dom0.poll(lambda: "busy=0" in guest.xs_read("device/tmem/0/pages-back"), 300, "the guest to stop")
    dom0.poll(lambda: hooks.count(guest, "frontswap_pages") > 1000, 900, "1000 pages in tmem once more")

    detach = dom0.start("xen-tmemctl detach g1 --timeout 600")
    loaded = hooks.count(other, "frontswap_loaded")
    dom0.poll(lambda: hooks.count(other, "frontswap_loaded") > loaded + 200, 900, "the other guest's pages to come meanwhile")
    detach.wait(timeout=900)
    lab.equal(tmem.state_of(service, "g1"), None, "the detached guest as a client")
    lab.equal(hooks.count(guest, "frontswap_pages"), 0, "pages left after detach")
    lab.equal(hooks.count(guest, "frontswap_lost"), 0, "pages lost")

    for one in (job, neighbour):
        hooks.works_on(lab, dom0, one)
    for one in (guest, other):
        one.must_live()


def start(lab, dom0, name, disk):
    guest = hooks.guest(lab, name, memory=96, config=["tmem=1", f'disk=["phy:{dom0.disk(disk)},xvda,w"]']).create()
    hooks.swap_on_disk(guest)
    hooks.load(guest)
    return guest
