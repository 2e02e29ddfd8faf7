# SPDX-License-Identifier: MIT
"""A service that speaks another version, answers nonsense, storms the doorbell, lies and keeps what it was granted: the guest swaps on to its disk, every word right."""

import random
import re

from lib import hooks, tmem

NONSENSE = ("id", "status", "answer", "flags", "index", "noise")
QUEUES_LEFT_MAX = 32
EVENTS_FOR_AN_INTERRUPT = 8      # at least: Xen's event core lets each queue have two in a tick, however many are sent


def scenario(lab):
    seed = random.randrange(1 << 32)
    dom0 = lab.boot(customize=tmem.add_programs, programs=["hostile_service"], disks=[lab.Disk("spill", 160)])
    guest = tmem.guest(lab, memory=144, load=False, config=["tmem=1"]).create()
    attach(dom0, guest)
    spill = guest.plug_disk(dom0.disk("spill"))
    guest.run(f"insmod /root/tmem.ko disksize_mb=160 backing={spill} writethrough=1 verify=1 {tmem.POLL_GUEST}")
    other_version(lab, dom0, guest)
    tmem.swap_on(guest)
    job = guest.start("exec pressure 72 1000000 7")
    job.wait_line("pages written", timeout=900)

    for how in NONSENSE:
        start = len(guest.console)
        service = begin(dom0, guest, how, seed)
        guest.wait_console("the service answered nonsense", start=start)
        if how == NONSENSE[-1]:
            hooks.works_on(lab, dom0, job)      # while the noise goes on
        end(service)
    lies(lab, dom0, guest, job, seed)
    storm(lab, dom0, guest, job, seed)
    handshakes(lab, dom0, guest, job, seed)
    held(lab, dom0, guest, job, seed)

    for name in ("failed_reads", "failed_writes", "lost_reads"):
        lab.equal(tmem.disk_stat(guest, name), 0, name)
    job.kill()
    guest.run("swapoff /dev/tmemswap0 && rmmod tmem", timeout=600)
    guest.must_live()


def attach(dom0, guest):
    """As an agent does; then it goes, so that nobody but the hostile service writes the backend's nodes."""
    dom0.write_file("/etc/xen/tmem.conf", "xen-domain = 0\n")
    agent = dom0.start("exec xen-tmem-agent 2>&1")
    dom0.xs_wait(guest.path("device/tmem/0/backend"))
    agent.kill()


def other_version(lab, dom0, guest):
    """One message, and no offer; it does not ask again and again."""
    back = guest.xs_read("device/tmem/0/backend")
    dom0.xs_write(f"{back}/service", "versions=2-3 max-queues=8 max-ring-order=3 generation=1")
    dom0.xs_write(f"{back}/state", 2)
    guest.wait_console("the service speaks versions 2 to 3, this module only 1")
    lab.equal(guest.xs_read("device/tmem/0/state"), "1", "state of a guest that cannot speak with the service")


def begin(dom0, guest, how, seed):
    service = dom0.start(f"exec hostile_service {guest.domid} {how} {seed}")
    service.wait_line("ready")
    return service


def end(service):
    service.write("\n")
    return service.wait().out


def lies(lab, dom0, guest, job, seed):
    """Wrong bytes are found by their sum, and read from the disk instead."""
    before = tmem.disk_stat(guest, "verify_failed")
    service = begin(dom0, guest, "lie", seed)
    dom0.poll(lambda: tmem.disk_stat(guest, "verify_failed") > before + 200 or job.code is not None, 900, "pages that are not what was put")
    lab.equal(job.code, None, f"the job's end ({job.out[-200:]})")
    end(service)
    hooks.works_on(lab, dom0, job)


def storm(lab, dom0, guest, job, seed):
    """Events that bring no answer cost the guest few interrupts, also where an answer is due."""
    job.kill(19)        # SIGSTOP: else many are asked for
    service = begin(dom0, guest, "storm", seed)
    events = int(re.search(r"(\d+) events", service.out)[1])
    interrupts = int(guest.run("""awk '/ tmem$/ { for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+$/) n += $i } END { print n + 0 }' /proc/interrupts""").out)
    lab.expect(0 < interrupts < events / EVENTS_FOR_AN_INTERRUPT, f"{events} events made {interrupts} interrupts")
    end(service)
    job.kill(18)


def handshakes(lab, dom0, guest, job, seed):
    """Offers that are none, in any order: when they end, the guest goes on, and the next offer that is one is taken up."""
    end(begin(dom0, guest, "handshake", seed))
    hooks.works_on(lab, dom0, job)


def held(lab, dom0, guest, job, seed):
    """Closed, and all still mapped, again and again: that memory is never used again, and there is an end to giving more."""
    start = len(guest.console)
    service = begin(dom0, guest, "hold", seed)
    lab.equal(int(service.wait_line(r"(\d+) queues held")[1]), QUEUES_LEFT_MAX, "queues' memory that the service got to keep")
    guest.wait_console(r"the backend still holds \d+ pages", start=start)
    hooks.works_on(lab, dom0, job)
    end(service)        # it has looked whether the guest wrote there
