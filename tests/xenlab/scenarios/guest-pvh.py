# SPDX-License-Identifier: MIT
"""A PVH guest boots, runs commands, sees xenstore, and shuts down when asked."""

from lib.checks import check_guest


def scenario(lab):
    dom0 = lab.boot()
    check_guest(lab, dom0, lab.guest("g1", type="pvh").create(), "PVH")
