# SPDX-License-Identifier: MIT
"""Bursts of four guests come in turn where memory is little more than half of what they want: tmem against zram against a disk."""

import json
import math

from lib import flow, ssd, swapbench, tmem

GUESTS = 4
BURST, TOUCHES = 280, 50000     # of each guest: MiB, and how often it touches one of their 71,680 pages
WANTED = 352                    # MiB of a guest that could keep its burst in memory
HOST, DOM0 = 1664, 768          # MiB: what is left is little more than half of GUESTS * WANTED
SERVICE = 160                   # MiB that the tmem domain starts with, some 100 of them its own; it lives of the same memory as the guests
DISK = 384                      # MiB to swap to


def scenario(lab):
    slower = ssd.slowdown(lab)
    free, bursts = flowing(lab, "tmem", slower)
    lab.expect(all(bursts), "tmem: a burst was killed for want of memory")
    ways = {"tmem": bursts}
    for name, way in {"zram": zram, "disk": disk}.items():
        ways[name] = way(lab, name, slower)
    figures = {"host_mib": free, "wanted_mib": GUESTS * WANTED, "burst_mib": BURST, "touches": TOUCHES, "slowdown": slower,
               "disk_reads_per_second": ssd.reads_per_second(slower), "ways": ways}
    (lab.out / "figures.json").write_text(json.dumps(figures, indent=1))
    (lab.out / "figures").write_text(table(figures))
    for name in ("disk", "zram"):
        lab.expect(seconds(bursts) < seconds(ways[name]), f"tmem took {seconds(bursts):.1f} s for all bursts, {name} {seconds(ways[name]):.1f} s")


def boot(lab, name, disks=()):
    """The host, and how much memory of it guests can have."""
    dom0 = lab.boot(label=name, memory=HOST, dom0_memory=DOM0, customize=tmem.add_programs, disks=disks)
    return dom0, flow.host_free_mib(dom0)


def swap_disks(lab, slower):
    return [ssd.disk(lab, f"swap{number}", DISK, slower) for number in range(1, GUESTS + 1)]


def swap_disk_of(dom0, guest):
    return dom0.disk(f"swap{guest.name[1:]}")


def static(lab, dom0, free):
    """Guests that share the host evenly, for good."""
    memory = (free - 24) // GUESTS - 4
    guests = [flow.guest(lab, f"g{number}", also=["swapbench"], modules=["lz4"], memory=memory).create() for number in range(1, GUESTS + 1)]
    lab.expect(flow.host_free_mib(dom0) < 64, "the guests have not got all of the host's memory")
    return guests


def disk(lab, name, slower):
    dom0, free = boot(lab, name, swap_disks(lab, slower))
    guests = static(lab, dom0, free)
    for guest in guests:
        tmem.swap_on(guest, guest.plug_disk(swap_disk_of(dom0, guest)))
    return burst(guests)


def zram(lab, name, _):
    dom0, free = boot(lab, name)
    guests = static(lab, dom0, free)
    for guest in guests:
        guest.run(f"echo lz4 > /sys/block/zram0/comp_algorithm; echo {DISK}M > /sys/block/zram0/disksize")
        tmem.swap_on(guest, "/dev/zram0")
    return burst(guests)


def flowing(lab, name, slower):
    """Guests that may have what they want, and give what they do not need; the tmem domain has what nobody has. What it refuses goes
    to a disk of the guest. Bursts follow at once: so a need counts for three seconds, and half of what is left over is taken each second.
    A host so small has no more than 32 MiB for tmem to keep when a guest needs them."""
    dom0, free = boot(lab, name, swap_disks(lab, slower))
    service = tmem.Domain(lab, dom0, memory=SERVICE, maxmem=GUESTS * WANTED, options=f"poll-window-us={int(50 * slower)}", agent=False,
                          config="breathe = on\nbreathe-reserve = 24M\nbreathe-min = 32M\nbreathe-interval = 1\n")
    config = ["tmem=1", "tmem_selfballoon=1", "tmem_selfballoon_interval=1", "tmem_selfballoon_downhysteresis=2", "tmem_pressure_window=3",
              f"maxmem={WANTED}"]
    guests = [flow.guest(lab, f"g{number}", module=True, load=False, also=["swapbench"], memory=140, config=config).create()
              for number in range(1, GUESTS + 1)]
    for guest in guests:
        guest.run(f"insmod /root/tmem.ko disksize_mb={DISK} backing={guest.plug_disk(swap_disk_of(dom0, guest))} {tmem.POLL_GUEST}")
    service.start_agent()       # which gives to the tmem domain what no guest has: there would be nothing to build the next guest of
    for guest in guests:
        tmem.connected(guest)
        tmem.swap_on(guest)
        flow.start(guest)
        guest.set_memory(WANTED)
    dom0.poll(lambda: all(flow.settled(guest) for guest in guests), 300, "the guests to settle")
    found = burst(guests)
    for guest in guests:
        flow.must_have_memory(lab, guest)
        for failed in ("failed_reads", "failed_writes"):
            lab.equal(tmem.disk_stat(guest, failed), 0, f"{guest.name}: {failed}")
    return free, found


def burst(guests):
    """Every guest bursts, one after the other."""
    return [swapbench.run(guest, BURST, TOUCHES) for guest in guests]


def seconds(bursts):
    """Of all of them; none is as long as one that was killed for want of memory."""
    return sum(one["seconds"] if one else math.inf for one in bursts)


def table(figures):
    lines = [f"{figures['host_mib']} MiB for guests that want {figures['wanted_mib']}; bursts of {BURST} MiB, {TOUCHES} touches each; the emulated processor is "
             f"{figures['slowdown']:.1f} times slower than this machine's own, the disk reads {figures['disk_reads_per_second']} pages per second"]
    for name, bursts in figures["ways"].items():
        each = " ".join(f"{one['seconds']:6.1f}" if one else "killed" for one in bursts)
        lines.append(f"{name:6} {seconds(bursts):7.1f} s   bursts: {each}")
    return "\n".join(lines) + "\n"
