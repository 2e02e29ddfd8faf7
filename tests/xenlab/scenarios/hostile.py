# SPDX-License-Identifier: MIT
"""A guest that writes garbage into its ring and its nodes and storms its doorbell costs only itself: another one swaps on, verified."""

import random

from lib import tmem

ROUNDS = 8


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs)
    service = tmem.Service(lab, dom0)
    good = tmem.guest(lab, memory=128, config=["tmem=1"]).create()
    hostile = lab.guest("hostile", programs=["hostile"], config=["tmem=1"]).create()
    tmem.connected(good)
    tmem.swap_on(good)
    pids = dom0.run("pidof xen-tmemd").out
    work = good.start("pressure 76 1")
    hostile.run(f"hostile {ROUNDS} {random.randrange(1 << 32)}", timeout=1800)
    work.wait(timeout=1800)
    for name in ("failed_reads", "failed_writes"):
        lab.equal(tmem.disk_stat(good, name), 0, name)
    lab.equal(dom0.run("pidof xen-tmemd").out, pids, "processes of the service")
    lab.expect(tmem.state_of(service, "g1") == "connected", "the service let go of the guest that did no harm")
    good.must_live()
    hostile.destroy()
    dom0.poll(lambda: tmem.state_of(service, "hostile") is None, 900, "the hostile guest to be freed")
