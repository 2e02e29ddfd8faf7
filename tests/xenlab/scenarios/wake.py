# SPDX-License-Identifier: MIT
"""A guest that gave its memory away runs a job of 400 MB: memory is back before the job ends, nothing is killed; the ratio is told."""

from lib import flow, tmem

MEBIBYTES, JOB = 512, 400


def job(guest):
    """Seconds of the guest's clock for the job, and what the balloon held when its first pass was through."""
    began = flow.uptime(guest)
    process = guest.start(f"exec pressure {JOB} 1 2>&1")
    process.wait_line("pass 1 of 1", timeout=1200)
    held = flow.current_kib(guest)
    process.wait(1200)
    return flow.uptime(guest) - began, held


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs)
    tmem.Service(lab, dom0)
    guest = flow.guest(lab, memory=MEBIBYTES, module=True, config=["tmem=1"]).create()
    tmem.connected(guest)
    tmem.swap_on(guest)
    before, _ = job(guest)

    free = flow.host_free_mib(dom0)
    flow.start(guest)
    dom0.poll(lambda: flow.host_free_mib(dom0) >= free + MEBIBYTES * 60 // 100, 900, "the guest to give 60 %")
    after, held = job(guest)
    lab.expect(held >= (JOB + 20) * 1024, f"the guest held {held} KiB when its job was half through")
    flow.must_have_memory(lab, guest)
    (lab.out / "ratio").write_text(f"{JOB} MB job: {before:.1f} s never ballooned, {after:.1f} s woken, ratio {after / before:.2f}\n")
