# SPDX-License-Identifier: MIT
"""Debian's 5.10, 6.1 and 6.12 kernels boot as PV and PVH guests with the modules the lab needs (skipped where one is missing)."""

SERIES = ["6.1", "6.12", "5.10"]


def scenario(lab):
    for series in SERIES:
        lab.kernel(series)
    lab.boot()
    for series in SERIES:
        for mode in ("pv", "pvh"):
            guest = lab.guest(f"g-{series}-{mode}", kernel=series, type=mode).create()
            release = guest.run("uname -r").out
            lab.expect(release.startswith(f"{series}."), f"{guest.name} runs {release}")
            lab.expect("cannot load" not in guest.console, f"{guest.name} did not load a module")
            guest.run("test -c /dev/xen/gntalloc && test -c /dev/xen/gntdev && test -c /dev/xen/evtchn && test -b /dev/zram0")
            guest.must_live()
            guest.destroy()
