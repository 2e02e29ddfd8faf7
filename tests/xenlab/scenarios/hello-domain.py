# SPDX-License-Identifier: MIT
"""A guest swaps into the tmem domain, every word right; dom0 lists it by name to many at once, and cleans up after it."""

from lib import tmem


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs)
    service = tmem.Domain(lab, dom0)
    guest = tmem.guest(lab, memory=128, config=["tmem=1", "tmem_weight=150"]).create()
    tmem.connected(guest)
    tmem.swap_on(guest)
    guest.run("pressure 72 1", timeout=900)
    lab.expect(tmem.disk_stat(guest, "num_writes") > 2000, "the guest hardly swapped")
    lab.equal(tmem.disk_stat(guest, "failed_reads"), 0, "failed reads")
    lab.equal(tmem.disk_stat(guest, "failed_writes"), 0, "failed writes")
    listed = service.clients()
    lab.expect("g1" in listed, f"dom0 does not list the guest but {sorted(listed)}")
    lab.equal(listed["g1"]["policy"]["weight"], 150, "the weight of its xl.cfg")

    operators_at_once(lab, dom0)
    guest.destroy()
    dom0.xs_wait_gone(f"{service.backend}/{guest.domid}")
    dom0.poll(lambda: not service.clients(), 60, "the client of a destroyed guest to be freed")


def operators_at_once(lab, dom0):
    """More of them than there are streams: all are answered, one that is killed leaves its stream to others."""
    watching = [dom0.start("exec xen-tmemctl events") for _ in range(7)]
    asking = [dom0.start("xen-tmemctl --timeout 120 list --json") for _ in range(4)]
    for one in asking:
        lab.expect('"g1"' in one.wait().out, "an operator was not answered")
    for one in watching:
        one.kill(9)
    again = [dom0.start("xen-tmemctl --timeout 120 info") for _ in range(4)]
    for one in again:
        one.wait()
