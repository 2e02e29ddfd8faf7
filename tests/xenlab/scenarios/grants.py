# SPDX-License-Identifier: MIT
"""dom0 maps a guest's pages and event channel again after kill -9: contents right, guest unaware (PV and PVH)."""

from lib.sharing import map_again_and_again, start_sharer


def scenario(lab):
    dom0 = lab.boot(programs=["mapper"])
    for mode in ("pv", "pvh"):
        guest = lab.guest(f"g-{mode}", type=mode, programs=["sharer"]).create()
        sharer, node = start_sharer(guest, 0)
        map_again_and_again(lab, dom0, guest, sharer, node)
        guest.destroy()
