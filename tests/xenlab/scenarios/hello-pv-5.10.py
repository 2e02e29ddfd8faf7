# SPDX-License-Identifier: MIT
"""hello with a PV guest and Debian's 5.10 kernel (skipped where the mirror has none)."""

from lib import tmem


def scenario(lab):
    guest = {"type": "pv", "kernel": "5.10", "memory": 128}
    lab.kernel(guest["kernel"])
    lab.boot(customize=tmem.add_programs)
    service = tmem.Service(lab, lab.dom0)
    tmem.hello(lab, service, tmem.guest(lab, config=["tmem=1", "tmem_weight=150"], **guest))
