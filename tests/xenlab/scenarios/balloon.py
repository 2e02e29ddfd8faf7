# SPDX-License-Identifier: MIT
"""xl mem-set reaches the guest's balloon: its memory shrinks and grows, PV and PVH."""

STEP_KIB = 40 * 1024


def scenario(lab):
    dom0 = lab.boot()
    for mode in ("pv", "pvh"):
        guest = lab.guest(f"g-{mode}", type=mode, memory=192).create()
        full = guest.memory()["MemTotal"]
        guest.set_memory(144)
        lab.equal(guest.xs_read("memory/target"), str(144 * 1024), "target in xenstore")
        small = guest.wait_memory("MemTotal", lambda kib, full=full: kib <= full - STEP_KIB)
        guest.set_memory(192)
        guest.wait_memory("MemTotal", lambda kib, small=small: kib >= small + STEP_KIB)
        guest.must_live()
        guest.destroy()
    lab.equal(dom0.domains(), {"Domain-0": 0}, "domains at the end")
