# SPDX-License-Identifier: MIT
"""Two guests put more ephemeral pages than there is room for: what each keeps follows its weight, also when dom0 changes it."""

from lib import tmem

PAGES = 16000       # 62 MiB that do not compress: each alone would fill the service


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs)
    service = tmem.Service(lab, dom0, memory=48)
    guests = [lab.guest(name, programs=["ephemeral"], config=["tmem=1", f"tmem_weight={weight}"]).create()
              for name, weight in (("light", 100), ("heavy", 300))]
    work = [guest.start(f"exec ephemeral {PAGES}") for guest in guests]
    kept = compete(service, work, 1)
    lab.expect(2 < kept["heavy"] / kept["light"] < 4, f"with weights 100 and 300 they keep {kept}")

    dom0.run("xen-tmemctl set light weight=300 && xen-tmemctl set heavy weight=100")
    for job in work:
        job.write("\n")
    kept = compete(service, work, 2)
    lab.expect(2 < kept["light"] / kept["heavy"] < 4, f"with the weights changed they keep {kept}")
    for job in work:
        job.close_input()
        job.wait()
    for guest in guests:
        guest.must_live()


def compete(service, work, number):
    """Both put all their pages at once; returns how many of them each has when both are through. Who is first loses nothing by it."""
    for job in work:
        job.wait_line(f"pass {number}, {PAGES} of {PAGES} taken", timeout=900)
    return {name: client["space"]["pages_ephemeral"] for name, client in service.clients().items()}
