# SPDX-License-Identifier: MIT
"""hello with a PVH guest and Debian's 6.12 kernel."""

from lib import tmem


def scenario(lab):
    guest = {"type": "pvh", "kernel": "6.12", "memory": 160}
    lab.kernel(guest["kernel"])
    lab.boot(customize=tmem.add_programs)
    service = tmem.Service(lab, lab.dom0)
    tmem.hello(lab, service, tmem.guest(lab, config=["tmem=1", "tmem_weight=150"], **guest))
