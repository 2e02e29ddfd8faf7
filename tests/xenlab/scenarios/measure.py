# SPDX-License-Identifier: MIT
"""Measures swapping of twice the guest's memory to tmem, to zram and to a disk as slow as an SSD: time, latency, events a page."""

import json

from lib import ssd, swapbench, tmem

MEMORY = 128
SIZES = (256, 156, 104)     # MiB: twice the guest's memory, twice what it has free, and a third more than that
DISK = 288                  # MiB to swap to
TOUCHES = 10000
POLL_GUEST_US, POLL_SERVICE_US = 20, 50     # the defaults, for a processor that is not emulated


def scenario(lab):
    slower = ssd.slowdown(lab)
    dom0 = lab.boot(customize=tmem.add_programs, disks=[ssd.disk(lab, "ssd", DISK, slower)])
    tmem.Domain(lab, dom0, options=f"poll-window-us={int(POLL_SERVICE_US * slower)}")
    guest = tmem.guest(lab, memory=MEMORY, load=False, also=["swapbench"], modules=["lz4"], config=["tmem=1"]).create()
    guest.run(f"insmod /root/tmem.ko disksize_mb={DISK} poll_us={int(POLL_GUEST_US * slower)}")
    tmem.connected(guest)
    guest.run(f"echo lz4 > /sys/block/zram0/comp_algorithm; echo {DISK}M > /sys/block/zram0/disksize")
    devices = {"tmem": "/dev/tmemswap0", "zram": "/dev/zram0", "disk": guest.plug_disk(dom0.disk("ssd"))}
    runs = {name: [run(guest, device, size) for size in SIZES] for name, device in devices.items()}
    figures = {"slowdown": slower, "disk_reads_per_second": ssd.reads_per_second(slower), "touches": TOUCHES, "sizes": SIZES, "runs": runs}
    (lab.out / "figures.json").write_text(json.dumps(figures, indent=1))
    (lab.out / "figures").write_text(table(figures))
    for name, all_of_it in runs.items():
        lab.expect(all(one["faults"] > TOUCHES / 10 for one in all_of_it if one), f"{name}: hardly anything was swapped in")
        lab.expect(all(all_of_it) or name == "zram", f"{name}: the job was killed for want of memory")
    for name in ("failed_reads", "failed_writes"):
        lab.equal(tmem.disk_stat(guest, name), 0, name)
    guest.must_live()


def events(domain, name):
    """Interrupts of this name that the domain has had."""
    lines = [line.split() for line in domain.run("cat /proc/interrupts").lines if line.split()[-1].startswith(name)]
    return sum(int(word) for line in lines for word in line[1:] if word.isdigit())


def pages(guest):
    found = dict(line.split() for line in guest.run("grep -E '^pswp(in|out) ' /proc/vmstat").lines)
    return int(found["pswpin"]) + int(found["pswpout"])


def run(guest, device, mebibytes):
    """The figures of one run, or None where the guest ran out of memory: what zram keeps takes of the guest's own."""
    tmem.swap_on(guest, device)
    begun = pages(guest), events(guest, "tmem"), doorbells(guest)
    found = swapbench.run(guest, mebibytes, TOUCHES)
    ended = pages(guest), events(guest, "tmem"), doorbells(guest)
    guest.run(f"swapoff {device}")
    if found is None:
        return None
    moved = ended[0] - begun[0]
    return {**found, "pages": moved, "events_per_page": (ended[1] - begun[1]) / moved, "hypercalls_per_page": (ended[2] - begun[2]) / moved}


def doorbells(guest):
    """Requests that found the service asleep: each cost the guest a hypercall."""
    return int(guest.run("grep ^doorbells_sent /sys/class/tmem-control/front_stat").out.split()[1])


def table(figures):
    lines = [f"the emulated processor is {figures['slowdown']:.1f} times slower than this machine's own; the disk reads {figures['disk_reads_per_second']} pages per second",
             f"{'':10}{'seconds':>9}{'faults':>8}{'p50 us':>9}{'p90 us':>9}{'p99 us':>9}{'events/page':>13}{'hypercalls/page':>17}"]
    for name, runs in figures["runs"].items():
        for size, one in zip(figures["sizes"], runs):
            if one is None:
                lines.append(f"{name:6}{size:4}  out of memory")
                continue
            lines.append(f"{name:6}{size:4}{one['seconds']:9.1f}{one['faults']:8.0f}{one['p50']:9.0f}{one['p90']:9.0f}{one['p99']:9.0f}"
                         f"{one['events_per_page']:13.4f}{one['hypercalls_per_page']:17.4f}")
    return "\n".join(lines) + "\n"
