# SPDX-License-Identifier: MIT
"""xl create with tmem=1 is all: the guest swaps into tmem, every word right, and dom0 lists its pool; service in dom0."""

from lib import tmem


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs)
    service = tmem.Service(lab, dom0)
    guest = tmem.guest(lab, memory=128, config=["tmem=1", "tmem_weight=150"]).create()
    tmem.connected(guest)
    tmem.swap_on(guest)
    guest.run("pressure 110 1", timeout=1800)

    stored = tmem.disk_stat(guest, "num_writes")
    lab.expect(stored > 10000, f"only {stored} pages were swapped")
    lab.equal(tmem.disk_stat(guest, "failed_reads"), 0, "failed reads")
    lab.equal(tmem.disk_stat(guest, "failed_writes"), 0, "failed writes")
    listed = {client["name"]: client for client in service.json("list")["clients"]}
    lab.expect("g1" in listed, f"dom0 does not list the guest but {sorted(listed)}")
    lab.equal(listed["g1"]["policy"]["weight"], 150, "the weight of its xl.cfg")

    guest.destroy()
    dom0.xs_wait_gone(f"/local/domain/0/backend/tmem/{guest.domid}")
    dom0.poll(lambda: not service.json("list")["clients"], 60, "the client of a destroyed guest to be freed")
