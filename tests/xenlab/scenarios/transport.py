# SPDX-License-Identifier: MIT
"""The tests that every transport has to pass, over grants and event channels inside a guest: PV and PVH."""

from lib import tmem


def scenario(lab):
    program = tmem.test_program("tests/xen/xen_channel_test")
    lab.boot()
    for mode in ("pv", "pvh"):
        guest = lab.guest(f"g-{mode}", type=mode, memory=160, programs=[program]).create()
        ran = guest.run(f"xen_channel_test {guest.domid} 2>&1", timeout=900)
        lab.expect("[  PASSED  ] 21 tests." in ran.out, f"{mode}: {ran.out[-1000:]}")
        guest.must_live()
        guest.destroy()
