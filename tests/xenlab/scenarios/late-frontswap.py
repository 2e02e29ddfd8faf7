# SPDX-License-Identifier: MIT
"""Swap is on and in use when the module comes: old pages are read from the disk, new ones go to tmem, every word right; stock 5.10."""

from lib import hooks, tmem


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("swap", 512)])
    tmem.Service(lab, dom0)
    guest = hooks.guest(lab, memory=96, config=["tmem=1", f'disk=["phy:{dom0.disk("swap")},xvda,w"]']).create()
    hooks.swap_on_disk(guest)
    job = guest.start("pressure 48 1 7")
    job.wait_line("pages written", timeout=900)
    lab.expect(hooks.sectors(guest)[1] > 8 * 1000, "less than 1000 pages were swapped to the disk before the module came")

    hooks.load(guest)
    read_before = hooks.sectors(guest)[0]
    job.wait_line("every word right", timeout=1800)
    lab.expect(hooks.sectors(guest)[0] - read_before > 8 * 500, "the pages of before were not read from the disk")
    stored, loaded = hooks.count(guest, "frontswap_stored"), hooks.count(guest, "frontswap_loaded")
    lab.expect(stored > 1000, f"only {stored} pages went to tmem")
    lab.expect(loaded > 500, f"only {loaded} pages came from tmem")
    lab.equal(hooks.count(guest, "frontswap_lost"), 0, "pages lost")

    job.wait()
    guest.run("swapoff /dev/xvda")
    lab.equal(hooks.count(guest, "frontswap_pages"), 0, "pages left after swapoff")
    guest.must_live()
