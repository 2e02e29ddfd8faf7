# SPDX-License-Identifier: MIT
"""The tmem domain is destroyed under a guest that writes through to a disk of its own: nothing is lost, and nobody waits for long."""

from lib import tmem


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("spill", 160)])
    service = tmem.Domain(lab, dom0)
    guest = tmem.guest(lab, memory=144, load=False, config=["tmem=1"]).create()
    spill = guest.plug_disk(dom0.disk("spill"))
    guest.run(f"insmod /root/tmem.ko disksize_mb=160 backing={spill} writethrough=1 reconnect_s=600 {tmem.POLL_GUEST}")
    tmem.connected(guest)
    tmem.swap_on(guest)
    work = guest.start("exec pressure 72 1000000 7")
    dom0.poll(lambda: tmem.disk_stat(guest, "pages_stored") > 2000, 900, "pages in tmem")
    service.domain.destroy()

    # Its patience is for pages that only the service has.
    goes_on(lab, dom0, guest, work)
    service.create()
    dom0.poll(lambda: guest.console.count("connected to dom") == 2, 300, "the guest to connect to the new tmem domain")
    lab.expect(tmem.disk_stat(guest, "pages_stored") < 2000, "pages of the domain that is gone count as stored")
    goes_on(lab, dom0, guest, work)
    dom0.poll(lambda: tmem.disk_stat(guest, "pages_stored") > 2000, 900, "pages in the new tmem domain")
    work.kill()
    guest.run("swapoff /dev/tmemswap0", timeout=600)
    dom0.poll(lambda: service.json("list")["clients"][0]["space"]["pages_persistent"] == 0, 60, "the service to be told of pages that are free")
    guest.must_live()


def goes_on(lab, dom0, guest, work):
    """A whole pass, every word right, without an error."""
    seen = len(work.out)
    dom0.poll(lambda: work.out[seen:].count("pass") > 1 or work.code is not None, 900, "a whole pass")
    lab.equal(work.code, None, f"the job's end ({work.out[-200:]})")
    for name in ("failed_reads", "failed_writes", "lost_reads"):
        lab.equal(tmem.disk_stat(guest, name), 0, name)
