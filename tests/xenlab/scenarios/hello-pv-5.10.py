# SPDX-License-Identifier: MIT
"""hello with a PV guest and Debian's 5.10 kernel (skipped where the mirror has none)."""

from lib import tmem


def scenario(lab):
    tmem.hello(lab, kernel="5.10")
