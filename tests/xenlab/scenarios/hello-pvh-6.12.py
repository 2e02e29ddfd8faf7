# SPDX-License-Identifier: MIT
"""hello with a PVH guest and Debian's 6.12 kernel."""

from lib import tmem


def scenario(lab):
    tmem.hello(lab, memory=160, kernel="6.12", type="pvh")
