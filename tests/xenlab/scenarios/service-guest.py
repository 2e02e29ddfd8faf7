# SPDX-License-Identifier: MIT
"""xen-tmemd as a plain program of an ordinary guest: another guest swaps into it, killed or not, and dom0 lists its pools."""

from lib import tmem


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs)
    place = lab.guest("services", customize=tmem.add_programs, memory=320).create()
    service = tmem.Service(lab, dom0, inside=place)
    guest = tmem.guest(lab, memory=128, config=["tmem=1"]).create()
    tmem.connected(guest)
    tmem.swap_on(guest)
    swaps = guest.start("exec pressure 72 2 2>&1")
    dom0.poll(lambda: tmem.disk_stat(guest, "num_writes") > 1000, 300, "the guest to swap")
    service.kill()
    lab.equal(swaps.wait(900).code, 0, "what the guest had swapped out, with the service killed meanwhile")
    for failed in ("failed_reads", "failed_writes"):
        lab.equal(tmem.disk_stat(guest, failed), 0, failed)
    lab.equal(service.json("info")["restarts"], 1, "restarts of the service")
    lab.expect("g1" in service.clients(), f"dom0 does not list the guest but {sorted(service.clients())}")
    guest.destroy()
    dom0.xs_wait_gone(f"{service.backend}/{guest.domid}")
    dom0.poll(lambda: not service.clients(), 60, "the client of a destroyed guest to be freed")
    place.must_live()
