# SPDX-License-Identifier: MIT
"""Six guests swap into the tmem domain at once, PV and PVH, beside a hostile one, every word right; a cap holds, its rest goes to a disk."""

import random
import time

from lib import tmem

GUESTS = 6
MEBIBYTES = 56
CAP_MEBIBYTES = 2


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("spill", 256)])
    service = tmem.Domain(lab, dom0, memory=512, options="shards=2")
    guests = [start(lab, number) for number in range(1, GUESTS)]
    guests.append(start_capped(lab, dom0))
    hostile = lab.guest("hostile", memory=96, programs=["hostile"], config=["tmem=1"]).create()
    for guest in guests:
        tmem.connected(guest)
        tmem.swap_on(guest)
    work = [guest.start(f"pressure {MEBIBYTES} 1 {seed}") for seed, guest in enumerate(guests, 1)]
    garbage = hostile.start(f"hostile 2 {random.randrange(1 << 32)}")
    hold(lab, service, lambda: any(job.code is None for job in work))
    garbage.wait(timeout=1800)
    hostile.destroy()
    dom0.poll(lambda: tmem.state_of(service, "hostile") is None, 900, "the hostile guest to be freed")
    for job in work:
        job.wait()

    listed = service.clients()
    lab.equal(sorted(listed), sorted(guest.name for guest in guests), "guests that dom0 lists")
    for number, guest in enumerate(guests, 1):
        check(lab, guest, listed[guest.name], 50 * number)
    capped = guests[-1]
    lab.expect(tmem.disk_stat(capped, "refused_writes") > 0, "the capped guest never came to its cap")
    lab.expect(listed[capped.name]["ops"]["put_over_cap"] > 0, "the service refused nothing for the cap")

    for guest in guests:
        guest.must_live()
        guest.destroy()
    dom0.poll(lambda: not service.clients(), 120, "the clients of destroyed guests to be freed")


def start(lab, number):
    kind = "pvh" if number % 3 == 0 else "pv"
    return tmem.guest(lab, f"g{number}", type=kind, memory=120, config=["tmem=1", f"tmem_weight={50 * number}"]).create()


def start_capped(lab, dom0):
    """The last one: its module has a backing device for what the service refuses."""
    config = ["tmem=1", f"tmem_weight={50 * GUESTS}", f"tmem_cap={CAP_MEBIBYTES}", f'disk=["phy:{dom0.disk("spill")},xvda,w"]']
    guest = tmem.guest(lab, f"g{GUESTS}", load=False, memory=120, config=config).create()
    guest.run("insmod /root/tmem.ko backing=/dev/xvda")
    return guest


def hold(lab, service, working):
    """While guests work: no guest is above its cap, and the service keeps within its memory."""
    while working():
        totals = service.json("info")["totals"]
        lab.expect(totals["memory_bytes"] <= totals["memory_bytes_target"], f"the service took {totals['memory_bytes']} bytes of {totals['memory_bytes_target']}")
        for client in service.clients().values():
            cap, pages = client["policy"]["cap_pages"], client["space"]["pages_persistent"]
            lab.expect(not cap or pages <= cap, f"{client['name']} has {pages} pages, its cap is {cap}")
        time.sleep(3)


def check(lab, guest, listed, weight):
    lab.expect(tmem.disk_stat(guest, "num_writes") > 500, f"{guest.name} hardly swapped")
    lab.equal(tmem.disk_stat(guest, "failed_reads"), 0, f"{guest.name}: failed reads")
    lab.equal(tmem.disk_stat(guest, "failed_writes"), 0, f"{guest.name}: failed writes")
    lab.equal(listed["policy"]["weight"], weight, f"{guest.name}: weight")
    lab.equal(listed["ops"]["get_corrupt"], 0, f"{guest.name}: pages that failed their checksum")
