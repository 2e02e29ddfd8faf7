# SPDX-License-Identifier: MIT
"""The tests that every transport has to pass, over grants and event channels inside a PV guest (a PVH one cannot map its own grants)."""

from lib import tmem


def scenario(lab):
    program = tmem.test_program("tests/xen/xen_channel_test")
    lab.boot()
    guest = lab.guest(memory=160, programs=[program]).create()
    ran = guest.run(f"xen_channel_test {guest.domid} 2>&1", timeout=900)
    lab.expect("[  PASSED  ] 21 tests." in ran.out, ran.out[-1000:])
    guest.must_live()
