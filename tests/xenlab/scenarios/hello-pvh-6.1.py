# SPDX-License-Identifier: MIT
"""hello with a PVH guest and Debian's 6.1 kernel."""

from lib import tmem


def scenario(lab):
    tmem.hello(lab, memory=128, type="pvh")
