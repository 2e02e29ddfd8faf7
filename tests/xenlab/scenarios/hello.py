# SPDX-License-Identifier: MIT
"""xl create with tmem=1 is all: the guest swaps twice its memory into the tmem domain, every word right, and dom0 lists its pool."""

from lib import tmem


def scenario(lab):
    tmem.hello(lab)
