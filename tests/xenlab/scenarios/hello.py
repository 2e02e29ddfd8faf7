# SPDX-License-Identifier: MIT
"""xl create with tmem=1 is all: the guest swaps twice its memory into the tmem domain, every word right, and dom0 lists its pool."""

from lib import tmem


def scenario(lab):
    lab.boot(customize=tmem.add_programs)
    service = tmem.Domain(lab, lab.dom0)
    tmem.hello(lab, service, tmem.guest(lab, memory=112, parameters="disksize_mb=256", config=["tmem=1", "tmem_weight=150"]),
               mebibytes=224)
