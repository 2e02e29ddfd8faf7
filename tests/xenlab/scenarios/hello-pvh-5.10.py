# SPDX-License-Identifier: MIT
"""hello with a PVH guest and Debian's 5.10 kernel (skipped where the mirror has none)."""

from lib import tmem


def scenario(lab):
    tmem.hello(lab, memory=128, kernel="5.10", type="pvh")
