# SPDX-License-Identifier: MIT
"""Debian's stress-ng verifies memory of a guest that swaps into the tmem domain; guest and dom0 count the same pages."""

from lib import packages, tmem

STRESS = "/usr/bin/stress-ng"
OPERATIONS = 12000      # in stress-ng's own measure, 32 KiB each: three times through the memory


def scenario(lab):
    packages.ensure_tools("stress-ng")
    dom0 = lab.boot(customize=tmem.add_programs)
    service = tmem.Domain(lab, dom0)
    guest = tmem.guest(lab, memory=192, config=["tmem=1"], also=[STRESS]).create()
    tmem.connected(guest)
    tmem.swap_on(guest)
    said = guest.run(f"stress-ng --vm 1 --vm-bytes 130M --vm-keep --vm-method rand-set --verify --vm-ops {OPERATIONS} 2>&1", timeout=1800).out
    lab.expect("successful run" in said, said)
    lab.expect(tmem.disk_stat(guest, "num_writes") > 1000, "the guest hardly swapped")
    for name in ("failed_reads", "failed_writes", "lost_reads"):
        lab.equal(tmem.disk_stat(guest, name), 0, name)
    guest.run("dd if=/dev/urandom of=/tmp/kept bs=64k count=64 2>/dev/null && swapoff /dev/tmemswap0 && "
              "dd if=/tmp/kept of=/dev/tmemswap0 bs=64k oflag=direct 2>/dev/null")
    pages = tmem.disk_stat(guest, "pages_stored")
    lab.expect(pages >= 1024, f"the guest counts {pages} pages in tmem")
    lab.equal(sum(pool["space"]["pages_persistent"] for pool in service.clients()["g1"]["pools"]), pages, "pages that dom0 lists, and the guest's count")
    guest.must_live()
