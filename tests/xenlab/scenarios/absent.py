# SPDX-License-Identifier: MIT
"""No service, no agent, no module: guests start and run as without tmem; what comes later is picked up."""

from lib import tmem


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs)
    early = tmem.guest(lab, "early", config=["tmem=1"]).create()
    early.run("pressure 20 1", timeout=600)
    lab.equal(dom0.xs_list(early.path("device/tmem")), [], "devices of a guest that nobody attached")
    refused = early.run("dd if=/dev/zero of=/dev/tmemswap0 bs=4k count=1 oflag=direct", check=False)
    lab.expect(refused.code != 0, "a disk without a service took a page")

    dom0.write_file("/etc/xen/tmem.conf", "xen-domain = tmem\n")
    agent = dom0.start("exec xen-tmem-agent 2>&1")
    alone = tmem.guest(lab, "alone", config=["tmem=1"]).create()
    alone.run("pressure 20 1", timeout=600)
    lab.equal(dom0.xs_list(alone.path("device/tmem")), [], "devices of a guest while there is no tmem domain")
    alone.shutdown()
    lab.equal(agent.code, None, "exit status of an agent that waits for the tmem domain")
    agent.kill()

    service = tmem.Service(lab, dom0)
    tmem.connected(early)
    early.run("dd if=/dev/zero of=/dev/tmemswap0 bs=4k count=1 oflag=direct")

    bare = lab.guest("bare", programs=["pressure"], config=["tmem=1"]).create()
    dom0.xs_wait(f"/local/domain/0/backend/tmem/{bare.domid}/0/state", 2)
    bare.run("pressure 20 1", timeout=600)

    service.agent.kill()
    late = tmem.guest(lab, "late", config=["tmem=1"]).create()
    lab.equal(dom0.xs_list(late.path("device/tmem")), [], "devices of a guest that was started without the agent")
    late.shutdown()
    bare.shutdown()
    service.start_agent()
    dom0.xs_wait_gone(f"/local/domain/0/backend/tmem/{bare.domid}")
    tmem.connected(early)
    early.must_live()
