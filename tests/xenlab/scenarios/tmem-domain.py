# SPDX-License-Identifier: MIT
"""The tmem domain that tools/stubdom/build makes, PV and PVH: it serves, survives kill -9 of its service, and ends when told."""

from lib import tmem


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs)
    for kind in ("pv", "pvh"):
        service = tmem.Domain(lab, dom0, type=kind, options="log-level=debug client-weight=70")
        memory = service.json("info")["totals"]["memory_bytes_target"] >> 20
        lab.expect(200 < memory < 320, f"{kind}: {memory} MiB of 320 are for guests' pages")
        for _ in range(2):
            service.kill()
        lab.equal(service.json("info")["restarts"], 2, f"{kind}: restarts of the service")
        service.domain.shutdown()
        service.domain.wait_console("powering off status=0")
        service.agent.kill()
